"""OTLP over HTTP: sends spans to a collector, in the background, and never makes a call wait.

What the collector doesn't take in time is dropped and counted, not sent again:
a collector that is down must not fill the memory of every pod.
https://opentelemetry.io/docs/specs/otlp/
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final

import aiohttp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from sidecard.core.version import VERSION

_log = logging.getLogger(__name__)
_AT_ONCE: Final = 512
"""Calls in one request: some hundred KiB."""
_LAST_S: Final = 1.0
_OK: Final = 200
Count = Callable[..., object]
"""Takes a result, and `by` how many spans it was the result of."""


class Otlp:
    """State: what waits to be sent. Belongs to one event loop; started once, closed once.

    `queue` is how many calls' spans wait at most; `count` hears how many spans were `sent`,
    or `dropped`.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        service: str,
        queue: int,
        every_s: float,
        timeout_s: float,
        count: Count,
    ) -> None:
        self._url = endpoint.rstrip("/") + "/v1/traces"
        self._service = service
        self._most = queue
        self._every_s = every_s
        self._timeout_s = timeout_s
        self._count = count
        self._waiting: deque[Sequence[Span]] = deque()
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def __call__(self, spans: Sequence[Span]) -> None:
        """Take spans to be sent soon, or drop them where too many wait. Never waits or fails."""
        if len(self._waiting) >= self._most:
            self._count("dropped", by=len(spans))
        else:
            self._waiting.append(spans)

    def start(self) -> None:
        """Begin to send; within the running event loop."""
        self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Send what waits, for a second at most."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S), self._session() as session:
                while self._waiting:
                    await self._send(session)
        self._count("dropped", by=sum(map(len, self._waiting)))
        self._waiting.clear()

    async def _run(self) -> None:
        async with self._session() as session:
            while True:
                await asyncio.sleep(self._every_s)
                while self._waiting:
                    await self._send(session)

    def _session(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        return aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    async def _send(self, session: aiohttp.ClientSession) -> None:
        calls = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
        spans = list(chain.from_iterable(calls))
        result = "dropped"
        try:
            problem = await self._post(session, spans)
            if not problem:
                result = "sent"
        finally:
            self._count(result, by=len(spans))
        if problem and not self._failing:
            facts = {"endpoint": self._url, "why": problem}
            _log.warning("traces aren't taken: they are dropped until they are", extra=facts)
        elif self._failing and not problem:
            _log.info("traces are taken again", extra={"endpoint": self._url})
        self._failing = bool(problem)

    async def _post(self, session: aiohttp.ClientSession, spans: Sequence[Span]) -> str:
        """Return why the collector didn't take them, empty if it did."""
        body = self._request(spans).SerializeToString()
        headers = {"content-type": "application/x-protobuf", "user-agent": f"sidecard/{VERSION}"}
        try:
            async with session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return "" if answer.status == _OK else f"HTTP status {answer.status}"
        except TimeoutError:
            return f"no answer within {self._timeout_s:g} s (traces.timeout_s)"
        except (aiohttp.ClientError, OSError) as error:
            return str(error) or type(error).__name__

    def _request(self, spans: Sequence[Span]) -> ExportTraceServiceRequest:
        service = KeyValue(key="service.name", value=AnyValue(string_value=self._service))
        scope = ScopeSpans(
            scope=InstrumentationScope(name="sidecard", version=VERSION), spans=spans
        )
        return ExportTraceServiceRequest(
            resource_spans=[
                ResourceSpans(resource=Resource(attributes=[service]), scope_spans=[scope])
            ]
        )

    def __repr__(self) -> str:
        return f"<Otlp to {self._url}, {len(self._waiting)} calls waiting>"
