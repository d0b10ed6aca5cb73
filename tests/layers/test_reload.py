"""Layers of two configurations side by side: what the one holds counts in the other."""

import asyncio

from sidecard.core.call import Mode
from sidecard.core.reply import Source
from sidecard.layers.admit import Admit
from sidecard.layers.coalesce import Coalesce
from sidecard.layers.rate_limit import RateLimit
from sidecard.policy.admission import AdmissionPolicy
from sidecard.policy.gate import LimitsPolicy
from tests.support.clock import ManualClock
from tests.support.limited import drop, scripted
from tests.support.script import WHOLE, Script, a_call
from tests.support.stage import Stage, settle


async def test_who_waits_for_a_target_goes_when_the_new_limit_allows() -> None:
    """In the order of before, and before who comes later."""
    bench, script = scripted(WHOLE, WHOLE, WHOLE, requests_per_minute=1, max_wait_s=600)
    first, second = bench.start(), bench.start()
    await bench.turn()
    assert len(script.calls) == 1
    old, gate, clock = bench.layer, bench.gate, bench.clock
    gate.adopt(LimitsPolicy(requests_per_minute=2, max_wait_s=600), clock.now())
    bench.layer = RateLimit(
        script, gate_of=lambda _: gate, notes=bench.notes.append, clock=clock, before=old
    )
    third = bench.start()
    await bench.turn()
    assert len(script.calls) == 2
    assert second.done()
    assert repr(bench.layer) == repr(old) == "<RateLimit, waiting {'claude-test': 1}>"
    await bench.turn(60)
    assert third.done()
    await drop(first, second, third)
    assert clock.timers == 0


async def test_a_flight_is_joined_from_the_next_configuration() -> None:
    """Equal calls are paid for once, also where a reload came between them."""
    stage = Stage()
    old = Coalesce(stage, clock=stage.clock)
    new = Coalesce(stage, clock=stage.clock, before=old)
    one = asyncio.ensure_future(_ask(old))
    await settle()
    two = asyncio.ensure_future(_ask(new))
    await settle()
    assert stage.only.reply is None
    assert (old.flights, new.flights) == (1, 1)
    one.cancel()
    two.cancel()
    await asyncio.wait([one, two])
    await settle()
    assert (old.flights, new.flights) == (0, 0)


async def _ask(layer: Coalesce) -> Source:
    reply = await layer(a_call(mode=Mode.STREAM))
    return reply.head.source


async def test_a_permit_of_before_is_given_to_who_waits_now() -> None:
    """The end of a call under the one configuration lets in a call under the other."""
    clock, script = ManualClock(), Script(WHOLE, WHOLE)
    policy = AdmissionPolicy(in_flight=1)
    old = Admit(script, policies={}, shared=policy, clock=clock, notes=lambda _: None)
    new = Admit(script, policies={}, shared=policy, clock=clock, notes=lambda _: None, before=old)
    running = await old(a_call())
    waits = asyncio.ensure_future(new(a_call()))
    await settle()
    assert not waits.done()
    await running.aclose()
    reply = await waits
    assert new.bulkheads()[""].in_flight == 1
    await reply.aclose()
    assert old.bulkheads()[""].in_flight == 0
