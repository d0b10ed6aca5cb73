"""Structured output: which answers are to be checked, and what a schema is held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidecard.core.call import Call
from sidecard.core.jsonio import JsonObject
from sidecard.core.message import Message

UNFINISHED: Final = frozenset({"tool_use", "pause_turn"})
"""Stop reasons after which the answer is still to come: there is nothing to check yet."""

CUT: Final = {
    "max_tokens": "was cut off at max_tokens; allow more",
    "model_context_window_exceeded": "was cut off at the end of the model's context; ask for less",
}
REFUSED: Final = "refusal"
_WORDS: Final = ("output_config", "output_format", "json_schema", "structured output")


@dataclass(frozen=True, slots=True)
class StructuredPolicy:
    """How often a model that answers wrongly is asked again, and how long a check may take."""

    reasks: int = 1
    check_s: float = 1.0


def unfit(stop_reason: str) -> str:
    """Return why an answer that stopped so satisfies no schema, empty when it may.

    A part of an answer can look whole, so what was cut off isn't even looked at.
    """
    if stop_reason == REFUSED:
        return "the model refused to answer"
    return f"the answer {CUT[stop_reason]}" if stop_reason in CUT else ""


def is_checked(call: Call, message: Message) -> bool:
    """Whether an answer that was kept is one to the call: with its JSON, if that has a schema."""
    return (
        call.output_schema is None or bool(message.output_json) or message.stop_reason in UNFINISHED
    )


def begun(messages: Sequence[JsonObject]) -> str:
    """Return the beginning of the answer that the caller gave: a prefilled turn's text."""
    last = messages[-1]
    if last.get("role") != "assistant":
        return ""
    content = last.get("content")
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "".join([str(b.get("text")) for b in blocks if b.get("type") == "text"])


def blames_format(message: str) -> bool:
    """Whether an upstream's refusal is about the form in which the schema was sent."""
    lowered = message.lower()
    return any(word in lowered for word in _WORDS)
