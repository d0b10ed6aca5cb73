"""The sdk transport: any client of the `anthropic` package, for its clouds and its credentials.

The SDK finds credentials, signs and addresses requests; all else is left to sidecard:
its retries, its timeouts and its reading of answers are off.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from sidecard.core.jsonio import JsonObject
from sidecard.upstream.direct_pool import connections
from sidecard.upstream.keys import KeySource, Secret
from sidecard.upstream.sdk_eventstream import EventStreamDecoder
from sidecard.upstream.transport import NONE, Phase, TransportFault

if TYPE_CHECKING:
    from sidecard.upstream.sdk_client import Answer

_Fault: TypeAlias = Callable[[Exception], TransportFault]
_Ended: TypeAlias = Callable[["SdkResponse", "asyncio.Task[None] | None"], None]

_EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
_END_S: Final = 1.0
"""How long a connection waits for the end of a body whose message is whole."""


class Sdk:
    """Posts through the client `name`. Made within the running event loop; safe to share.

    An empty `base_url` leaves the address to the client, which takes it from its environment.
    `key` is for the client `anthropic` alone, and without it that finds credentials, too.
    `tls` replaces the system's trust, which honours SSL_CERT_FILE and SSL_CERT_DIR.
    Making it imports the SDK, and raises `Misconfigured` where the client lacks something.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str = "",
        key: KeySource | None = None,
        connect_timeout_s: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        # Takes 1.6 s and 55 MB, which the direct transport needn't spend.
        from sidecard.upstream import sdk_client  # noqa: PLC0415

        self._sdk = sdk_client
        self._name = name
        self._key = key if name == "anthropic" else None
        self._connect_timeout_s = connect_timeout_s
        self._ending: set[asyncio.Task[None]] = set()
        self._open: set[SdkResponse] = set()
        self._client = sdk_client.make(
            name,
            base_url=base_url,
            key=self._key,
            connect_timeout_s=connect_timeout_s,
            tls=tls or ssl.create_default_context(),
        )

    async def send(
        self, path: str, body: JsonObject, headers: Mapping[str, str] = NONE
    ) -> "SdkResponse":
        """POST `body`; see `Transport.send`. With a key that has just been replaced, once more."""
        key = self._current_key()
        response = await self._post(path, body, key, headers)
        if response.status == 401:  # noqa: PLR2004
            replaced = self._renewed()
            if replaced != key:
                await response.aclose()
                response = await self._post(path, body, replaced, headers)
        if response.status == 200:  # noqa: PLR2004
            await _refuse_compressed(response)
        return response

    async def _post(
        self, path: str, body: JsonObject, key: Secret | None, headers: Mapping[str, str]
    ) -> "SdkResponse":
        if key is not None:
            self._sdk.set_key(self._client, key)
        try:
            answer = await self._sdk.post(self._client, path, body, headers)
        except Exception as error:
            raise self._sdk.failure(error, connect_timeout_s=self._connect_timeout_s) from error
        response = SdkResponse(answer, self._sdk.failure_in_answer, self._ended)
        self._open.add(response)
        return response

    @property
    def busy(self) -> int:
        """How many answers are being read now."""
        return len(self._open)

    @property
    def connections(self) -> int:
        """How many connections are open now, those that are kept for the next calls, too."""
        return connections(self._sdk.sessions(self._client))

    async def aclose(self) -> None:
        """Close every connection; answers that are still read end in a `TransportFault`."""
        for task in self._ending:
            task.cancel()
        for response in tuple(self._open):
            await response.cut()  # The client's own close would leave their readers waiting.
        await self._client.close()

    def _current_key(self) -> Secret | None:
        """Return the key as it is now, nothing where the client has credentials of its own."""
        return None if self._key is None else self._key.current()

    def _renewed(self) -> Secret | None:
        """Return what is to be used after a refusal: a key may have been replaced by then."""
        self._sdk.forget_token(self._client)
        if self._key is not None:
            self._key.rejected()
        return self._current_key()

    def _ended(self, response: "SdkResponse", task: asyncio.Task[None] | None) -> None:
        """Take note that an answer is done with, but for a task that waits for its end."""
        self._open.discard(response)
        if task is not None:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def __repr__(self) -> str:
        return f"<Sdk {self._name} {self._client.base_url}, {len(self._open)} open>"


class SdkResponse:
    """A `Response` over the one that the SDK's client got."""

    def __init__(self, answer: "Answer", fault: _Fault, ended: _Ended) -> None:
        self._answer = answer
        self._fault = fault
        self._ended = ended
        self._chunks = answer.aiter_raw()
        self._headers = answer.headers
        self._decoder: EventStreamDecoder | None = None
        if answer.headers.get("content-type", "").startswith(_EVENT_STREAM):
            self._decoder = EventStreamDecoder()
            self._headers = answer.headers.copy()
            self._headers["content-type"] = "text/event-stream"

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._answer.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, looked up without regard to case."""
        return self._headers

    async def read(self) -> bytes:
        """Return all that has arrived; see `Response.read`."""
        while data := await self._chunk():
            if self._decoder is None:
                return data
            try:
                events = self._decoder.feed(data)
            except ValueError as error:
                raise TransportFault(Phase.READ, f"the answer is broken: {error}") from error
            if events:
                return events
        return b""

    async def _chunk(self) -> bytes:
        try:
            return await anext(self._chunks, b"")
        except Exception as error:
            raise self._fault(error) from error

    async def aclose(self, *, finished: bool = False) -> None:
        """Let go of the connection; see `Response.aclose`."""
        task = None
        if finished and not self._answer.is_closed:
            task = asyncio.create_task(self._await_end())
        self._ended(self, task)
        if task is None:
            await self._close()

    async def _await_end(self) -> None:
        """Read up to the body's end, which hands the connection back, or close it."""
        try:
            async with asyncio.timeout(_END_S):
                while await self._chunk():
                    pass
        except (TimeoutError, TransportFault):
            pass
        finally:
            await self._close()

    async def _close(self) -> None:
        await self._chunks.aclose()
        await self.cut()

    async def cut(self) -> None:
        """Close the connection, also while somebody reads."""
        await self._answer.aclose()


async def _refuse_compressed(response: SdkResponse) -> None:
    """Raise `TransportFault` for an answer that would have to be unpacked."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        await response.aclose()
        reason = f"the answer is compressed ({encoding[:20]}), which was not asked for"
        raise TransportFault(Phase.READ, reason)
