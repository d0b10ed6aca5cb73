"""Streams: in order, whole or an error, and left at once."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sidecard.core.errors import UpstreamInterrupted as CoreInterrupted
from sidecard.v1 import generation_pb2 as pb
from sidecard.v1.content_pb2 import ContentBlock
from sidecard.v1.stream_pb2 import Restarted, StreamEvent
from sidecard_client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    SidecardError,
    Unavailable,
    UpstreamInterrupted,
)
from tests.support.rawserver import unused_port
from tests.support.scripted_daemon import (
    CLIENTS,
    AnyClient,
    Context,
    ScriptedDaemon,
    StreamGenerate,
    closed,
    eventually,
    fail,
    opened,
    packed,
    scripted,
    text,
)


def plays(
    *messages: pb.StreamGenerateResponse, then: BaseException | None = None, stall: bool = False
) -> StreamGenerate:
    """Return a `stream` of these messages, which then fails or stalls if so asked."""

    async def stream(_: object, context: Context) -> AsyncIterator[pb.StreamGenerateResponse]:
        for message in messages:
            yield message
        if stall:
            await asyncio.Event().wait()
        if then is not None:
            await fail(context, then)

    return stream


HALF = (opened(), packed(text("Hel"), text("lo")))


def starts(*blocks: ContentBlock) -> list[StreamEvent]:
    """Return the start of each block."""
    return [StreamEvent(index=i, block_started=block) for i, block in enumerate(blocks)]


async def test_events_come_in_order(client: AnyClient) -> None:
    """However they were packed, they come one by one, and a whole stream just ends."""
    kinds = [event.WhichOneof("event") async for event in client.stream("hi")]
    assert kinds == [
        *("started", "block_started", "text_delta", "text_delta", "text_delta"),
        *("block_stopped", "usage", "finished"),
    ]


async def test_the_text_comes_in_pieces_and_adds_up(client: AnyClient) -> None:
    """`text_stream` gives the pieces, `text` their sum, `response` the whole reply."""
    async with client.stream("hi") as stream:
        pieces = [piece async for piece in stream.text_stream]
        assert pieces == ["Hel", "lo", ", world"]
        assert stream.text == "Hello, world"
        reply = stream.response
    assert (reply.text, reply.content[0].text.text) == ("Hello, world", "Hello, world")
    assert (reply.request_id, reply.stop_reason) == ("req-1", "end_turn")


async def test_nothing_is_sent_before_the_first_event_is_asked_for(
    daemon: ScriptedDaemon, client: AnyClient
) -> None:
    """A stream that nobody reads costs nothing."""
    async with client.stream("hi", tenant="acme", request_id="mine") as stream:
        assert daemon.calls == 0
        await anext(aiter(stream))
        assert (daemon.request.tenant, daemon.metadata["x-request-id"]) == ("acme", "mine")


async def test_a_streamed_reply_has_all_its_blocks(
    daemon: ScriptedDaemon, client: AnyClient
) -> None:
    """Thinking, tool uses, citations and unknown blocks add up to what `generate` would give."""
    citation = {"type": "char_location", "cited_text": "x"}
    deltas: dict[int, list[dict[str, Any]]] = {
        0: [{"thinking_delta": "hm"}, {"thinking_delta": "m"}, {"signature_delta": "sig"}],
        1: [{"text_delta": "see"}, {"citation_delta": citation}],
        2: [{"input_json_delta": '{"city":'}, {"input_json_delta": '"Oslo"}'}],
        4: [{"input_json_delta": '{"query":"q"}'}],
    }
    begun = starts(
        ContentBlock(thinking={}),
        ContentBlock(text={}),
        ContentBlock(tool_use={"id": "a", "name": "f", "input_json": "{}"}),
        ContentBlock(tool_use={"id": "b", "name": "g", "input_json": "{}"}),
        ContentBlock(raw={"type": "server_tool_use", "input": {}}),
        ContentBlock(raw={"type": "novel", "n": 1}),
    )
    grown = [StreamEvent(index=i, **delta) for i in deltas for delta in deltas[i]]
    events = [*begun, *grown]
    daemon.stream = plays(packed(*events), *closed()[1:])
    async with client.stream("hi") as stream:
        assert len([event async for event in stream]) == len(events)
    assert list(stream.response.content) == [
        ContentBlock(thinking={"thinking": "hmm", "signature": "sig"}),
        ContentBlock(text={"text": "see", "citations": [citation]}),
        ContentBlock(tool_use={"id": "a", "name": "f", "input_json": '{"city":"Oslo"}'}),
        ContentBlock(tool_use={"id": "b", "name": "g", "input_json": "{}"}),
        ContentBlock(raw={"type": "server_tool_use", "input": {"query": "q"}}),
        ContentBlock(raw={"type": "novel", "n": 1}),
    ]


async def test_what_a_restart_drops_is_no_part_of_the_answer(
    daemon: ScriptedDaemon, client: AnyClient
) -> None:
    """After a Restarted event the text begins anew."""
    again = StreamEvent(restarted=Restarted(from_target="a", to_target="b"))
    daemon.stream = plays(*HALF, packed(again), opened(), packed(text("Bye")), *closed())
    async with client.stream("hi") as stream:
        assert [piece async for piece in stream.text_stream] == ["Hel", "lo", "Bye"]
    assert (stream.text, stream.response.text) == ("Bye", "Bye")


async def test_a_broken_stream_is_an_error_with_what_came(
    daemon: ScriptedDaemon, client: AnyClient
) -> None:
    """All that came is delivered, then the typed error, again and again, and never an end."""
    daemon.stream = plays(*HALF, then=CoreInterrupted("the upstream closed", target="a"))
    stream = client.stream("hi")
    events = [await anext(aiter(stream)) for _ in range(4)]
    assert [event.text_delta for event in events if event.text_delta] == ["Hel", "lo"]
    with pytest.raises(UpstreamInterrupted, match="the upstream closed") as caught:
        await anext(aiter(stream))
    assert (caught.value.partial_text, caught.value.target) == ("Hello", "a")
    for _ in range(2):
        with pytest.raises(UpstreamInterrupted):
            await anext(aiter(stream))
    with pytest.raises(UpstreamInterrupted):
        _ = stream.response


@pytest.mark.parametrize("messages", [(), HALF, (*HALF, closed()[0])])
async def test_an_end_without_the_response_is_an_error(
    daemon: ScriptedDaemon, client: AnyClient, messages: tuple[pb.StreamGenerateResponse, ...]
) -> None:
    """OK alone doesn't make an answer whole: its last message does."""
    daemon.stream = plays(*messages)
    stream = client.stream("hi", request_id="mine")
    with pytest.raises(UpstreamInterrupted, match="before the answer was whole") as caught:
        _ = [event async for event in stream]
    assert caught.value.request_id == "mine"
    assert caught.value.partial_text == ("Hello" if messages else "")


async def test_the_response_alone_is_not_the_end(daemon: ScriptedDaemon, client: AnyClient) -> None:
    """A status that isn't OK after the last message is still an error."""
    daemon.stream = plays(*HALF, *closed(), then=CoreInterrupted("too late"))
    with pytest.raises(UpstreamInterrupted, match="too late"):
        _ = [event async for event in client.stream("hi")]


async def test_the_response_is_there_at_the_end_only(client: AnyClient) -> None:
    """Asking for it earlier is a mistake that says so."""
    async with client.stream("hi") as stream:
        await anext(aiter(stream))
        with pytest.raises(RuntimeError, match="not read to its end"):
            _ = stream.response


async def test_the_deadline_bounds_the_whole_stream(
    daemon: ScriptedDaemon, client: AnyClient
) -> None:
    """A stream that stalls ends at the timeout, with what came."""
    daemon.stream = plays(*HALF, stall=True)
    with pytest.raises(DeadlineExceeded) as caught:
        _ = [event async for event in client.stream("hi", timeout_s=0.2)]
    assert caught.value.partial_text == "Hello"


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_daemon_that_goes_away_is_an_error(kind: Callable[..., AnyClient]) -> None:
    """A stream whose daemon ends doesn't end well itself."""
    async with scripted() as daemon:
        daemon.stream = plays(*HALF, stall=True)
        client = kind(daemon.address)
        stream = client.stream("hi")
        for _ in range(4):
            await anext(aiter(stream))
    with pytest.raises(Unavailable) as caught:
        await anext(aiter(stream))
    assert caught.value.partial_text == "Hello"
    await client.close()


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_stream_that_was_never_sent_has_failed_too(kind: Callable[..., AnyClient]) -> None:
    """Its answer's error is the one that the loop had; nothing is tried again."""
    absent = f"127.0.0.1:{unused_port()}"
    for request_id, wait_s in ((None, 0.05), ("a\nb", 0)):
        async with kind(absent, wait_for_ready_s=wait_s) as client:
            stream = client.stream("hi", request_id=request_id)
            with pytest.raises(SidecardError) as first:
                await anext(aiter(stream))
            with pytest.raises(SidecardError) as second:
                _ = stream.response
            assert second.value is first.value


async def test_leaving_the_block_cancels_the_call(
    daemon: ScriptedDaemon, client: AnyClient
) -> None:
    """`break` inside `with`: the daemon hears of it at once, and the rest is no clean end."""
    daemon.stream = plays(*HALF, stall=True)
    async with client.stream("hi") as stream:
        async for piece in stream.text_stream:
            assert piece == "Hel"
            break
    await asyncio.wait_for(daemon.cancelled.wait(), 0.3)
    with pytest.raises(RuntimeError, match="closed before its end"):
        await anext(aiter(stream))
    with pytest.raises(RuntimeError, match="closed before its end"):
        _ = stream.response


async def test_leaving_the_loop_cancels_the_call(daemon: ScriptedDaemon, client: AnyClient) -> None:
    """`break` alone does it too, as soon as nothing holds the stream any more."""
    daemon.stream = plays(*HALF, stall=True)
    gc.disable()
    try:
        async for _ in client.stream("hi"):
            break
        await asyncio.wait_for(daemon.cancelled.wait(), 0.3)
    finally:
        gc.enable()
    assert daemon.cancelled.is_set()


async def test_a_stream_can_be_closed_while_it_is_read(
    daemon: ScriptedDaemon, client: AnyClient
) -> None:
    """Another thread or task may close it: the reader gets an error, not an end."""
    daemon.stream = plays(*HALF, stall=True)
    stream = client.stream("hi")

    async def read() -> None:
        async for _ in stream:
            pass

    reader = asyncio.create_task(read())
    await eventually(lambda: stream.text == "Hello")
    await stream.close()
    with pytest.raises(RuntimeError, match="closed before"):
        await asyncio.wait_for(reader, 1)
    await stream.close()


async def test_a_stream_that_ended_stays_so(client: AnyClient) -> None:
    """Closing a whole stream changes nothing."""
    stream = client.stream("hi")
    _ = [event async for event in stream]
    await stream.close()
    assert stream.response.text == "Hello, world"
    assert [event async for event in stream] == []


async def test_a_cancelled_task_cancels_its_stream(daemon: ScriptedDaemon) -> None:
    """Cancellation passes, reaches the daemon, and leaves no clean end behind."""
    daemon.stream = plays(*HALF, stall=True)
    async with AsyncClient(daemon.address) as client:
        stream = client.stream("hi")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                _ = [event async for event in stream]
        await asyncio.wait_for(daemon.cancelled.wait(), 0.3)
        with pytest.raises((SidecardError, RuntimeError)):
            await anext(stream)


async def test_no_thread_outlives_a_blocking_client(daemon: ScriptedDaemon) -> None:
    """A closed client leaves nothing running."""
    before = threading.active_count()

    def use() -> None:
        with Client(daemon.address, wait_for_ready_s=5) as client, client.stream("hi") as stream:
            next(stream)

    worker = threading.Thread(target=use)
    worker.start()
    await eventually(lambda: not worker.is_alive())
    await eventually(lambda: threading.active_count() <= before)
    assert threading.active_count() <= before


async def test_no_thread_outlives_a_wait_for_a_daemon() -> None:
    """A client that found none may be kept, and tried again."""
    before = threading.active_count()
    client = Client(f"127.0.0.1:{unused_port()}", wait_for_ready_s=0.02)
    with pytest.raises(Unavailable, match="waited"):
        client.generate("hi")
    await eventually(lambda: threading.active_count() <= before)
    assert threading.active_count() <= before
    client.close()
