"""What one attempt takes of its target's limits: as needed before, as reserved until the end."""

from typing import Final, NamedTuple


class Need(NamedTuple):
    """What a call takes of each limit; 0 tokens where there is none.

    `estimated` and `asked` are what the learned ratios were applied to: input, and `max_tokens`.
    """

    requests: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: int = 0
    asked: int = 0

    def with_(self, other: "Need") -> "Need":
        """Return what both take together."""
        return Need(*[mine + its for mine, its in zip(self, other, strict=True)])

    def without(self, other: "Need") -> "Need":
        """Return what is left when `other` isn't needed any more."""
        return Need(*[mine - its for mine, its in zip(self, other, strict=True)])


NOTHING: Final = Need(0)


class Mark(NamedTuple):
    """All that had been taken of requests, input tokens and output tokens at a moment."""

    at: float
    taken: tuple[int, int, int]


class Reservation:
    """What one attempt took, until it is settled. `since` is a moment shortly before.

    `input_told` is set when the upstream's own count of the input is known to be in the meter.
    """

    __slots__ = ("at", "input_told", "need", "settled", "since")

    def __init__(self, need: Need, at: float, since: Mark) -> None:
        self.need = need
        self.at = at
        self.since = since
        self.input_told = False
        self.settled = False

    def __repr__(self) -> str:
        return f"<Reservation {'settled' if self.settled else 'open'}, {self.need}>"
