"""`Gate`: what a target may be sent, from limits, reservations and a 429's word."""

import pytest

from sidecard.core.event import Usage
from sidecard.core.rate_limits import Allowance, RateLimits
from sidecard.policy.gate import Gate, LimitsPolicy
from sidecard.policy.need import Need
from tests.support.script import a_call

NOW = 1_000.0
ONE = Need(1)


def room(gate: Gate, kind: str, now: float = NOW) -> object:
    status = gate.status(now)[kind]
    assert isinstance(status, dict)
    return status["room"]


# --- Limits and needs ------------------------------------------------------------------------


def test_without_configuration_and_headers_nothing_holds() -> None:
    """No limit is made up: nothing waits, and nothing of a call is looked at."""
    gate = Gate(LimitsPolicy())
    assert gate.unlimited
    assert gate.need(a_call(messages=(), parameters={})) == ONE
    assert [gate.wait_s(gate.need(a_call()), NOW) for _ in range(9)] == [0.0] * 9


def test_each_limit_holds_alone() -> None:
    """The one that is short decides, and is named."""
    gate = Gate(LimitsPolicy(60, 600, 60))
    gate.take(Need(1, 600, 0), NOW)
    assert gate.wait_s(Need(1, 100, 30), NOW) == pytest.approx(10)
    assert gate.limiting(Need(1, 100, 30), NOW) == "the limit of input tokens per minute"
    gate.take(Need(1, 0, 60), NOW)
    assert gate.wait_s(Need(1, 100, 30), NOW) == pytest.approx(30)
    assert gate.limiting(Need(1, 100, 30), NOW) == "the limit of output tokens per minute"


def test_only_what_is_limited_is_needed() -> None:
    """Tokens are estimated where a limit asks for it."""
    call = a_call(parameters={"max_tokens": 500})
    assert Gate(LimitsPolicy(requests_per_minute=5)).need(call) == ONE
    reads = Gate(LimitsPolicy(input_tokens_per_minute=5)).need(call)
    assert reads.input_tokens > 0
    assert reads.output_tokens == 0
    writes = Gate(LimitsPolicy(output_tokens_per_minute=5_000)).need(call)
    assert (writes.input_tokens, writes.output_tokens) == (0, 501)


def test_those_ahead_come_first() -> None:
    """The wait includes what earlier waiters need."""
    gate = Gate(LimitsPolicy(60))
    gate.take(Need(60), NOW)
    assert gate.wait_s(ONE, NOW, Need(9)) == pytest.approx(10)


# --- Settling --------------------------------------------------------------------------------


def test_usage_replaces_the_estimate() -> None:
    """Input is read without the prompt cache's reads; output is what was written."""
    gate = Gate(LimitsPolicy(10, 10_000, 10_000))
    reservation = gate.take(Need(1, 5_000, 4_000), NOW)
    usage = Usage(
        input_tokens=100, cache_write_tokens=200, cache_read_tokens=9_000, output_tokens=50
    )
    gate.ended(reservation, usage, NOW, whole=True)
    assert room(gate, "requests") == 9
    assert room(gate, "input_tokens") == 9_700
    assert room(gate, "output_tokens") == 9_950


def test_more_than_estimated_is_owed() -> None:
    """What an answer used beyond its reservation is taken afterwards, also into debt."""
    gate = Gate(LimitsPolicy(10, 1_000, 1_000))
    reservation = gate.take(Need(1, 100, 100), NOW)
    gate.ended(reservation, Usage(input_tokens=1_500, output_tokens=300), NOW, whole=True)
    assert room(gate, "input_tokens") == -500
    assert room(gate, "output_tokens") == 700


def test_nobody_told_what_was_used() -> None:
    """Without usage, or with an empty one, the estimate stays."""
    for usage in (None, Usage()):
        gate = Gate(LimitsPolicy(10, 1_000, 1_000))
        gate.ended(gate.take(Need(1, 100, 200), NOW), usage, NOW, whole=True)
        assert (room(gate, "input_tokens"), room(gate, "output_tokens")) == (900, 800)


def test_a_broken_answer_may_have_written_more_than_it_told() -> None:
    """Of an answer that isn't whole the reserved output stays, and its input is corrected."""
    gate = Gate(LimitsPolicy(10, 1_000, 1_000))
    reservation = gate.take(Need(1, 100, 200), NOW)
    gate.ended(reservation, Usage(input_tokens=40, output_tokens=1), NOW + 1, whole=False)
    assert room(gate, "input_tokens", NOW + 1) == int(960 + 1_000 / 60)
    assert room(gate, "output_tokens", NOW + 1) == int(800 + 1_000 / 60)


@pytest.mark.parametrize("usage", [None, Usage(input_tokens=40, output_tokens=1)])
def test_who_leaves_early_owes_no_more_than_can_be_written(usage: Usage | None) -> None:
    """A call that may write for long and is left at once doesn't shut the target for others."""
    gate = Gate(LimitsPolicy(output_tokens_per_minute=8_000))
    need = gate.need(a_call(parameters={"max_tokens": 64_000}))
    assert need.output_tokens == 8_000
    gate.ended(gate.take(need, NOW), usage, NOW + 0.2, whole=False)
    assert gate.wait_s(Need(1, 0, 7_000), NOW + 0.2) == 0.0
    assert room(gate, "output_tokens", NOW + 0.2) in range(8_000 - 101, 8_000)


def test_what_failures_cost() -> None:
    """Not sent: nothing. Refused: the request. Failed: the input too, and what it told."""
    gate = Gate(LimitsPolicy(10, 1_000, 1_000))
    gate.unsent(gate.take(Need(1, 100, 200), NOW), NOW)
    assert (room(gate, "requests"), room(gate, "input_tokens")) == (10, 1_000)
    gate.refused(gate.take(Need(1, 100, 200), NOW), NOW)
    assert (room(gate, "requests"), room(gate, "input_tokens")) == (9, 1_000)
    gate.failed(gate.take(Need(1, 100, 200), NOW), None, NOW)
    assert (room(gate, "input_tokens"), room(gate, "output_tokens")) == (900, 1_000)
    used = Usage(input_tokens=70, output_tokens=5)
    gate.failed(gate.take(Need(1, 100, 200), NOW), used, NOW)
    assert (room(gate, "input_tokens"), room(gate, "output_tokens")) == (830, 995)
    assert gate.status(NOW)["in_flight"] == 0


def test_a_reservation_is_settled_once() -> None:
    """Whoever comes second changes nothing."""
    gate = Gate(LimitsPolicy(10))
    reservation = gate.take(ONE, NOW)
    gate.unsent(reservation, NOW)
    gate.unsent(reservation, NOW)
    gate.refused(reservation, NOW)
    assert room(gate, "requests") == 10
    assert gate.status(NOW)["in_flight"] == 0


def test_it_learns_how_much_is_written() -> None:
    """Calls that write a tenth of what they may reserve about that soon, and never nothing."""
    gate = Gate(LimitsPolicy(output_tokens_per_minute=10**9))
    call = a_call(parameters={"max_tokens": 1_000})
    assert gate.need(call).output_tokens == 1_001
    for _ in range(60):
        usage = Usage(input_tokens=5, output_tokens=100)
        gate.ended(gate.take(gate.need(call), NOW), usage, NOW, whole=True)
    assert 90 < gate.need(call).output_tokens < 150
    for _ in range(300):
        usage = Usage(input_tokens=5)
        gate.ended(gate.take(gate.need(call), NOW), usage, NOW, whole=True)
    assert gate.need(call).output_tokens >= 1


def test_it_learns_how_far_off_the_estimate_is() -> None:
    """A question that always takes twice its estimate is expected to."""
    gate = Gate(LimitsPolicy(input_tokens_per_minute=10**9))
    call = a_call(messages=({"role": "user", "content": "x" * 4_000},))
    first = gate.need(call).input_tokens
    for _ in range(60):
        usage = Usage(input_tokens=2 * first, output_tokens=1)
        gate.ended(gate.take(gate.need(call), NOW), usage, NOW, whole=True)
    assert gate.need(call).input_tokens == pytest.approx(2 * first, rel=0.1)


# --- The door --------------------------------------------------------------------------------


def test_a_429_closes_for_everybody_and_no_longer_than_allowed() -> None:
    """Nobody goes through until its time is over, whatever room there is; a day is a minute."""
    gate = Gate(LimitsPolicy())
    assert gate.close(30, NOW)
    assert not gate.unlimited
    assert gate.wait_s(ONE, NOW) == pytest.approx(30)
    assert gate.limiting(ONE, NOW) == "the upstream's retry-after"
    assert not gate.close(86_400, NOW + 1)
    assert gate.wait_s(ONE, NOW + 1) == pytest.approx(60)


def test_a_shorter_word_opens_nothing() -> None:
    """The longest of what several 429 said holds; 0 and less say nothing."""
    gate = Gate(LimitsPolicy())
    gate.close(30, NOW)
    gate.close(5, NOW)
    assert gate.wait_s(ONE, NOW) == pytest.approx(30)
    other = Gate(LimitsPolicy())
    assert not other.close(0, NOW)
    assert other.unlimited


def test_one_tries_before_all_follow() -> None:
    """After it was closed one call a second goes through, until one is answered."""
    gate = Gate(LimitsPolicy())
    before = gate.take(ONE, NOW)
    gate.close(30, NOW)
    gate.answered(before, None, NOW + 10)
    assert gate.wait_s(ONE, NOW + 10) == pytest.approx(20), "sent before it closed: tells nothing"
    first = gate.take(ONE, NOW + 30)
    assert gate.wait_s(ONE, NOW + 30) == pytest.approx(1)
    gate.take(ONE, NOW + 31)
    assert gate.wait_s(ONE, NOW + 31) == pytest.approx(1)
    gate.answered(first, None, NOW + 31.5)
    assert gate.wait_s(ONE, NOW + 31.5) == 0.0
    assert gate.unlimited


def test_status_and_repr_say_what_holds() -> None:
    """An operator reads where the limit is from and how much room there is."""
    gate = Gate(LimitsPolicy(output_tokens_per_minute=500))
    gate.heard(None, RateLimits(requests=Allowance(60, 20)), NOW)
    gate.close(7, NOW)
    gate.take(Need(1, 0, 100), NOW)
    status = gate.status(NOW)
    assert status["requests"] == {"per_minute": 60, "room": 19, "from_headers": True}
    assert status["output_tokens"] == {"per_minute": 500, "room": 400, "from_headers": False}
    assert (status["closed_s"], status["in_flight"]) == (7, 1)
    assert "closed" in repr(gate)
    assert "1 in flight" in repr(gate)
    assert "41 of 60" in repr(gate)
