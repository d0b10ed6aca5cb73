"""Pace: how an answer is cut into deltas, and how fast they come."""

from collections.abc import Iterator
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field

MAX_WAIT_S: Final = 600.0
"""No wait is longer: what waits for ever is reset then."""

_WORDS: Final = b"the quick brown fox jumps over the lazy dog and then "


class Strict(BaseModel):
    """Immutable, and what it doesn't know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Pace(Strict):
    """How the text of an answer is delivered. A unary answer comes when its stream would be over.

    `deltas` and `delta_bytes` ask for filler in place of the usual text:
    so many deltas of so many bytes (as far as `max_tokens` goes, at 4 bytes a token).
    """

    first_event_s: float = Field(default=0.0, ge=0, le=MAX_WAIT_S)
    delta_s: float = Field(default=0.0, ge=0, le=MAX_WAIT_S)
    words: int = Field(default=1, ge=1)
    deltas: int | None = Field(default=None, ge=1, le=1_000_000)
    delta_bytes: int = Field(default=20, ge=1, le=1 << 20)

    def overridden(self, by: Self | None) -> Self:
        """Return this pace with the fields that `by` sets."""
        if by is None:
            return self
        return self.model_copy(update=by.model_dump(exclude_unset=True))

    def filler(self) -> str | None:
        """Return the text that `deltas` asks for, one byte a character; None for the usual text."""
        if self.deltas is None:
            return None
        return filler(self.deltas * self.delta_bytes)

    def split(self, text: str) -> Iterator[str]:
        """Cut text into deltas: by bytes if filler was asked for, else by words."""
        if self.deltas is not None:
            step = self.delta_bytes
            yield from (text[i : i + step] for i in range(0, len(text), step))
            return
        words = text.split(" ")
        last = len(words) - 1
        for i in range(0, len(words), self.words):
            piece = " ".join(words[i : i + self.words]) + (" " if i + self.words <= last else "")
            if piece:
                yield piece


def filler(size_bytes: int) -> str:
    """Return ASCII text of that size, always the same."""
    repeats = size_bytes // len(_WORDS) + 1
    return (_WORDS * repeats)[:size_bytes].decode()
