"""`Coalesce`: what each caller is told of the call that was made for all."""

import asyncio
from dataclasses import replace

import pytest

from sidecard.core.call import Mode, Priority
from sidecard.core.errors import UpstreamThrottled
from sidecard.core.event import Restarted
from sidecard.core.fold import fold
from sidecard.core.reply import Reply, Source
from sidecard.layers.admit import Admit
from sidecard.layers.coalesce import Coalesce
from sidecard.layers.rate_limit import RateLimit
from sidecard.policy.admission import AdmissionPolicy
from sidecard.policy.gate import Gate, LimitsPolicy
from sidecard.policy.need import Need
from tests.support.script import OPENING, WHOLE, a_call
from tests.support.stage import Stage, asked, settle, staged, told

STREAM = Mode.STREAM


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_lone_caller_is_told_all(mode: Mode) -> None:
    """A call that nobody joins has its own trail, usage and wait, as if there were no flight."""
    coalesce, stage = staged()
    call, task = asked(coalesce, mode=mode)
    await settle()
    stage.only.call.trail.queued_s = 0.5
    stage.clock.advance(2)
    stage.only.send(*WHOLE, last=True)
    reply = await task
    await reply.message()
    assert told(call.trail) == [(1, "claude-test", "", True)]
    assert (call.trail.sent, call.trail.queued_s) == (1, 0.5)
    assert next(iter(call.trail)).duration_s == 2
    assert reply.head is stage.only.head


async def test_all_are_told_of_the_attempts_and_one_of_what_they_cost() -> None:
    """Attempts and skipped targets show in every answer; tokens are the speaker's to count."""
    coalesce, stage = staged()
    calls = [asked(coalesce, mode=mode) for mode in (STREAM, STREAM, Mode.UNARY)]
    await settle()
    trail = stage.only.call.trail
    next(iter(trail)).error = "UPSTREAM_THROTTLED"
    trail.skip("claude-b", 1_000.0, "BREAKER_OPEN")
    trail.begin("claude-c", 1_000.0)
    trail.queued_s = 0.5
    stage.only.send(*WHOLE)
    for call, task in calls:
        await (await task).message()
        paid = call is calls[0][0]
        assert [(target, error) for _, target, error, _ in told(call.trail)] == [
            ("claude-test", "UPSTREAM_THROTTLED"),
            ("claude-b", "BREAKER_OPEN"),
            ("claude-c", ""),
        ]
        assert [usage for *_, usage in told(call.trail)] == [paid, False, False]
        assert (call.trail.sent, call.trail.queued_s) == (2, 0.5 if paid else 0)
        assert call.trail is not trail


async def test_of_a_failure_one_is_told_the_attempts() -> None:
    """What failed is counted once, however many it failed."""
    coalesce, stage = staged()
    calls = [asked(coalesce) for _ in range(3)]
    await settle()
    stage.only.fail(UpstreamThrottled("no"))
    await asyncio.gather(*[task for _, task in calls], return_exceptions=True)
    assert [call.trail.sent for call, _ in calls] == [1, 0, 0]


@pytest.mark.parametrize("landed", [True, False])
async def test_who_speaks_is_told_instead_of_one_who_left(landed: bool) -> None:  # noqa: FBT001
    """Whose answer says UPSTREAM has the cost; whoever left before the end has neither."""
    coalesce, stage = staged()
    (first, leaving), (second, staying), (_, other) = [asked(coalesce) for _ in range(3)]
    await settle()
    if landed:
        stage.only.send(*WHOLE, last=True)
        await asyncio.sleep(0)  # The flight has its answer, and its callers are about to.
    leaving.cancel()
    await settle()
    if not landed:
        stage.only.send(*WHOLE, last=True)
    replies = await asyncio.gather(staying, other)
    assert [reply.head.source for reply in replies] == [Source.UPSTREAM, Source.COALESCED]
    await asyncio.gather(*[reply.message() for reply in replies])
    assert leaving.cancelled()
    assert (first.trail.sent, told(second.trail)) == (0, [(1, "claude-test", "", True)])


async def test_a_head_that_changes_changes_for_all() -> None:
    """A stream that goes on at another target says so to everybody, whoever asked."""
    coalesce, stage = staged()
    (_, one), (_, other) = asked(coalesce, mode=STREAM), asked(coalesce, mode=STREAM)
    await settle()
    stage.only.send(OPENING)
    first, second = await one, await other
    await anext(first)
    assert stage.only.reply is not None
    stage.only.reply.amend(target="claude-b", degraded=True)
    stage.only.send((Restarted("claude-test", "claude-b", "X"),), *WHOLE)
    await asyncio.gather(first.message(), second.message())
    assert {(r.head.target, r.head.degraded) for r in (first, second)} == {("claude-b", True)}
    assert (first.head.source, second.head.source) == (Source.UPSTREAM, Source.COALESCED)


async def test_a_stand_in_is_named_as_one_to_all() -> None:
    """Who follows a flight that ended in a last resort is told of that."""
    coalesce, stage = staged()
    calls = [asked(coalesce, mode=STREAM) for _ in range(2)]
    await settle()
    stage.only.head = replace(stage.only.head, source=Source.STATIC, degraded=True)
    stage.only.send(*WHOLE)
    for _, task in calls:
        reply = await task
        assert (reply.head.source, reply.head.degraded) == (Source.STATIC, True)
        await reply.message()


@pytest.mark.parametrize("callers", [1, 2])
async def test_nobody_comes_between_an_answer_and_its_keeping(callers: int) -> None:
    """In whatever turn of the loop a call comes, it finds the flight or what was kept of it."""
    coalesce, stage = staged()
    kept: list[object] = []

    async def ask() -> object:
        if kept:
            return kept[0]
        reply = await coalesce(a_call(mode=Mode.UNARY))
        message = await reply.message()
        if reply.head.source is Source.UPSTREAM:
            kept.append(message)
        return message

    tasks = [asyncio.ensure_future(ask()) for _ in range(callers)]
    await settle()
    stage.only.send(*WHOLE, last=True)
    for _ in range(12):
        tasks.append(asyncio.ensure_future(ask()))
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert [await task for task in tasks] == [fold(WHOLE)] * len(tasks)
    assert (len(stage.acts), len(kept), coalesce.flights) == (1, 1, 0)


def _one_at_a_time() -> tuple[Coalesce, Admit, Stage]:
    stage = Stage()
    policy = AdmissionPolicy(in_flight=1)
    admit = Admit(stage, policies={}, shared=policy, clock=stage.clock, notes=lambda _: None)
    return Coalesce(admit, clock=stage.clock), admit, stage


async def _ask(
    coalesce: Coalesce, tokens: int, priority: Priority = Priority.INTERACTIVE
) -> "asyncio.Task[Reply]":
    """Ask something else with each number of `tokens`."""
    _, task = asked(coalesce, parameters={"max_tokens": tokens}, priority=priority)
    await settle()
    return task


async def test_the_urgent_do_not_wait_in_the_line_of_the_others() -> None:
    """Who joins a call that waits among those who have time has it wait among the urgent."""
    coalesce, admit, stage = _one_at_a_time()
    tasks = [
        await _ask(coalesce, tokens, priority)
        for tokens, priority in (
            (1, Priority.INTERACTIVE),
            (3, Priority.BATCH),
            (2, Priority.BATCH),
            (4, Priority.INTERACTIVE),
            (2, Priority.INTERACTIVE),
            (2, Priority.BATCH),
        )
    ]
    read: list[asyncio.Task[Reply]] = []
    for turn in range(4):
        stage.acts[turn].send(*WHOLE, last=True)
        await settle()
        for task in [task for task in tasks if task.done() and task not in read]:
            await (await task).message()
            read.append(task)
        await settle()
    assert [act.call.parameters["max_tokens"] for act in stage.acts] == [1, 4, 2, 3]
    sources = [(await task).head.source for task in tasks]
    assert [at for at, source in enumerate(sources) if source is Source.COALESCED] == [4, 5]
    assert (coalesce.flights, admit.bulkheads()[""].in_flight) == (0, 0)


async def test_nor_in_the_line_for_a_target_s_rate() -> None:
    """There, too, a call takes its place anew when somebody joins it who is in a hurry."""
    stage = Stage()
    gate = Gate(LimitsPolicy(requests_per_minute=6, max_wait_s=100))
    gate.take(Need(6), stage.clock.now())
    notes: list[object] = []
    limit = RateLimit(stage, gate_of=lambda _: gate, notes=notes.append, clock=stage.clock)
    coalesce = Coalesce(limit, clock=stage.clock)
    tasks = [
        await _ask(coalesce, tokens, priority)
        for tokens, priority in (
            (1, Priority.BATCH),
            (2, Priority.BATCH),
            (3, Priority.INTERACTIVE),
            (2, Priority.INTERACTIVE),
        )
    ]
    for _ in range(3):
        stage.clock.advance(10)
        await settle()
    assert [act.call.parameters["max_tokens"] for act in stage.acts] == [3, 2, 1]
    for act in stage.acts:
        act.send(*WHOLE, last=True)
    for task in tasks:
        await (await task).message()
    await settle()
    assert (len(stage.acts), coalesce.flights, stage.clock.timers) == (3, 0, 0)


async def test_who_leaves_while_a_call_turns_urgent_is_gone() -> None:
    """A flight that all leave in the moment when it takes its place anew is not flown."""
    coalesce, admit, stage = _one_at_a_time()
    runs = await _ask(coalesce, 1)
    both = [await _ask(coalesce, 2, Priority.BATCH)]
    _, urgent = asked(coalesce, parameters={"max_tokens": 2})
    both.append(urgent)
    await asyncio.sleep(0)
    for task in both:
        task.cancel()
    await settle()
    assert all(task.cancelled() for task in both)
    stage.only.send(*WHOLE, last=True)
    await (await runs).message()
    await settle()
    assert len(stage.acts) == 1
    assert (coalesce.flights, admit.bulkheads()[""].in_flight) == (0, 0)


async def test_what_was_sent_is_shared_with_the_urgent() -> None:
    """A flight of those who have time is joined once it is on its way, and then is as urgent."""
    coalesce, stage = staged()
    calls = [asked(coalesce, priority=Priority.BATCH)]
    await settle()
    calls.append(asked(coalesce))
    await settle()
    assert stage.only.call.priority is Priority.INTERACTIVE
    stage.only.send(*WHOLE, last=True)
    for _, task in calls:
        await (await task).message()
