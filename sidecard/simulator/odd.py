"""Answers out of contract: good ones, changed in the ways that `Oddity` lists."""

from collections.abc import Iterable
from typing import Any, Final

from sidecard.core.jsonio import JsonObject
from sidecard.simulator.sse import PREAMBLE_EVENTS, Spoken, delta
from sidecard.simulator.steps import Oddity

_BLOCK: Final[JsonObject] = {"type": "hologram", "depth": 3, "layers": [{"name": "é"}]}
_DELTA: Final[JsonObject] = {"type": "hologram_delta", "depth": 1}
_NOWHERE: Final = 99


def message(body: JsonObject, what: Iterable[Oddity]) -> JsonObject:
    """Return a unary answer with those oddities; the ones of streams change nothing."""
    odd = dict(body)
    for oddity in what:
        match oddity:
            case Oddity.UNKNOWN_BLOCK:
                odd["content"] = [*odd["content"], _BLOCK]
            case _:
                _change(odd, oddity)
    return odd


def stream(spoken: list[Spoken], what: Iterable[Oddity]) -> list[Spoken]:
    """Return a stream with those oddities."""
    for oddity in what:
        match oddity:
            case Oddity.NO_MESSAGE_START:
                spoken = spoken[1:]
            case Oddity.ORPHAN_DELTA:
                spoken = _inserted(spoken, delta(_NOWHERE, {"type": "text_delta", "text": "?"}))
            case Oddity.UNKNOWN_DELTA:
                spoken = _inserted(spoken, delta(0, _DELTA))
            case Oddity.UNKNOWN_BLOCK:
                spoken = [*spoken[:-2], *_block(spoken), *spoken[-2:]]
            case _:
                for said in spoken:
                    _change(_subject(said.event), oddity)
    return spoken


def _subject(event: dict[str, Any]) -> dict[str, Any]:
    """Return the part of an event that has a message's fields."""
    started: dict[str, Any] | None = event.get("message")
    return event if started is None else started


def _change(odd: dict[str, Any], oddity: Oddity) -> None:
    usage = odd.get("usage")
    ends = odd.get("delta", odd)
    match oddity:
        case Oddity.MISSING_USAGE:
            odd.pop("usage", None)
        case Oddity.NEGATIVE_TOKENS if usage is not None:
            odd["usage"] = {**usage, "input_tokens": -5, "output_tokens": -7}
        case Oddity.UNKNOWN_STOP_REASON if ends.get("stop_reason"):
            ends["stop_reason"] = "enlightenment"
        case Oddity.NULL_STOP_REASON if "stop_reason" in ends:
            ends["stop_reason"] = None
        case Oddity.UNKNOWN_FIELD if "role" in odd:
            odd["mood"] = {"calm": True}
        case _:
            pass


def _inserted(spoken: list[Spoken], said: Spoken) -> list[Spoken]:
    return [*spoken[:PREAMBLE_EVENTS], said, *spoken[PREAMBLE_EVENTS:]]


def _block(spoken: list[Spoken]) -> list[Spoken]:
    index = sum(said.event["type"] == "content_block_start" for said in spoken)
    return [
        Spoken({"type": "content_block_start", "index": index, "content_block": _BLOCK}),
        Spoken({"type": "content_block_stop", "index": index}),
    ]
