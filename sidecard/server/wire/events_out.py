"""Events to the contract, a batch at a time: the hot path of a stream."""

from typing import Any, Final

from sidecard.core import jsonio
from sidecard.core.event import (
    Batch,
    BlockStarted,
    BlockStopped,
    Checked,
    Continued,
    Delta,
    Event,
    Finished,
    Restarted,
    Started,
    Usage,
)
from sidecard.server.wire.blocks_out import opening_fields
from sidecard.server.wire.json_values import fits_struct

Fields = dict[str, Any]

# Type of a delta → its one field, and the event's. Each is a text.
_TEXTS: Final = {
    "text_delta": ("text", "text_delta"),
    "thinking_delta": ("thinking", "thinking_delta"),
    "signature_delta": ("signature", "signature_delta"),
    "input_json_delta": ("partial_json", "input_json_delta"),
}


def events_fields(batch: Batch) -> list[Fields]:
    """Return what the constructor of StreamGenerateResponse takes as `events`."""
    fields = []
    for event in batch:
        if type(event) is Delta:
            delta = event.delta
            if delta.get("type") == "text_delta" and len(delta) == 2:  # noqa: PLR2004
                text = delta.get("text")
                if type(text) is str:
                    fields.append({"index": event.index, "text_delta": text})
                    continue
        fields.append(_event_fields(event))
    return fields


def usage_fields(usage: Usage) -> Fields:
    """Return what the constructor of Usage takes."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "web_search_requests": usage.web_search_requests,
    }


def _event_fields(event: Event) -> Fields:
    match event:
        case Delta():
            fields = {"index": event.index, **_delta_fields(event)}
        case BlockStarted():
            fields = {"index": event.index, "block_started": opening_fields(event.block)}
        case BlockStopped():
            fields = {"index": event.index, "block_stopped": {}}
        case Usage():
            fields = {"usage": usage_fields(event)}
        case Started():
            fields = {"started": {"message_id": event.message_id, "model": event.model}}
        case Finished():
            sequence = event.stop_sequence or ""
            fields = {"finished": {"stop_reason": event.stop_reason, "stop_sequence": sequence}}
        case Continued():
            fields = {"continued": {**_rescue_fields(event), "text_length": event.text_length}}
        case Restarted():
            fields = {"restarted": _rescue_fields(event)}
        case Checked():
            fields = {"output_verdict": _verdict_fields(event)}
    return fields


def _verdict_fields(event: Checked) -> Fields:
    violations = [{"path": v.path, "description": v.description} for v in event.violations]
    return {"valid": not violations, "violations": violations}


def _rescue_fields(event: Continued | Restarted) -> Fields:
    return {
        "from_target": event.from_target,
        "to_target": event.to_target,
        "error": event.error,
    }


def _delta_fields(event: Delta) -> Fields:
    delta = event.delta
    kind = delta.get("type")
    if len(delta) == 2 and isinstance(kind, str):  # noqa: PLR2004  # the type and one field
        if rule := _TEXTS.get(kind):
            text = delta.get(rule[0])
            if type(text) is str:
                return {rule[1]: text}
        citation = delta.get("citation") if kind == "citations_delta" else None
        if type(citation) is dict and fits_struct(citation):
            return {"citation_delta": citation}
    if fits_struct(delta):
        return {"raw_delta": delta}
    return {"raw_delta_json": jsonio.dumps(delta)}
