"""`Rescue` over the real upstream handler, in front of the simulator: real bytes, real breaks."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sidecard.core.clock import SystemClock
from sidecard.core.event import Continued, Restarted
from sidecard.layers.fallback import Fallback
from sidecard.layers.rescue import Rescue
from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.upstream.client import Client
from sidecard.upstream.handler import Limits, Upstream
from tests.support.rescuing import Heard, asked, hear
from tests.support.transports import opened

LIMITS = Limits(first_event_s=2.0, idle_s=2.0, max_answer_bytes=1 << 20)


@pytest_asyncio.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Serve for one test."""
    async with Simulator() as simulator:
        yield simulator


@pytest_asyncio.fixture
async def layer(sim: Simulator) -> AsyncIterator[Rescue]:
    """Return the layer over all that is needed to reach the simulator."""
    clock = SystemClock()
    async with opened("direct", sim.base_url) as transport:
        upstream = Upstream(Client(transport, clock=clock), limits_of=lambda _: LIMITS, clock=clock)
        fallback = Fallback(upstream, clock=clock, notes=lambda _: None)
        yield Rescue(fallback, clock=clock, notes=lambda _: None)


async def answered(layer: Rescue) -> Heard:
    return await hear(layer, asked(deadline=SystemClock().now() + 10))


async def test_a_truncated_stream_goes_on_wherever_it_ended(sim: Simulator, layer: Rescue) -> None:
    """After any event the text is the unbroken one's, with what both streams used."""
    whole = await answered(layer)
    for events in range(4, len(whole.events) - 1):
        sim.play(Script.of({"fault": "truncate", "after_events": events}))
        heard = await answered(layer)
        assert heard.message.text == heard.seen_by_a_client == whole.message.text
        [rescued] = heard.rescues
        assert isinstance(rescued, Continued)
        assert heard.target == rescued.to_target == "claude-b"
        sent = sim.books.received[-1].body["messages"][-1]
        assert sent["role"] == "assistant"
        assert heard.message.usage.input_tokens > 2 * whole.message.usage.input_tokens
    assert sim.books.connections_open <= 1


async def test_nothing_is_added_to_what_the_model_ended(sim: Simulator, layer: Rescue) -> None:
    """When the stop reason has come, only the end is missing: nobody is asked to go on."""
    events = len((await answered(layer)).events) - 1
    before = sim.books.requests
    sim.play(Script.of({"fault": "truncate", "after_events": events}))
    heard = await answered(layer)
    assert (heard.rescues, sim.books.requests - before) == ([], 1)
    with pytest.raises(ValueError, match="not whole"):
        _ = heard.message


async def test_a_model_without_prefills_starts_anew(sim: Simulator, layer: Rescue) -> None:
    """The caller is told to drop what came, and then has the whole answer, the attempts all."""
    whole = (await answered(layer)).message.text
    refuses = {"fault": "no_prefill", "times": "always"}
    sim.play(Script.of({"fault": "truncate", "after_events": 9}, refuses))
    heard = await answered(layer)
    assert heard.rescues == [Restarted("claude-a", "claude-b", "UPSTREAM_INTERRUPTED")]
    assert heard.message.text == heard.seen_by_a_client == whole
    assert heard.message.model == "simulated-claude-b"
    assert sim.books.results["completed"] == 4
