"""From a step to a plan: what each kind of fault puts on the wire."""

import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from functools import singledispatch
from itertools import chain
from typing import Final

from sidecard.core import jsonio
from sidecard.simulator import bodies, odd, steps
from sidecard.simulator.exchange import STREAM, Exchange, pieces_of
from sidecard.simulator.plan import Ending, Head, Piece, Plan, error_plan, json_plan
from sidecard.simulator.refusal import error_body, error_status, error_type
from sidecard.simulator.sse import PING, PREAMBLE_EVENTS, encode

_NO_PREFILL: Final = (
    "This model does not support assistant message prefill. "
    "The conversation must end with a user message."
)
_NO_OUTPUT_FORMAT: Final = "output_config.format: This model does not support structured outputs."
_PAGE: Final = (
    "<!DOCTYPE html>\n<html><head><title>{status}</title></head>"
    "<body><h1>{status} — the proxy could not reach its upstream</h1></body></html>\n"
)


@singledispatch
def plan(step: steps.StepBase, exchange: Exchange) -> Plan:
    """Return what happens on the wire when `exchange` meets `step`: by default, a good answer."""
    del step
    return exchange.plan()


@plan.register
def _status(step: steps.Status, exchange: Exchange) -> Plan:
    body = step.body
    if body is None:
        message = f"Simulated {step.status}"
        body = dict(error_body(error_type(step.status), message, exchange.request_id))
    data = (body if isinstance(body, str) else jsonio.dumps(body)).encode()
    headers = dict(step.headers)
    if step.retry_after_date_s is not None:
        at = time.time() + step.retry_after_date_s
        headers["retry-after"] = formatdate(at, usegmt=True)
    head = Head(step.content_type, step.status, headers, len(data))
    return Plan(head, (Piece(data),))


@plan.register
def _html(step: steps.Html, exchange: Exchange) -> Plan:
    del exchange
    data = _PAGE.format(status=step.status).encode()
    return Plan(Head(step.content_type, step.status, length=len(data)), (Piece(data),))


@plan.register
def _reset(step: steps.Reset, exchange: Exchange) -> Plan:
    ending = Ending.RESET if step.rst else Ending.CLOSE
    if step.after_events is None:
        return Plan(None, ending=ending)
    return _cut(exchange, step.after_events, ending)


@plan.register
def _blackhole(step: steps.Blackhole, exchange: Exchange) -> Plan:
    del step, exchange
    return Plan(None, ending=Ending.HANG)


@plan.register
def _slow_headers(step: steps.SlowHeaders, exchange: Exchange) -> Plan:
    good = exchange.plan()
    return replace(good, wait_s=good.wait_s + step.delay_s)


@plan.register
def _slow_first_event(step: steps.SlowFirstEvent, exchange: Exchange) -> Plan:
    pieces = exchange.pieces()
    known = PREAMBLE_EVENTS if step.preamble and exchange.stream else 0
    pings, left_s = 0, step.delay_s
    if step.ping_s is not None and exchange.stream:
        pings = int(step.delay_s / step.ping_s)
        left_s = max(0.0, step.delay_s - pings * step.ping_s)
    first = pieces[known]
    waiting = [Piece(PING.encode(), step.ping_s or 0.0)] * pings
    late = first._replace(wait_s=first.wait_s + left_s)
    body = chain(pieces[:known], waiting, [late], pieces[known + 1 :])
    return Plan(exchange.head(), body)


@plan.register
def _drip(step: steps.Drip, exchange: Exchange) -> Plan:
    wait_s = step.piece_bytes / step.bytes_per_s
    return replace(exchange.plan(), pieces=sliced(exchange.pieces(), step.piece_bytes, wait_s))


@plan.register
def _stall(step: steps.Stall, exchange: Exchange) -> Plan:
    return _cut(exchange, step.after_events, Ending.HANG)


@plan.register
def _truncate(step: steps.Truncate, exchange: Exchange) -> Plan:
    cut = _cut(exchange, step.after_events, Ending.CLEAN)
    return replace(cut, head=exchange.head())


@plan.register
def _malformed(step: steps.Malformed, exchange: Exchange) -> Plan:
    if not exchange.stream:
        data = step.data.encode()
        return Plan(exchange.head(len(data)), (Piece(data, tokens=exchange.output_tokens),))
    pieces = exchange.pieces()
    at = min(step.after_events, len(pieces) - 1)
    pieces[at] = pieces[at]._replace(data=encode("content_block_delta", step.data))
    return Plan(STREAM, pieces)


@plan.register
def _error(step: steps.ErrorEvent, exchange: Exchange) -> Plan:
    body = error_body(step.type, step.message, exchange.request_id)
    if not exchange.stream:
        return json_plan(body, error_status(step.type))
    error = Piece(encode("error", jsonio.dumps(body)))
    return Plan(STREAM, [*exchange.pieces()[: step.after_events], error])


@plan.register
def _huge(step: steps.Huge, exchange: Exchange) -> Plan:
    return bodies.huge(exchange, step.mb << 20, step.delta_bytes, one_event=step.one_event)


@plan.register
def _endless(step: steps.Endless, exchange: Exchange) -> Plan:
    return bodies.endless(exchange, step)


@plan.register
def _gzip(step: steps.Gzip, exchange: Exchange) -> Plan:
    if step.expand_mb is None:
        return bodies.zipped(exchange.plan())
    return bodies.zipped(bodies.huge(exchange, step.expand_mb << 20, 1 << 20, one_event=False))


@plan.register
def _framing(step: steps.Framing, exchange: Exchange) -> Plan:
    good = exchange.plan()
    pieces = bodies.reframed(step, exchange) if exchange.stream else exchange.pieces()
    if step.split_bytes is None:
        return replace(good, pieces=pieces)
    return replace(good, pieces=sliced(pieces, step.split_bytes, step.gap_s), joined=False)


@plan.register
def _no_prefill(step: steps.NoPrefill, exchange: Exchange) -> Plan:
    del step
    if exchange.prefilled:
        return error_plan(400, _NO_PREFILL, exchange.request_id)
    return exchange.plan()


@plan.register
def _no_output_format(step: steps.NoOutputFormat, exchange: Exchange) -> Plan:
    del step
    if exchange.formatted:
        return error_plan(400, _NO_OUTPUT_FORMAT, exchange.request_id)
    return exchange.plan()


@plan.register
def _say(step: steps.Say, exchange: Exchange) -> Plan:
    return exchange.saying(step.text, step.stop_reason).plan()


@plan.register
def _odd(step: steps.Odd, exchange: Exchange) -> Plan:
    if exchange.answer is None:
        return exchange.plan()
    if exchange.stream:
        return Plan(STREAM, pieces_of(odd.stream(exchange.spoken(), step.what)))
    return json_plan(odd.message(exchange.body, step.what), tokens=exchange.output_tokens)


def _cut(exchange: Exchange, after_events: int, ending: Ending) -> Plan:
    """Return the good answer's beginning: some events, or half of a unary body."""
    if exchange.stream:
        return Plan(STREAM, exchange.pieces()[:after_events], ending)
    data = exchange.data()
    half = Piece(data[: len(data) // 2], tokens=exchange.output_tokens)
    return Plan(exchange.head(len(data)), [half], ending)


def sliced(pieces: list[Piece], size_bytes: int, wait_s: float) -> Iterator[Piece]:
    """Cut pieces into smaller ones, with a wait before each."""
    for piece in pieces:
        for at in range(0, len(piece.data), size_bytes):
            data = piece.data[at : at + size_bytes]
            if at == 0:
                yield Piece(data, piece.wait_s + wait_s, piece.tokens)
            else:
                yield Piece(data, wait_s)
