"""The client's metrics of OpenTelemetry's conventions for generative AI, as Prometheus names them.

Names, labels and buckets are those of
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/, which aren't stable yet.
Each attempt is an operation: what dashboards made for any client of a model ask for.
"""

from typing import Final

from sidecard.core.outcome import Outcome
from sidecard.core.trail import Attempt
from sidecard.telemetry.families import Times

_SECONDS: Final = tuple(round(0.01 * 2**power, 2) for power in range(14))
_TOKENS: Final = tuple(4**power for power in range(14))
_OF: Final = ("chat", "anthropic")
_LABELS: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


class GenAi:
    """State: two histograms, of how long attempts took and of the tokens that they used."""

    def __init__(self) -> None:
        self.duration = Times(
            "gen_ai_client_operation_duration_seconds",
            "From an attempt to its end",
            (*_LABELS, "error_type"),
            bounds=_SECONDS,
        )
        self.tokens = Times(
            "gen_ai_client_token_usage",
            "Tokens of an attempt; input counts cached ones, too",
            (*_LABELS, "gen_ai_token_type"),
            bounds=_TOKENS,
        )

    @property
    def families(self) -> tuple[Times, Times]:
        """Both, as a page shows them."""
        return self.duration, self.tokens

    def attempt(self, attempt: Attempt, target: str, outcome: Outcome) -> None:
        """Take one of a call that has ended so; `target` is what it is called in labels."""
        if not attempt.sent:
            return
        # An answer that is streamed goes on after the attempt was committed to.
        answered_s = outcome.ended_at - attempt.began
        took_s = attempt.duration_s if attempt.error else max(attempt.duration_s, answered_s)
        self.duration.add(took_s, *_OF, target, attempt.error)
        if (usage := attempt.usage) is not None:
            cached = usage.cache_read_tokens + usage.cache_write_tokens
            self.tokens.add(usage.input_tokens + cached, *_OF, target, "input")
            self.tokens.add(usage.output_tokens, *_OF, target, "output")

    def __repr__(self) -> str:
        return f"<GenAi {self.duration!r}, {self.tokens!r}>"
