"""What can be configured of traces, as in `schema`."""

from typing import Annotated, TypeAlias

from annotated_types import Len
from pydantic import Field, Strict

from sidecard.config.kinds import BaseUrl, Count, Expect, Seconds, Section, Share

ServiceName: TypeAlias = Annotated[str, Strict(), Len(1, 255), Expect("a name")]


class Traces(Section):
    """Spans of calls and their attempts, sent as OpenTelemetry has them; see observability.md.

    They say what calls say only where `log.content` wants that in the log, too.
    Needs the extra `otel`.
    """

    endpoint: BaseUrl | None = Field(
        None,
        description="URL of a collector that takes OTLP over HTTP, as `http://127.0.0.1:4318`; "
        "`/v1/traces` is added. null: no traces, and `traceparent` is not looked at.",
    )
    sample: Share = Field(
        1.0,
        description="Share of the traces beginning here that are told, from 0 to 1. Of one that "
        "a caller began, its own `traceparent` says whether it is.",
    )
    service: ServiceName = Field("sidecard", description="`service.name` of what is sent.")
    queue: Count = Field(
        2_048,
        description="How many calls' spans wait to be sent. When the collector is too slow, or "
        "away, the ones beyond are dropped, and counted in `sidecard_spans_total`.",
    )
    every_s: Seconds = Field(2.0, description="Seconds between what is sent and the next.")
    timeout_s: Seconds = Field(
        5.0,
        description="Seconds that the collector has to take what is sent, before it is dropped. "
        "At the daemon's end it has a second at most.",
    )

    @property
    def share(self) -> float | None:
        """The share of traces that are told, None where there are none."""
        return None if self.endpoint is None else self.sample
