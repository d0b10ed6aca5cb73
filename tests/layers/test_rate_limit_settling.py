"""`RateLimit`: what is corrected by headers, by usage at the end, and by failures."""

import pytest

from sidecard.core.call import Call, Mode
from sidecard.core.errors import (
    Overloaded,
    RateLimited,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.core.event import Usage
from sidecard.core.handler import Handler
from sidecard.core.rate_limits import Allowance, RateLimits
from sidecard.core.reply import Reply
from sidecard.policy.need import Need
from tests.support.limited import Bench, drop, scripted, throttled
from tests.support.script import OPENING, WHOLE, Hang, Script, a_call


def with_limits(next_: Handler, limits: RateLimits) -> Handler:
    async def handler(call: Call) -> Reply:
        reply = await next_(call)
        reply.amend(rate_limits=limits)
        return reply

    return handler


async def test_an_answers_headers_bring_limits() -> None:
    """What the first answer tells holds for the second."""
    limits = RateLimits(requests=Allowance(60, 0))
    bench = Bench(with_limits(Script(WHOLE, WHOLE), limits), max_wait_s=0.5)
    await drop(bench.start())
    with pytest.raises(RateLimited) as raised:
        await bench.layer(a_call())
    assert raised.value.retry_after_s == pytest.approx(1)


async def test_an_errors_headers_count_too() -> None:
    """A 429 without retry-after still tells that nothing is left."""
    error = throttled(None)
    error.rate_limits = RateLimits(requests=Allowance(60, 0))
    bench, _ = scripted(error, max_wait_s=0.5)
    with pytest.raises(UpstreamThrottled):
        await bench.layer(a_call())
    with pytest.raises(RateLimited):
        await bench.layer(a_call())


async def test_usage_corrects_the_reservation_at_the_end() -> None:
    """All of `max_tokens` is reserved until the answer is whole, then what it wrote."""
    bench, _ = scripted(WHOLE, output_tokens_per_minute=5_000, input_tokens_per_minute=5_000)
    reply = await bench.layer(a_call(mode=Mode.STREAM))
    assert bench.room("output_tokens") == 5_000 - 1_025
    await reply.message()
    assert bench.room("output_tokens") == 5_000 - 3
    assert bench.room("input_tokens") == 5_000 - 7
    assert bench.in_flight == 0


async def test_what_was_never_sent_costs_nothing() -> None:
    """Where this machine couldn't connect, all of the reservation is given back."""
    bench, _ = scripted(Overloaded("no descriptor"), output_tokens_per_minute=5_000)
    with pytest.raises(Overloaded):
        await bench.layer(a_call(mode=Mode.STREAM))
    assert bench.room("output_tokens") == 5_000
    assert bench.in_flight == 0


async def test_an_end_lets_the_next_one_through() -> None:
    """What an answer didn't use is there for who waits, without any time passing."""
    bench, script = scripted(WHOLE, WHOLE, output_tokens_per_minute=1_100, max_wait_s=100)
    first = await bench.layer(a_call())
    second = bench.start()
    await bench.turn()
    assert len(script.calls) == 1
    await first.message()
    await bench.turn()
    assert len(script.calls) == 2
    await drop(second)


async def test_an_abandoned_answer_keeps_what_it_may_have_written() -> None:
    """Nobody knows what the upstream wrote until the caller left: all that it had time for."""
    bench, script = scripted([OPENING, Hang()], output_tokens_per_minute=5_000)
    script.clock = bench.clock
    reply = await bench.layer(a_call(mode=Mode.STREAM))
    await anext(reply)
    bench.clock.advance(6.0)
    await reply.aclose()
    assert bench.room("output_tokens") == 5_000 - 1_025 + 500
    assert bench.in_flight == 0


def unavailable(usage: Usage | None = None) -> UpstreamUnavailable:
    error = UpstreamUnavailable("reset")
    error.usage = usage
    return error


@pytest.mark.parametrize(
    ("error", "input_given_back", "output_given_back"),
    [
        (unavailable(), False, True),
        (unavailable(Usage(input_tokens=1)), True, True),
        (UpstreamRefused("no"), True, True),
        (UpstreamMisconfigured("no"), True, True),
        (throttled(None), True, True),
        (KeyError("a bug"), False, False),
    ],
    ids=["unavailable", "told usage", "refused", "misconfigured", "throttled", "a bug"],
)
async def test_what_a_failure_costs(
    error: Exception,
    input_given_back: bool,  # noqa: FBT001
    output_given_back: bool,  # noqa: FBT001
) -> None:
    """A request always; its input where it may have been read; output that can't be no more."""
    bench, _ = scripted(
        error,
        requests_per_minute=50,
        input_tokens_per_minute=5_000,
        output_tokens_per_minute=5_000,
    )
    with pytest.raises(type(error)):
        await bench.layer(a_call())
    assert bench.room("requests") == 49
    assert (bench.room("input_tokens") in (5_000, 4_999)) is input_given_back
    assert (bench.room("output_tokens") == 5_000) is output_given_back
    assert bench.in_flight == 0


async def test_an_end_that_helps_a_little_brings_the_turn_forward() -> None:
    """Who waits is let through as soon as there is room, not when it was first expected."""
    bench, script = scripted(WHOLE, WHOLE, output_tokens_per_minute=1_200, max_wait_s=100)
    first = await bench.layer(a_call())
    bench.gate.take(Need(1, 0, 400), bench.clock.now())
    second = bench.start()
    await bench.turn()
    expected = bench.clock.next_timer
    await first.message()
    await bench.turn(12)
    assert expected is not None
    assert bench.clock.now() < expected
    assert len(script.calls) == 2
    await drop(second)
    assert bench.clock.timers == 0
