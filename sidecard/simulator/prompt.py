"""Prompts as the simulator counts them: tokens, and what a prompt cache would have of them.

The estimate: one token for each four bytes of the prompt's JSON
(tools, then system, then messages, each block compact and without its `cache_control`), rounded up.
A block marked with `cache_control` ends a prefix that is cached, by its exact content and model,
for 5 minutes or an hour; there is no least length.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sidecard.core import jsonio
from sidecard.core.jsonio import JsonObject, JsonValue

BYTES_PER_TOKEN: Final = 4
_TTLS_S: Final = {"5m": 300.0, "1h": 3600.0}


def tokens_of(size_bytes: int) -> int:
    """Return the estimate for `size_bytes` of text."""
    return -(-size_bytes // BYTES_PER_TOKEN)


class Mark(NamedTuple):
    """A prefix to be cached: its digest, its length in tokens, and for how long."""

    digest: bytes
    tokens: int
    ttl: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a request asks, measured."""

    tokens: int
    digest: bytes
    marks: tuple[Mark, ...]


class Charge(NamedTuple):
    """Input tokens by price; they add up to the prompt's."""

    input: int = 0
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0

    def told(self, said: JsonObject) -> "Charge":
        """Return what a usage object says that has some fields in place of these."""
        written = said.get("cache_creation") or {}
        return Charge(
            said.get("input_tokens", self.input),
            said.get("cache_read_input_tokens", self.read),
            written.get("ephemeral_5m_input_tokens", self.write_5m),
            written.get("ephemeral_1h_input_tokens", self.write_1h),
        )


def read_prompt(body: JsonObject) -> Prompt:
    """Measure a checked request's prompt."""
    digest = hashlib.sha256(str(body["model"]).encode())
    size, marks = 0, []
    for block, control in _blocks(body):
        data = jsonio.dumps(block).encode()
        size += len(data)
        digest.update(data)
        if control:
            marks.append(Mark(digest.digest(), tokens_of(size), str(control.get("ttl") or "5m")))
    if isinstance(body.get("cache_control"), dict):
        ttl = str(body["cache_control"].get("ttl") or "5m")
        marks.append(Mark(digest.digest(), tokens_of(size), ttl))
    return Prompt(max(1, tokens_of(size)), digest.digest(), tuple(marks))


def _blocks(body: JsonObject) -> Iterator[tuple[Any, dict[str, Any] | None]]:
    for tool in body.get("tools") or []:
        yield _unmarked(tool)
    yield from _parts(body.get("system") or [])
    for message in body["messages"]:
        yield message["role"], None
        yield from _parts(message["content"])


def _parts(content: JsonValue) -> Iterator[tuple[Any, dict[str, Any] | None]]:
    if isinstance(content, str):
        yield {"type": "text", "text": content}, None
    else:
        for block in content:
            yield _unmarked(block)


def _unmarked(block: JsonValue) -> tuple[Any, dict[str, Any] | None]:
    if not (isinstance(block, dict) and isinstance(block.get("cache_control"), dict)):
        return block, None
    return {k: v for k, v in block.items() if k != "cache_control"}, block["cache_control"]


class PromptCache:
    """Remembers marked prefixes. The clock is passed in; used by one event loop."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._expires: OrderedDict[bytes, float] = OrderedDict()

    def charge(self, prompt: Prompt, now: float) -> Charge:
        """Return how the prompt's tokens are billed, and remember its prefixes."""
        read = 0
        written = {"5m": 0, "1h": 0}
        for mark in prompt.marks:
            if self._expires.get(mark.digest, now) > now:
                read = max(read, mark.tokens)
        upto = read
        for mark in prompt.marks:
            ttl = mark.ttl if mark.ttl in _TTLS_S else "5m"
            written[ttl] += max(0, mark.tokens - upto)
            upto = max(upto, mark.tokens)
            self._expires[mark.digest] = now + _TTLS_S[ttl]
            self._expires.move_to_end(mark.digest)
        while len(self._expires) > self._size:
            self._expires.popitem(last=False)
        return Charge(prompt.tokens - upto, read, written["5m"], written["1h"])
