"""Gate: what one target may be sent now, by requests, input tokens and output tokens per minute.

Three meters, each with a limit only when one is configured or the upstream's headers told of it,
and a door that a 429's retry-after closes for everybody.
Tokens are reserved by estimate and corrected by what was used, as the upstream meters them
(https://platform.claude.com/docs/en/api/rate-limits): reads of its prompt cache don't count,
and output counts as it is written, so a share of `max_tokens` is reserved that is learned.
"""

from dataclasses import dataclass
from typing import Final

from sidecard.core.call import Call
from sidecard.core.event import Usage
from sidecard.core.rate_limits import RateLimits
from sidecard.policy.door import Door
from sidecard.policy.estimate import Ratio, input_tokens
from sidecard.policy.meter import Meter
from sidecard.policy.need import NOTHING, Mark, Need, Reservation

_OVERTAKING_S: Final = 1.0
"""Seconds within which attempts may reach the upstream in another order than they left."""
_WRITTEN_PER_S: Final = 500.0
"""Tokens a second that no model writes for one call, so that who leaves early owes little."""
_PRIOR_TOKENS: Final = 1_000.0
"""How much the start of what is learned weighs: as one call of this size."""


@dataclass(frozen=True, slots=True)
class LimitsPolicy:
    """How much a target is sent; None for what nobody configured.

    With `follow_headers` the upstream's headers bring limits, and correct those that there are.
    No call waits longer than `max_wait_s`, and no 429 closes for longer than `longest_closed_s`.
    """

    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    follow_headers: bool = True
    max_wait_s: float = 10.0
    longest_closed_s: float = 60.0


_ONE: Final = Need(1)


class Gate:
    """State: the meters, until when it is closed, what was learned. Safe within one event loop.

    `unlimited` says that nothing holds here, so that calls needn't be counted.
    """

    __slots__ = (
        "_correction",
        "_door",
        "_earlier",
        "_input",
        "_mark",
        "_meters",
        "_open",
        "_open_output",
        "_output",
        "_ratio",
        "_requests",
        "_told_at",
        "policy",
        "unlimited",
    )

    def __init__(self, policy: LimitsPolicy) -> None:
        self.policy = policy
        self._requests = Meter("requests", policy.requests_per_minute)
        self._input = Meter("input_tokens", policy.input_tokens_per_minute)
        self._output = Meter("output_tokens", policy.output_tokens_per_minute)
        self._meters = (self._requests, self._input, self._output)
        self._door = Door(policy.longest_closed_s)
        self._told_at = 0.0
        self._ratio = Ratio(_PRIOR_TOKENS)
        self._correction = Ratio(_PRIOR_TOKENS)
        self._open = self._open_output = 0
        self._mark = self._earlier = Mark(0.0, (0, 0, 0))
        self._judge()

    def adopt(self, policy: LimitsPolicy, now: float) -> None:
        """Go on under another policy, with the levels there are and what was learned."""
        before, self.policy = self.policy, policy
        if before == policy:
            return
        self._requests.configure(policy.requests_per_minute, now)
        self._input.configure(policy.input_tokens_per_minute, now)
        self._output.configure(policy.output_tokens_per_minute, now)
        if not policy.follow_headers:
            for meter in self._meters:
                meter.forget()
        self._door.configure(policy.longest_closed_s, now)
        self._judge()

    def need(self, call: Call) -> Need:
        """Return what `call` will take, as far as anything limits that."""
        reads = self._input.bucket is not None
        writes = self._output.bucket is not None
        if not reads and not writes:
            return _ONE
        estimated = input_tokens(call.messages, call.parameters) if reads else 0
        asked = call.parameters["max_tokens"] if writes else 0
        output = int(asked * self._ratio.value) + writes
        if self._output.bucket is not None:
            # What takes longer to write than a minute is metered over more than one.
            output = min(output, int(self._output.bucket.per_minute))
        return Need(
            1,
            int(estimated * self._correction.value) + reads,
            output,
            estimated,
            asked,
        )

    def wait_s(self, need: Need, now: float, ahead: Need = NOTHING) -> float:
        """Return the seconds until `need` may be taken after `ahead`, 0 for now.

        It is the least that is sure: while one limit holds up, no other is saved up for,
        and a closed gate opens to all who wait as soon as one of them was answered.
        """
        wait_s = self._door.wait_s(now)
        for meter, amount, before in zip(self._meters, need, ahead, strict=False):
            if meter.bucket is None:
                continue
            meter_s = meter.bucket.wait_s(amount, now, before)
            if meter_s <= wait_s:
                continue
            if meter.learned and not self._open:
                # Nobody is on the way who could bring better news than what shuts the target.
                left_s = self._told_at + self.policy.longest_closed_s - now
                if left_s <= 0.0:
                    self._forget(now)
                    return self.wait_s(need, now, ahead)
                meter_s = min(meter_s, left_s)
            wait_s = max(wait_s, meter_s)
        return wait_s

    def take(self, need: Need, now: float) -> Reservation:
        """Reserve `need`; the caller settles it by the first of the four methods below."""
        since_s = now - self._mark.at
        if since_s >= _OVERTAKING_S:
            mark = Mark(now, self._taken())
            self._earlier = self._mark if since_s < 2 * _OVERTAKING_S else mark
            self._mark = mark
        self._requests.take(need.requests, now)
        self._input.take(need.input_tokens, now)
        self._output.take(need.output_tokens, now)
        self._open += 1
        self._open_output += need.output_tokens
        self._door.passed(now)
        return Reservation(need, now, self._earlier)

    def unsent(self, reservation: Reservation, now: float) -> None:
        """Settle an attempt that wasn't made: all of it is given back."""
        self._settle(reservation, now, 0, 0, 0)

    def refused(self, reservation: Reservation, now: float) -> None:
        """Settle an attempt that the upstream wouldn't take: it cost the request alone."""
        self._settle(reservation, now, 1, 0, 0)

    def failed(self, reservation: Reservation, usage: Usage | None, now: float) -> None:
        """Settle an attempt that failed with nothing shown: its input may have been read."""
        need = reservation.need
        if usage is None:
            self._settle(reservation, now, 1, need.input_tokens, 0)
        else:
            self._settle(reservation, now, 1, _metered(usage), usage.output_tokens)

    def ended(
        self, reservation: Reservation, usage: Usage | None, now: float, *, whole: bool
    ) -> None:
        """Settle an attempt by what its answer used, or as estimated where nobody told.

        Of an answer that isn't `whole` more may have been written than was reported,
        but no more than was reserved, or than can be written in the time.
        """
        need = reservation.need
        most = need.output_tokens
        if not whole:
            most = min(most, int((now - reservation.at) * _WRITTEN_PER_S) + 1)
        if usage is None or not (usage.input_tokens or _cached(usage)):
            self._settle(reservation, now, 1, need.input_tokens, most)
            return
        read, written = _metered(usage), usage.output_tokens
        if not whole:
            written = max(written, most)
        elif not reservation.settled:
            if need.asked:
                self._ratio.note(written, need.asked)
            if need.estimated:
                self._correction.note(read, need.estimated)
        self._settle(reservation, now, 1, read, written)

    def answered(
        self, reservation: Reservation | None, limits: RateLimits | None, now: float
    ) -> None:
        """Hear that the upstream took an attempt, and what it said of its limits."""
        if reservation is not None and not self._door.tried:
            self._door.answered(reservation.at)
            self._judge()
        self.heard(reservation, limits, now)

    def heard(self, reservation: Reservation | None, limits: RateLimits | None, now: float) -> None:
        """Correct the meters by what the upstream said of its limits to one attempt.

        It can't have counted what others took since shortly before that attempt was sent,
        nor output that isn't written yet. That is assumed to be counted that was sent before.
        `Allowance.reset_s` isn't needed: a bucket leaks as fast as the upstream's fills.
        """
        if limits is None or not self.policy.follow_headers:
            return
        self._told_at = now
        need, at, taken = NOTHING, now, self._taken()
        if reservation is not None:
            need, (at, taken) = reservation.need, reservation.since
        over_s = now - at
        if limits.requests is not None:
            others = self._requests.taken - taken[0] - need.requests
            self._requests.correct(limits.requests, others, over_s, now)
        if limits.input_tokens is not None:
            others = self._input.taken - taken[1] - need.input_tokens
            told = self._input.correct(limits.input_tokens, others, over_s, now)
            if told and reservation is not None:
                reservation.input_told = True
        if limits.output_tokens is not None:
            every = self._output.taken - taken[2]
            self._output.correct(limits.output_tokens, every, over_s, now, self._open_output)
        if self.unlimited:
            self._judge()

    def close(self, for_s: float, now: float) -> bool:
        """Let nobody through for `for_s` seconds, and then one at a time until one is answered.

        Returns whether it was open before.
        """
        opened = self._door.close(for_s, now)
        self._judge()
        return opened

    def limiting(self, need: Need, now: float) -> str:
        """Return what makes `need` wait longest, in words."""
        what, longest_s = "the upstream's retry-after", self._door.wait_s(now)
        for meter, amount in zip(self._meters, need, strict=False):
            if meter.bucket is not None and meter.bucket.wait_s(amount, now) > longest_s:
                longest_s = meter.bucket.wait_s(amount, now)
                what = f"the limit of {meter.name.replace('_', ' ')} per minute"
        return what

    def status(self, now: float) -> dict[str, object]:
        """Return what an operator wants to know: seconds, and numbers per minute."""
        limits = self._requests.status(now) | self._input.status(now) | self._output.status(now)
        return {
            "closed_s": self._door.wait_s(now),
            "in_flight": self._open,
            "output_ratio": self._ratio.value,
            "input_correction": self._correction.value,
            **limits,
        }

    def _taken(self) -> tuple[int, int, int]:
        return self._requests.taken, self._input.taken, self._output.taken

    def _settle(
        self, reservation: Reservation, now: float, requests: int, read: int, written: int
    ) -> None:
        """Replace what was reserved by what was used. The first word on a reservation holds."""
        if reservation.settled:
            return
        reservation.settled = True
        need = reservation.need
        self._open -= 1
        self._open_output -= need.output_tokens
        if requests != need.requests:
            self._requests.take(requests - need.requests, now)
        if read != need.input_tokens and not reservation.input_told:
            self._input.take(read - need.input_tokens, now)
        if written != need.output_tokens:
            self._output.take(written - need.output_tokens, now)

    def _forget(self, now: float) -> None:
        """Go back to the configured limits, and try them: the headers that shut it were odd."""
        for meter in self._meters:
            meter.forget()
        self._door.doubt(now)

    def _judge(self) -> None:
        """Bring `unlimited` up to date."""
        buckets = [meter.bucket for meter in self._meters]
        self.unlimited = self._door.tried and not any(buckets)

    def __repr__(self) -> str:
        limits = [repr(meter) for meter in self._meters if meter.bucket is not None]
        return f"<Gate {self._door!r}, {self._open} in flight, {', '.join(limits) or 'no limits'}>"


def _cached(usage: Usage) -> int:
    return usage.cache_read_tokens + usage.cache_write_tokens


def _metered(usage: Usage) -> int:
    """Return the input that is metered: what was read from the prompt cache isn't."""
    return usage.input_tokens + usage.cache_write_tokens
