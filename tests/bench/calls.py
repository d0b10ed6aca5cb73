"""What `tests.bench.clients` measures in Python: calls of one client, as lines of input ask.

`python -m tests.bench.calls sdk|client|async-sdk|async-client PORT` does one job a line,
"unary 200 PROMPT" or "burst 20 PROMPT", and tells how much text each call gave.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import anthropic

from sidecard_client import AsyncClient, Client
from tests.bench.payload import MODEL

_MAX_TOKENS: Final = 4096

Jobs = Mapping[str, Callable[[str], int]]
AsyncJobs = Mapping[str, Callable[[str], Awaitable[int]]]


def _asked(prompt: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "max_tokens": _MAX_TOKENS, "messages": messages}


def _length(event: Any) -> int:
    return len(event.delta.text) if event.type == "content_block_delta" else 0


def _whole(message: Any, length: int) -> int:
    """Return the length of the pieces, when the message is what they make."""
    return length if len(message.content[0].text) == length else -1


def of_sdk(port: str) -> Jobs:
    """Return the jobs as Anthropic's SDK does them."""
    client = anthropic.Anthropic(base_url=f"http://127.0.0.1:{port}", api_key="sk-ant-bench")

    def burst(prompt: str) -> int:
        with client.messages.stream(**_asked(prompt)) as stream:
            length = sum(len(piece) for piece in stream.text_stream)
            return _whole(stream.get_final_message(), length)

    def unary(prompt: str) -> int:
        message: Any = client.messages.create(**_asked(prompt))
        return len(message.content[0].text)

    def events(prompt: str) -> int:
        return sum(map(_length, client.messages.create(**_asked(prompt), stream=True)))

    return {"unary": unary, "burst": burst, "events": events}


def of_client(port: str) -> Jobs:
    """Return the jobs as our client does them."""
    client = Client(f"127.0.0.1:{port}")

    def burst(prompt: str) -> int:
        with client.stream(prompt, max_tokens=_MAX_TOKENS) as stream:
            length = sum(len(piece) for piece in stream.text_stream)
            return length if len(stream.response.text) == length else -1

    def unary(prompt: str) -> int:
        return len(client.generate(prompt, max_tokens=_MAX_TOKENS).text)

    return {"unary": unary, "burst": burst}


def of_async_sdk(port: str) -> AsyncJobs:
    """Return the jobs as Anthropic's awaiting SDK does them."""
    client = anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{port}", api_key="sk-ant-bench")

    async def burst(prompt: str) -> int:
        async with client.messages.stream(**_asked(prompt)) as stream:
            length = sum([len(piece) async for piece in stream.text_stream])
            return _whole(await stream.get_final_message(), length)

    async def unary(prompt: str) -> int:
        message: Any = await client.messages.create(**_asked(prompt))
        return len(message.content[0].text)

    async def events(prompt: str) -> int:
        stream: Any = await client.messages.create(**_asked(prompt), stream=True)
        return sum([_length(event) async for event in stream])

    return {"unary": unary, "burst": burst, "events": events}


def of_async_client(port: str) -> AsyncJobs:
    """Return the jobs as our awaiting client does them."""
    client = AsyncClient(f"127.0.0.1:{port}")

    async def burst(prompt: str) -> int:
        async with client.stream(prompt, max_tokens=_MAX_TOKENS) as stream:
            length = sum([len(piece) async for piece in stream.text_stream])
            return length if len(stream.response.text) == length else -1

    async def unary(prompt: str) -> int:
        return len((await client.generate(prompt, max_tokens=_MAX_TOKENS)).text)

    return {"unary": unary, "burst": burst}


def main(whose: str, port: str) -> None:
    """Do one job a line until the input ends."""
    with asyncio.Runner() as runner:

        async def each(job: Callable[[str], Awaitable[int]], count: int, prompt: str) -> set[int]:
            return {await job(prompt) for _ in range(count)}

        async def made() -> AsyncJobs:
            return (of_async_sdk if whose == "async-sdk" else of_async_client)(port)

        awaiting = runner.run(made()) if whose.startswith("async-") else {}
        blocking = {} if awaiting else (of_sdk if whose == "sdk" else of_client)(port)
        for line in sys.stdin:
            kind, count, prompt = line.rstrip("\n").split(" ", 2)
            if awaiting:
                lengths = runner.run(each(awaiting[kind], int(count), prompt))
            else:
                lengths = {blocking[kind](prompt) for _ in range(int(count))}
            sys.stdout.write(" ".join(map(str, lengths)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
