"""Counting a question's input tokens, as the upstream would."""

import asyncio

from sidecard.core import jsonio
from sidecard.core.call import Call
from sidecard.core.errors import UpstreamUnavailable
from sidecard.upstream import classify
from sidecard.upstream.client import ERROR_BODY_BYTES, Client, read_at_most
from sidecard.upstream.transport import TransportFault
from sidecard.upstream.wire.request import count_tokens_body

_MOST_TOKENS = 2**53
_PATH = "/v1/messages/count_tokens"


class TokenCounter:
    """Asks the upstream; it bills nothing for it. Safe to share."""

    def __init__(self, client: Client, *, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def __call__(self, call: Call) -> int:
        """Return the tokens of input; raises an `UpstreamError`, or `Overloaded`."""
        target = call.target.name
        try:
            async with asyncio.timeout(self._timeout_s):
                content = await self._ask(call)
        except TimeoutError:
            msg = f"no count within {self._timeout_s:g} s (timeouts.first_event_s)"
            raise UpstreamUnavailable(msg, target=target) from None
        try:
            tokens = jsonio.loads(content)["input_tokens"]
        except (ValueError, KeyError, TypeError):
            tokens = None
        if type(tokens) is not int or not 0 <= tokens <= _MOST_TOKENS:
            raise UpstreamUnavailable("the upstream's count is not a count", target=target)
        return tokens

    async def _ask(self, call: Call) -> bytes:
        target = call.target.name
        response = await self._client.post(_PATH, count_tokens_body(call), target=target)
        try:
            return await read_at_most(response, ERROR_BODY_BYTES)
        except TransportFault as fault:
            raise classify.from_fault(fault, target=target) from fault
        finally:
            await response.aclose()
