"""`Gate` and what the upstream's headers tell: who is on the way, who else uses the key."""

import heapq
import itertools
import random

import pytest

from sidecard.core.event import Usage
from sidecard.core.rate_limits import Allowance, RateLimits
from sidecard.policy.bucket import Bucket
from sidecard.policy.gate import Gate, LimitsPolicy
from sidecard.policy.need import Need, Reservation

NOW = 1_000.0
ONE = Need(1)


def room(gate: Gate, kind: str, now: float = NOW) -> object:
    status = gate.status(now)[kind]
    assert isinstance(status, dict)
    return status["room"]


def told(limit: int | None, remaining: int | None = None) -> RateLimits:
    """Return headers that speak of requests alone."""
    return RateLimits(requests=Allowance(limit, remaining))


def told_input(limit: int, remaining: int) -> RateLimits:
    return RateLimits(input_tokens=Allowance(limit, remaining))


def test_headers_bring_a_limit() -> None:
    """The first answer tells what there is, and it holds from then on."""
    gate = Gate(LimitsPolicy())
    gate.heard(None, told(60, 1), NOW)
    assert not gate.unlimited
    gate.take(ONE, NOW)
    assert gate.wait_s(ONE, NOW) == pytest.approx(1)


def test_headers_make_it_fuller_and_emptier() -> None:
    """What others used with the same key counts, and so does what was taken for more than it is."""
    gate = Gate(LimitsPolicy())
    gate.heard(None, told_input(1_000, 1_000), NOW)
    first = gate.take(Need(1, 600), NOW)
    gate.answered(first, told_input(1_000, 300), NOW + 1)
    assert room(gate, "input_tokens", NOW + 1) == 300
    second = gate.take(Need(1, 250), NOW + 10)
    gate.answered(second, told_input(1_000, 800), NOW + 10)
    assert room(gate, "input_tokens", NOW + 10) == 800


def test_what_headers_counted_is_not_corrected_again() -> None:
    """After the upstream's own count of the input there is nothing left to settle."""
    gate = Gate(LimitsPolicy())
    gate.heard(None, told_input(1_000, 1_000), NOW)
    reservation = gate.take(Need(1, 600), NOW)
    gate.answered(reservation, told_input(1_000, 900), NOW)
    gate.ended(reservation, Usage(input_tokens=100, output_tokens=1), NOW, whole=True)
    assert room(gate, "input_tokens") == 900


def test_headers_know_nothing_of_who_is_on_the_way() -> None:
    """Of a burst, the first answer can't have counted the others, in whatever order they came."""
    gate = Gate(LimitsPolicy())
    gate.heard(None, told(100, 100), NOW)
    burst = [gate.take(ONE, NOW) for _ in range(100)]
    gate.answered(burst[-1], told(100, 99), NOW)
    assert gate.wait_s(ONE, NOW) == pytest.approx(0.6)


def test_headers_know_nothing_of_what_is_not_written_yet() -> None:
    """Output that is reserved stays so, whatever is left by the upstream's count."""
    gate = Gate(LimitsPolicy())
    full = RateLimits(output_tokens=Allowance(1_000, 1_000))
    gate.heard(None, full, NOW)
    reservation = gate.take(Need(1, 0, 700), NOW)
    gate.answered(reservation, full, NOW)
    assert room(gate, "output_tokens") == 300
    gate.ended(reservation, Usage(input_tokens=1, output_tokens=100), NOW, whole=True)
    assert room(gate, "output_tokens") == 900


def test_headers_know_nothing_of_who_may_have_been_overtaken() -> None:
    """What left less than a second before may arrive after, so it isn't taken for counted."""
    gate = Gate(LimitsPolicy())
    gate.heard(None, told(100, 100), NOW)
    gate.take(ONE, NOW)
    for _ in range(50):
        gate.take(ONE, NOW + 0.9)
    gate.answered(gate.take(ONE, NOW + 1), told(100, 99), NOW + 1)
    assert room(gate, "requests", NOW + 1) == 49


def test_output_that_is_settled_is_not_reserved_any_more() -> None:
    """What the upstream tells of output is only lessened by what is still being written."""
    gate = Gate(LimitsPolicy())
    full = RateLimits(output_tokens=Allowance(1_000, 1_000))
    gate.heard(None, full, NOW)
    gate.ended(gate.take(Need(1, 0, 700), NOW), None, NOW, whole=True)
    gate.answered(gate.take(Need(1, 0, 100), NOW + 60), full, NOW + 60)
    assert room(gate, "output_tokens", NOW + 60) == 900


def test_a_lower_configured_limit_stays() -> None:
    """Headers never give more room than is configured, but may tell that there is less."""
    gate = Gate(LimitsPolicy(requests_per_minute=10))
    gate.take(Need(4), NOW)
    gate.heard(None, told(1_000, 999), NOW)
    assert room(gate, "requests") == 6
    gate.heard(None, told(1_000, 2), NOW)
    assert room(gate, "requests") == 2


def test_a_higher_configured_limit_gives_way() -> None:
    """The upstream's lower limit holds, until it tells a higher one again."""
    gate = Gate(LimitsPolicy(requests_per_minute=100))
    gate.heard(None, told(10, 3), NOW)
    assert room(gate, "requests") == 3
    gate.heard(None, told(5_000, 5_000), NOW + 600)
    assert room(gate, "requests", NOW + 600) == 100


def test_headers_need_not_be_followed() -> None:
    """With `follow_headers` off only the configuration holds."""
    gate = Gate(LimitsPolicy(follow_headers=False))
    gate.heard(None, told(1, 0), NOW)
    assert gate.unlimited


def test_a_limit_alone_changes_no_level() -> None:
    """Where the upstream doesn't say what is left, what was counted here stays."""
    gate = Gate(LimitsPolicy(requests_per_minute=10))
    gate.take(Need(4), NOW)
    gate.heard(None, told(8), NOW)
    assert room(gate, "requests") == 4
    gate.heard(None, told(None, 0), NOW)
    assert room(gate, "requests") == 4


def test_one_odd_header_shuts_no_target() -> None:
    """With nobody under way, what headers alone told is doubted after a minute: one call tries."""
    gate, need = Gate(LimitsPolicy()), Need(1, 50_000)
    gate.heard(None, told_input(1, 1), NOW)
    gate.refused(reservation := gate.take(need, NOW), NOW)
    assert gate.wait_s(need, NOW) == 0.0
    gate.answered(reservation, told_input(1, 0), NOW)
    gate.ended(gate.take(need, NOW), None, NOW, whole=True)
    assert gate.wait_s(need, NOW) == pytest.approx(60)
    assert gate.wait_s(need, NOW + 60) == 0.0
    gate.take(need, NOW + 60)
    assert gate.wait_s(need, NOW + 60) == pytest.approx(1)


def test_a_learned_limit_holds_while_answers_are_due() -> None:
    """As long as an attempt is under way that may bring news, nothing is doubted."""
    gate = Gate(LimitsPolicy())
    gate.heard(None, told(1, 1), NOW)
    gate.take(Need(3), NOW)
    assert gate.wait_s(ONE, NOW + 100) == pytest.approx(80)


def test_a_configured_limit_is_never_doubted() -> None:
    """What the operator says holds for as long as it takes."""
    gate = Gate(LimitsPolicy(input_tokens_per_minute=100))
    gate.ended(gate.take(Need(1, 1_000), NOW), None, NOW, whole=True)
    assert gate.wait_s(Need(1, 100), NOW + 90) == pytest.approx(510)


class World:
    """An upstream that meters, refuses what is over, and answers late and out of order."""

    def __init__(self, seed: int, limit: int, latency_s: tuple[float, float]) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # a play of chance that can be repeated
        self.limit, self.latency_s = limit, latency_s
        self.gate, self.upstream = Gate(LimitsPolicy()), Bucket(limit)
        self.gate.heard(None, told(limit, limit), NOW)
        self.events: list[tuple[float, int, str, Reservation | None, int]] = []
        self.count = itertools.count()
        self.waiting = self.sent = self.refused = 0

    def later(self, when: float, what: str, who: Reservation | None = None, left: int = 0) -> None:
        heapq.heappush(self.events, (when, next(self.count), what, who, left))

    def run(self, seconds: float) -> None:
        when = NOW
        while when < NOW + seconds:
            self.later(when, "offer")
            when += self.chance.expovariate(self.limit / 30)
            when += self.chance.uniform(0, 30) if self.chance.random() < 0.02 else 0
        while self.events and self.events[0][0] < NOW + seconds:
            now, _, what, who, left = heapq.heappop(self.events)
            if what == "offer":
                self.waiting = min(self.waiting + 1, 20)
            elif who is not None and what == "arrives":
                self.arrives(who, now)
            elif who is not None:
                self.gate.answered(who, told(self.limit, left), now)
                self.gate.ended(who, None, now, whole=True)
            self.send(now)

    def arrives(self, who: Reservation, now: float) -> None:
        if self.upstream.level(now) + 1 > self.limit + 1e-3:
            self.refused += 1
            return
        self.upstream.take(1, now)
        left = int(self.limit - self.upstream.level(now))
        self.later(now + self.chance.uniform(*self.latency_s), "answers", who, left)

    def send(self, now: float) -> None:
        while self.waiting:
            if wait_s := self.gate.wait_s(ONE, now):
                self.later(now + wait_s, "wakes")
                return
            self.waiting -= 1
            self.sent += 1
            self.later(now + self.chance.uniform(0, 0.9), "arrives", self.gate.take(ONE, now))


@pytest.mark.parametrize("latency_s", [(0.1, 1.0), (0.5, 20.0), (30.0, 90.0)])
def test_following_headers_neither_overruns_nor_starves(latency_s: tuple[float, float]) -> None:
    """However late and disordered the answers come, the upstream refuses next to nothing.

    And what it allows is used, also when answers take longer than the limit's minute.
    """
    for seed in range(3):
        world = World(seed, limit=50, latency_s=latency_s)
        world.run(300)
        assert world.refused <= 2, (seed, world.refused, world.sent)
        assert world.sent >= 0.8 * 50 * 6, (seed, world.sent)
