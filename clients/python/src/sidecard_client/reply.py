"""Answers, as both clients give them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from google.protobuf import json_format

from sidecard.v1.content_pb2 import ContentBlock
from sidecard.v1.generation_pb2 import GenerateResponse, Source
from sidecard.v1.usage_pb2 import Usage


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. Safe to share.

    `text` is all text joined; `content` the blocks, which a message of the next turn takes
    as they are. `source` says where it comes from ("UPSTREAM", "CACHE_EXACT", …),
    `degraded` that it isn't what the first target would have answered now.
    `cost_nano_usd` is what all its attempts cost, in billionths of a US dollar, None where that
    isn't known of one.
    `output_json` is the JSON that satisfies the question's `output_schema`, empty without one.
    `raw` has everything else.
    """

    text: str
    content: Sequence[ContentBlock] = field(repr=False)
    stop_reason: str
    model: str
    target: str
    source: str
    degraded: bool
    usage: Usage = field(repr=False)
    cost_nano_usd: int | None
    request_id: str
    output_json: str
    raw: GenerateResponse = field(repr=False)

    @classmethod
    def of(cls, raw: GenerateResponse) -> Self:
        """Return the reply that a response stands for."""
        names = Source.DESCRIPTOR.values_by_number
        known = names[raw.source].name if raw.source in names else str(raw.source)
        return cls(
            text=raw.text,
            content=raw.content,
            stop_reason=raw.stop_reason,
            model=raw.model,
            target=raw.target,
            source=known.removeprefix("SOURCE_"),
            degraded=raw.degraded,
            usage=raw.usage,
            cost_nano_usd=raw.cost_nano_usd if raw.HasField("cost_nano_usd") else None,
            request_id=raw.request_id,
            output_json=raw.output_json,
            raw=raw,
        )

    def json(self) -> str:
        """Return the whole response as JSON, with the contract's own names."""
        return json_format.MessageToJson(
            self.raw, preserving_proto_field_name=True, ensure_ascii=False
        )
