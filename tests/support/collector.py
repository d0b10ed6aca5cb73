"""A collector of traces: takes OTLP over HTTP, and shows what it was sent."""

import asyncio
from typing import Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def facts(span: Span) -> dict[str, object]:
    """Return a span's attributes."""
    found = {}
    for attribute in span.attributes:
        kind = attribute.value.WhichOneof("value")
        assert kind is not None
        found[attribute.key] = getattr(attribute.value, kind)
    return found


class Collector:
    """Answers with `status`; while it `hangs`, with nothing at all."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.status = 200
        self.hangs = False
        self.asked = asyncio.Event()
        self.url = ""
        self._over = asyncio.Event()
        self._news = asyncio.Condition()
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.asked.set()
        body = await request.read()
        if self.hangs:
            await self._over.wait()
        if self.status == 200:
            assert request.content_type == "application/x-protobuf"
            await self._note(ExportTraceServiceRequest.FromString(body))
        return web.Response(status=self.status)

    async def _note(self, sent: ExportTraceServiceRequest) -> None:
        async with self._news:
            for resource in sent.resource_spans:
                self.services.update(a.value.string_value for a in resource.resource.attributes)
                for scope in resource.scope_spans:
                    self.spans.extend(scope.spans)
            self._news.notify_all()

    async def trace(self, trace_id: str, least: int = 1) -> list[Span]:
        """Return the spans of a trace, the outermost first, once there are that many."""

        def found() -> list[Span]:
            return [span for span in self.spans if span.trace_id.hex() == trace_id]

        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: len(found()) >= least)
        return found()
