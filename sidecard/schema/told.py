"""What is told of a place in JSON, and of what is wrong there."""

from typing import Final

_TOLD_CHARS: Final = 300


def pointer(path: list[str | int]) -> str:
    """Return a JSON Pointer (RFC 6901)."""
    steps = [str(step).replace("~", "~0").replace("/", "~1") for step in path]
    return "".join([f"/{step}" for step in steps])[:_TOLD_CHARS]


def short(text: str) -> str:
    """Return the beginning of what a validator tells, which may quote all of an answer."""
    return text if len(text) <= _TOLD_CHARS else text[: _TOLD_CHARS - 1] + "…"
