"""A breaker with its own time, that a test takes through its states."""

from typing import Any

from sidecard.policy.breaker import Breaker, BreakerPolicy, Change, Permit, Refusal


class Bench:
    """A breaker that trips at half of four calls, its changes, and the time."""

    def __init__(self, *, chance: float = 0.5, **fields: Any) -> None:
        self.now = 1_000.0
        self.changes: list[Change] = []
        policy = BreakerPolicy(**{"minimum_calls": 4, **fields})
        self.breaker = Breaker(policy, chance=lambda: chance, on_change=self.changes.append)

    @property
    def state(self) -> str:
        return self.breaker.state.value

    @property
    def calls(self) -> object:
        return self.breaker.status(self.now)["calls"]

    def permit(self) -> Permit:
        permit = self.breaker.ask(self.now)
        assert isinstance(permit, Permit), f"{self.breaker} refused"
        return permit

    def refusal(self) -> float | None:
        refusal = self.breaker.ask(self.now)
        assert isinstance(refusal, Refusal), f"{self.breaker} permitted"
        return refusal.retry_after_s

    def succeed(self, number: int = 1, *, slow: bool = False) -> None:
        for _ in range(number):
            self.breaker.succeeded(self.permit(), self.now, slow=slow)

    def fail(self, number: int = 1, *, slow: bool = False) -> None:
        for _ in range(number):
            self.breaker.failed(self.permit(), self.now, slow=slow)

    def trip(self) -> None:
        self.fail(4)
        assert self.state == "open"

    def half_open(self) -> None:
        self.trip()
        self.wait_open_time()

    def wait_open_time(self) -> float:
        """Go to the end of the open time, and return how long that was."""
        until = self.breaker.open_until
        assert until is not None
        waited_s, self.now = until - self.now, until
        return waited_s
