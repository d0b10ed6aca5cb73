"""Both transports, opened the same way, for tests that hold for either."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sidecard.core.jsonio import JsonObject
from sidecard.upstream.direct import Direct
from sidecard.upstream.keys import FixedKey, KeySource
from sidecard.upstream.sdk import Sdk
from sidecard.upstream.transport import Response, Transport

KINDS: Final = ("direct", "sdk")
KEY: Final = "sk-test-0123456789"
PATH: Final = "/v1/messages"
BODY: Final[JsonObject] = {
    "model": "claude-sonnet-4-20250514",  # One that the SDK warns of.
    "max_tokens": 16,
    "messages": ({"role": "user", "content": "grüß dich"},),
    "novel_parameter": {"kept": [1, 2.5, None, True]},
    "stream": True,
}


@asynccontextmanager
async def opened(
    kind: str,
    base_url: str,
    *,
    key: KeySource | None = None,
    connect_timeout_s: float = 10.0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Transport]:
    """Make a transport and close it at the end."""
    key = key or FixedKey(KEY, origin="the test")
    transport: Transport
    if kind == "direct":
        transport = Direct(base_url, key, connect_timeout_s=connect_timeout_s, tls=tls)
    else:
        transport = Sdk(
            "anthropic", base_url=base_url, key=key, connect_timeout_s=connect_timeout_s, tls=tls
        )
    try:
        yield transport
    finally:
        await transport.aclose()


async def whole(response: Response) -> bytes:
    """Read a body to its end and let go of it."""
    content = b""
    while data := await response.read():
        content += data
    await response.aclose()
    return content
