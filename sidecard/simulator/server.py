"""The simulator itself: a server on a local port, to be used in this process or another."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web

from sidecard.simulator.books import Books
from sidecard.simulator.pace import Pace
from sidecard.simulator.play import reset
from sidecard.simulator.player import Player
from sidecard.simulator.script import Script
from sidecard.simulator.service import Service
from sidecard.simulator.steps import Refuse

if TYPE_CHECKING:
    from aiohttp.web_protocol import RequestHandler

_STOP_S: Final = 1.0
_LINGER_S: Final = 1.0
_REOPEN_S: Final = 0.05


class _Server(web.Server):
    """Resets a connection that the kernel took just before the listener closed."""

    accepting = False

    def connection_made(self, handler: "RequestHandler", transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if not self.accepting:
            reset(transport)


class Simulator:
    """An Anthropic-compatible upstream that listens on `base_url` between `start` and `stop`.

    `port` 0 takes a free one, which it then keeps, also when it stops listening for a while.
    It belongs to the event loop that started it.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        pace: Pace | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._host = host
        self._port = port
        self._script = script or Script()
        self._pace = pace or Pace()
        self._server: _Server | None = None
        self._listener: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._service: Service | None = None

    async def start(self) -> Self:
        """Begin to listen; raises OSError when the port is taken."""
        books = Books(time.monotonic, self._count_connections)
        self._service = Service(books, Player(self._script), self._pace, self._refuse)
        self._server = _Server(
            self._service.handle,
            handler_cancellation=True,
            access_log=None,
            lingering_time=_LINGER_S,
            auto_decompress=False,
        )
        await self.listen()
        self._service.begin_refusals()
        return self

    async def stop(self) -> None:
        """End at once: connections are reset, requests in hand are cancelled."""
        if self._server is None:
            return
        self.service.stopping = True
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None
        self.unlisten(drop="all")
        await self._server.shutdown(_STOP_S)
        self._server = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def base_url(self) -> str:
        """Where it listens, as the `base_url` of a client."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def port(self) -> int:
        """The port it listens on; 0 before the first start if it was to choose."""
        return self._port

    @property
    def service(self) -> Service:
        """What answers the requests; raises RuntimeError before the first start."""
        if self._service is None:
            raise RuntimeError("the simulator has not been started")
        return self._service

    @property
    def books(self) -> Books:
        """What it did since it was started."""
        return self.service.books

    @property
    def connections(self) -> list[asyncio.Transport]:
        """The connections that clients hold open now."""
        handlers = self._server.connections if self._server else []
        return [handler.transport for handler in handlers if handler.transport is not None]

    def accept(self, *keys: str) -> None:
        """Refuse every key but these from now on, with 401; none named: take any."""
        self.service.keys = frozenset(keys)

    def play(self, script: Script) -> None:
        """Replace the script, from its beginning."""
        self.service.play(script)

    async def listen(self) -> None:
        """Accept connections, if it doesn't already."""
        if self._listener is None and self._server is not None:
            loop = asyncio.get_running_loop()
            self._server.accepting = True
            listener = await loop.create_server(
                self._server, self._host, self._port, reuse_address=True, backlog=1024
            )
            self._listener = listener
            self._port = listener.sockets[0].getsockname()[1]

    def unlisten(self, drop: str = "idle") -> None:
        """Accept no connections until `listen`; `drop` is as in the step `refuse`."""
        if self._server is not None:
            self._server.accepting = False
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in self._server.connections if self._server else []:
            busy = connection in self.service.busy
            if drop == "all":
                reset(connection.transport)
            elif drop == "idle" and not busy and connection.transport is not None:
                connection.transport.close()

    @contextlib.asynccontextmanager
    async def refusing(self, drop: str = "idle") -> AsyncIterator[None]:
        """Refuse connections inside the `async with`."""
        self.unlisten(drop)
        try:
            yield
        finally:
            await self.listen()

    def _refuse(self, step: Refuse) -> None:
        self.unlisten(step.drop)
        if self._reopening is not None:
            self._reopening.cancel()
        self._reopening = asyncio.create_task(self._listen_after(step.down_s))

    async def _listen_after(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while self._listener is None:
            try:
                await self.listen()
            except OSError:
                await asyncio.sleep(_REOPEN_S)

    def _count_connections(self) -> int:
        return len(self._server.connections) if self._server else 0

    def __repr__(self) -> str:
        state = "listening" if self._listener else "not listening"
        return f"<Simulator {self.base_url} {state}>"
