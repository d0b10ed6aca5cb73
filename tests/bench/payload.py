"""What the mock upstream says, prebuilt, and the prompts that tell it how.

Order and fields of the events are those of the API, 200 bytes of text in ten deltas by default.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

MODEL: Final = "claude-sonnet-5-5"
TEXT: Final = (
    "A sidecar runs beside the service that it helps, shares its network and its fate, and takes "
    "on what every caller of a remote model would have to build: limits, retries, and a plain word"
    " upon failures."
)
DELTA: Final = TEXT[:20]

DELTAS: Final = 10
BURST_DELTAS: Final = 200
PACED_DELTAS: Final = 5

_QUESTION: Final = "In two sentences: what does a sidecar take on for the service beside it? "
PLAIN: Final = _QUESTION
"""Answered at once, all of it in one write."""
BURST: Final = _QUESTION + "[burst]"
"""The same with 200 deltas."""
PACED: Final = _QUESTION + "[paced]"
"""The preamble, then the first delta in a write of its own, then one each millisecond."""
HELD: Final = _QUESTION + "[held]"
"""The preamble and one delta; then the stream stays open."""
WAITED: Final = _QUESTION + "[waits {} ms]"
"""Answered as the plain one after so many milliseconds, 5 digits."""

_ID: Final = "msg_01XFDUDYJgAACzvnptvVoYEL"
_USAGE: Final = {
    "input_tokens": 25,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 48,
    "service_tier": "standard",
}
# What the API's answers carry beside their length and type. Each of the three limits is told,
# so that each is metered, and is so high that none ever holds up.
_HEADERS: Final = (
    b"Date: Mon, 23 Nov 2026 12:00:00 GMT\r\n"
    b"Connection: keep-alive\r\n"
    b"Cache-Control: no-cache\r\n"
    b"anthropic-ratelimit-requests-limit: 900000000\r\n"
    b"anthropic-ratelimit-requests-remaining: 899999000\r\n"
    b"anthropic-ratelimit-requests-reset: 2026-11-23T12:00:00Z\r\n"
    b"anthropic-ratelimit-input-tokens-limit: 900000000\r\n"
    b"anthropic-ratelimit-input-tokens-remaining: 899999000\r\n"
    b"anthropic-ratelimit-input-tokens-reset: 2026-11-23T12:00:00Z\r\n"
    b"anthropic-ratelimit-output-tokens-limit: 900000000\r\n"
    b"anthropic-ratelimit-output-tokens-remaining: 899999000\r\n"
    b"anthropic-ratelimit-output-tokens-reset: 2026-11-23T12:00:00Z\r\n"
    b"request-id: req_018EeWyXxfu5pfWkrYcMdjWG\r\n"
    b"strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
    b"Server: cloudflare\r\n"
    b"X-Robots-Tag: none\r\n"
)
STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n" + _HEADERS + b"\r\n"
)


def text_of(deltas: int) -> str:
    """Return the text that a stream of so many deltas adds up to."""
    return TEXT if deltas == DELTAS else DELTA * deltas


def message(**fields: Any) -> dict[str, Any]:
    """Return the message as the API gives it unstreamed, with some fields replaced."""
    whole = {
        "id": _ID,
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _USAGE,
    }
    return {**whole, **fields}


def waiting(wait_s: float) -> str:
    """Return the prompt that is answered after so many seconds."""
    return WAITED.format(f"{round(wait_s * 1e3):05}")


def request(prompt: str, *, stream: bool) -> bytes:
    """Return the body of a request for the API."""
    messages = [{"role": "user", "content": prompt}]
    body = {"model": MODEL, "messages": messages, "max_tokens": 4096}
    return _json({**body, "stream": True} if stream else body)


def unary() -> bytes:
    """Return the whole answer to a request that doesn't ask for a stream."""
    body = _json(message())
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(
        body
    )
    return head + _HEADERS + b"\r\n" + body


def preamble() -> bytes:
    """Return the events before the first delta, in chunks."""
    usage = {**_USAGE, "output_tokens": 1}
    started = message(content=[], stop_reason=None, usage=usage)
    block = {"type": "text", "text": ""}
    return (
        _chunk("message_start", message=started)
        + _chunk("content_block_start", index=0, content_block=block)
        + _chunk("ping")
    )


def delta(text: str = DELTA) -> bytes:
    """Return one delta, in a chunk of its own as the API sends it."""
    piece = {"type": "text_delta", "text": text}
    return _chunk("content_block_delta", index=0, delta=piece)


def ending() -> bytes:
    """Return the events after the last delta, and the end of the body."""
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    return (
        _chunk("content_block_stop", index=0)
        + _chunk("message_delta", delta=stop, usage={"output_tokens": 48})
        + _chunk("message_stop")
        + b"0\r\n\r\n"
    )


def stream(deltas: int) -> bytes:
    """Return a whole streamed answer, head included."""
    return STREAM_HEAD + preamble() + b"".join(map(delta, _pieces(deltas))) + ending()


def _pieces(deltas: int) -> Iterator[str]:
    text = text_of(deltas)
    yield from (text[at : at + len(DELTA)] for at in range(0, len(text), len(DELTA)))


def _chunk(kind: str, **fields: Any) -> bytes:
    event = f"event: {kind}\ndata: ".encode() + _json({"type": kind, **fields}) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
