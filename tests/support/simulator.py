"""Asking the simulator over plain HTTP, and reading what came."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from sidecard.simulator.script import HEADER
from sidecard.simulator.server import Simulator

HEADERS = {"x-api-key": "test", "anthropic-version": "2023-06-01"}
PATH = "/v1/messages"

Json = dict[str, Any]


def question(text: str = "hello", **more: object) -> Json:
    """Return a request's body; `more` adds fields to it or replaces them."""
    messages = [{"role": "user", "content": text}]
    return {"model": "model-1", "max_tokens": 1000, "messages": messages, **more}


@dataclass(frozen=True)
class Answered:
    """An HTTP answer that came whole."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Json:
        """Return the body of a unary answer."""
        body: Json = json.loads(self.content)
        return body

    def events(self) -> list[Json]:
        """Return a stream's events, as the API frames them."""
        blocks = [block for block in self.content.decode().split("\n\n") if block]
        return [json.loads(block.split("\ndata: ", 1)[1]) for block in blocks]

    def text(self) -> str:
        """Return a stream's text."""
        deltas = [
            event["delta"] for event in self.events() if "index" in event and "delta" in event
        ]
        return "".join(delta.get("text", "") for delta in deltas)


@asynccontextmanager
async def opened(
    simulator: Simulator, body: Json, step: Json | None = None, path: str = PATH
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send a request and hand over its answer when the headers have come, body unpacked."""
    headers = HEADERS if step is None else {**HEADERS, HEADER: json.dumps(step)}
    async with (
        aiohttp.ClientSession(simulator.base_url, headers=headers) as session,
        session.post(path, json=body) as response,
    ):
        yield response


async def ask(
    simulator: Simulator, body: Json, step: Json | None = None, path: str = PATH
) -> Answered:
    """Send a request on a connection of its own, and read the whole answer."""
    async with opened(simulator, body, step, path) as response:
        return Answered(response.status, response.headers, await response.read())


def on_the_wire(body: Json, step: Json | None = None) -> bytes:
    """Return a request as bytes."""
    content = json.dumps(body).encode()
    lines = [f"POST {PATH} HTTP/1.1", "host: sim", f"content-length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    if step is not None:
        lines.append(f"{HEADER}: {json.dumps(step)}")
    return "\r\n".join([*lines, "", ""]).encode() + content


@asynccontextmanager
async def wire(
    simulator: Simulator, request: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send bytes on a socket and hand over both directions."""
    reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
    try:
        writer.write(request)
        await writer.drain()
        yield reader, writer
    finally:
        writer.close()


async def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait until something is so; raises TimeoutError when that takes too long."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # any condition, not an event
            await asyncio.sleep(0.001)
