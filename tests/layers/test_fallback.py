"""`Fallback`: the targets in their order, then what may stand in for an answer."""

import pytest

from sidecard.core.call import Call, FallbackPolicy, LastResort, Route, Target
from sidecard.core.errors import (
    BreakerOpen,
    DeadlineExceeded,
    Overloaded,
    RateLimited,
    SidecardError,
    UpstreamMisconfigured,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from sidecard.core.handler import Handler
from sidecard.core.note import Misconfigured, MovedOn, Note
from sidecard.core.reply import Head, Reply, Source
from sidecard.layers.fallback import Fallback
from tests.support.clock import ManualClock
from tests.support.conformance import LayerConformance
from tests.support.script import WHOLE, Script, a_call, a_message

A, B, C = Target("claude-a"), Target("claude-b", max_output_tokens=500), Target("claude-c")
STATIC = LastResort.STATIC
STALE = Head(Source.CACHE_STALE, "claude-a")


class TestFallback(LayerConformance):
    """With one target the layer is a pass-through."""

    def layer(self, next_: Handler) -> Handler:
        return Fallback(next_, clock=ManualClock(), notes=lambda _: None)


def asked(*targets: Target, **changes: object) -> Call:
    """Return a call to a route with those targets; `route_…` are the route's own fields."""
    own = {key[6:]: changes.pop(key) for key in list(changes) if key.startswith("route_")}
    route = Route("default", targets, 1024, **own)  # type: ignore[arg-type]
    return a_call(route=route, target=targets[0], **changes)


def fallback(script: Handler, notes: list[Note] | None = None) -> Fallback:
    taken: list[Note] = [] if notes is None else notes
    return Fallback(script, clock=ManualClock(), notes=taken.append)


def down(target: str) -> UpstreamUnavailable:
    return UpstreamUnavailable("down", target=target)


async def failing(*errors: SidecardError, **changes: object) -> SidecardError:
    """Return what is raised when three targets fail so."""
    with pytest.raises(SidecardError) as raised:
        await fallback(Script(*errors))(asked(*(A, B, C)[: len(errors)], **changes))
    return raised.value


async def test_the_first_target_that_answers_is_the_answer() -> None:
    """Targets are asked in order, later ones' answers are degraded, and the rest isn't asked."""
    script, notes = Script(down("claude-a"), WHOLE), list[Note]()
    call = asked(A, B, C)
    reply = await fallback(script, notes)(call)
    assert [sent.target for sent in script.calls] == [A, B]
    assert reply.head.degraded
    assert notes == [MovedOn("req-1", "claude-a", "claude-b", "UPSTREAM_UNAVAILABLE")]
    await reply.message()


async def test_the_first_targets_answer_is_not_degraded() -> None:
    """Nothing is marked where nothing failed."""
    reply = await fallback(Script(WHOLE))(asked(A, B))
    assert not reply.head.degraded
    await reply.message()


async def test_no_target_is_asked_for_more_than_it_writes() -> None:
    """A second target that writes less gets as many tokens as it has."""
    script = Script(down("claude-a"), WHOLE)
    await (await fallback(script)(asked(A, B))).message()
    assert [call.parameters["max_tokens"] for call in script.calls] == [1024, 500]


@pytest.mark.parametrize("skip", [BreakerOpen, RateLimited], ids=lambda error: error.__name__)
async def test_skipped_targets_are_on_the_trail(skip: type[SidecardError]) -> None:
    """A target that wasn't asked is told as skipped, with the reason."""
    script = Script(skip("no", target="claude-a"), WHOLE)
    call = asked(A, B)
    await (await fallback(script)(call)).message()
    [tried] = call.trail
    assert (tried.target, tried.error, tried.sent) == ("claude-a", skip("").reason, False)


@pytest.mark.parametrize("error", [UpstreamRefused("bad"), DeadlineExceeded("late")])
async def test_what_no_target_could_help_is_raised_at_once(error: SidecardError) -> None:
    """The caller's mistakes and the deadline end the call at the first target."""
    script = Script(error, WHOLE)
    with pytest.raises(type(error)) as raised:
        await fallback(script)(asked(A, B))
    assert raised.value is error
    assert len(script.calls) == 1


async def test_what_a_later_target_refuses_is_not_told_the_caller() -> None:
    """A request that only the substitute can't take failed for the first target's reason."""
    error = await failing(down("claude-a"), UpstreamRefused("no images", target="claude-b"))
    assert isinstance(error, UpstreamUnavailable)
    assert error.message == "down; and claude-b UPSTREAM_REFUSED"


async def test_a_misconfigured_target_is_the_operators_problem() -> None:
    """It is moved on from, and told the operator."""
    script, notes = Script(UpstreamMisconfigured("no key"), WHOLE), list[Note]()
    await (await fallback(script, notes)(asked(A, B))).message()
    assert Misconfigured("req-1", "claude-a", "no key") in notes


async def test_the_most_telling_error_is_raised() -> None:
    """That of a target that was asked and may recover, with the soonest time to try again."""
    throttled = UpstreamThrottled("429", retry_after_s=30, target="claude-b")
    opened = BreakerOpen("open", retry_after_s=4, target="claude-a")
    wrong = UpstreamMisconfigured("key", target="claude-c")
    error = await failing(opened, throttled, wrong)
    assert error is throttled
    assert error.retry_after_s == 4
    both = await failing(
        BreakerOpen("open", retry_after_s=9, target="claude-a"),
        BreakerOpen("open", retry_after_s=5, target="claude-b"),
    )
    assert isinstance(both, BreakerOpen)
    assert both.retry_after_s == 5
    assert (await failing(wrong)) is wrong


async def test_the_cap_on_attempts_ends_the_chain() -> None:
    """When the call has no attempt left, no other target is asked."""
    call = asked(A, B, route_max_attempts=1)

    async def sent(call: Call) -> Reply:
        call.trail.begin(call.target.name, 0.0)
        raise down(call.target.name)

    with pytest.raises(UpstreamUnavailable):
        await fallback(sent)(call)
    assert call.trail.sent == 1


async def test_the_static_answer_says_what_it_is() -> None:
    """When all failed, the route's text answers, marked static and degraded, with no model."""
    notes = list[Note]()
    call = asked(A, route_last_resorts=frozenset({STATIC}), route_static_message="Sorry.")
    reply = await fallback(Script(down("claude-a")), notes)(call)
    assert reply.head == Head(Source.STATIC, "", degraded=True)
    message = await reply.message()
    assert (message.text, message.model) == ("Sorry.", "")
    assert notes == [MovedOn("req-1", "claude-a", "static", "UPSTREAM_UNAVAILABLE")]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"route_last_resorts": frozenset({STATIC})},
        {"route_static_message": "Sorry."},
        {
            "route_static_message": "Sorry.",
            "route_last_resorts": frozenset({STATIC}),
            "fallback": FallbackPolicy(),
        },
        {
            "route_static_message": "Sorry.",
            "route_last_resorts": frozenset({STATIC}),
            "output_schema": {"type": "object"},
        },
    ],
    ids=["nothing allows it", "no text", "not allowed", "the call forbids it", "a schema"],
)
async def test_nothing_stands_in_unasked(changes: dict[str, object]) -> None:
    """Without leave and text there is no static answer; nor where JSON was asked for."""
    assert isinstance(await failing(down("claude-a"), **changes), UpstreamUnavailable)


async def test_the_callers_word_goes_before_the_routes() -> None:
    """A call may allow the static answer that its route doesn't give by itself."""
    policy = FallbackPolicy(frozenset({STATIC}))
    call = asked(A, route_static_message="Sorry.", fallback=policy)
    reply = await fallback(Script(down("claude-a")))(call)
    assert (await reply.message()).text == "Sorry."


@pytest.mark.parametrize("known", [True, False], ids=["stale", "none"])
async def test_a_stale_answer_goes_before_the_static_one(*, known: bool) -> None:
    """An old answer to the same question says more than a fixed text; without one, that is it."""
    clock = ManualClock()

    async def stale(_: Call) -> Reply | None:
        return Reply.whole(STALE, a_message(), clock) if known else None

    allowed = frozenset({STATIC, LastResort.STALE})
    call = asked(A, route_last_resorts=allowed, route_static_message="Sorry.")
    layer = Fallback(Script(down("claude-a")), clock=clock, notes=lambda _: None, stale=stale)
    reply = await layer(call)
    assert reply.head.source is (Source.CACHE_STALE if known else Source.STATIC)
    await reply.message()


async def test_local_refusals_of_the_whole_daemon_pass() -> None:
    """What isn't about a target is no reason to ask another."""
    with pytest.raises(Overloaded):
        await fallback(Script(Overloaded("full"), WHOLE))(asked(A, B))
