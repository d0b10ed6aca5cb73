"""From requests to answers: routing, checking, and choosing what each request meets."""

import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from sidecard.core.jsonio import JsonObject
from sidecard.simulator import check
from sidecard.simulator.books import Books, Entry, Received, Result
from sidecard.simulator.exchange import Exchange
from sidecard.simulator.faults import plan
from sidecard.simulator.pace import Pace
from sidecard.simulator.plan import Plan, error_plan
from sidecard.simulator.play import Broken, play
from sidecard.simulator.player import Player
from sidecard.simulator.prompt import PromptCache, read_prompt
from sidecard.simulator.refusal import Refusal
from sidecard.simulator.script import HEADER, Script, ScriptError, parse_step
from sidecard.simulator.steps import Refuse, Step

_MAX_BODY_BYTES: Final = 32 << 20
_MESSAGES: Final = "/v1/messages"
_COUNT: Final = "/v1/messages/count_tokens"
_BOOKS: Final = "/sim/books"
_SCRIPT: Final = "/sim/script"
_OK: Final = 200


class Service:
    """Handles requests. State: the books, the script's player, the prompt cache."""

    def __init__(
        self, books: Books, player: Player, pace: Pace, refuse: Callable[[Refuse], None]
    ) -> None:
        self.books = books
        self.busy: set[object] = set()
        self.stopping = False
        self.keys: frozenset[str] = frozenset()
        self._player = player
        self._pace = pace
        self._refuse = refuse
        self._cache = PromptCache()

    def play(self, script: Script) -> None:
        """Replace the script, from its beginning."""
        self._player = Player(script)
        self.begin_refusals()

    def begin_refusals(self) -> None:
        """Close the listener if the script says so now."""
        step = self._player.take_refusal(time.monotonic())
        if step is not None:
            self._refuse(step)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it takes."""
        self.busy.add(request.protocol)
        try:
            if request.path in {_BOOKS, _SCRIPT}:
                return await self._control(request)
            return await self._serve(request)
        finally:
            self.busy.discard(request.protocol)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        entry = self.books.begin(request.path)
        result = Result.ABANDONED
        try:
            chosen = await self._choose(request, entry)
            response = await play(chosen, request, entry)
            result = Result.COMPLETED
        except Broken:
            result = Result.BROKEN
            return web.StreamResponse()
        except ConnectionError:
            return web.StreamResponse()
        else:
            return response
        finally:
            if self.stopping and result is not Result.COMPLETED:
                result = Result.STOPPED
            self.books.end(entry, result)

    async def _choose(self, request: web.BaseRequest, entry: Entry) -> Plan:
        """Decide what this request meets: a refusal, a fault, or a good answer."""
        try:
            body = await self._checked(request)
            step = self._take(request, body)
        except (Refusal, ScriptError) as error:
            status = error.status if isinstance(error, Refusal) else 400
            return error_plan(status, str(error), entry.request_id)
        exchange = self._exchange(request, entry, body, step)
        if step is not None:
            entry.fault = step.fault
        chosen = exchange.plan() if step is None else plan(step, exchange)
        if chosen.head is not None and chosen.head.status == _OK and exchange.answer is not None:
            entry.bill(*exchange.answer.charge)
        return chosen

    async def _checked(self, request: web.BaseRequest) -> JsonObject:
        """Return the body of a request that the API would answer; raises `Refusal`."""
        content = await _read(request)
        if request.path not in {_MESSAGES, _COUNT}:
            raise Refusal(f"{request.path}: Not found", 404)
        if request.method != "POST":
            raise Refusal("Method Not Allowed", 405)
        check.check_headers(request.headers, self.keys)
        body = check.parse_body(content)
        self.books.received.append(Received(request.path, request.headers, body))
        check.check_body(body, counting=request.path == _COUNT)
        return body

    def _take(self, request: web.BaseRequest, body: JsonObject) -> Step | None:
        header = request.headers.get(HEADER)
        if header is not None:
            return parse_step(header)
        step = self._player.take(
            model=body["model"],
            path=request.path,
            stream=body.get("stream") is True,
            now=time.monotonic(),
        )
        self.begin_refusals()
        return step

    def _exchange(
        self, request: web.BaseRequest, entry: Entry, body: JsonObject, step: Step | None
    ) -> Exchange:
        prompt = read_prompt(body)
        pace = self._pace.overridden(step.pace if step else None)
        entry.model = body["model"]
        if request.path == _COUNT:
            return Exchange(entry.request_id, pace, {"input_tokens": prompt.tokens})
        entry.stream = body.get("stream") is True
        charge = self._cache.charge(prompt, time.monotonic())
        said = step.usage if step else {}
        return Exchange.message(entry.request_id, body, pace, prompt, charge, said=said)

    async def _control(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve the simulator's own pages, which no fault touches."""
        content = await _read(request)
        if request.path == _SCRIPT and request.method == "POST":
            try:
                self.play(Script.parse(content.decode()))
            except ValueError as error:
                return web.json_response({"error": str(error)}, status=400)
            return web.json_response({"playing": True})
        return web.json_response(self.books.as_json())


async def _read(request: web.BaseRequest) -> bytes:
    """Return the body; raises `Refusal` when it is larger than the API takes."""
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > _MAX_BODY_BYTES:
            raise Refusal("Request exceeds the maximum size", 413)
    return bytes(content)
