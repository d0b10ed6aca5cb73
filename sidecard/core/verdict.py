"""Verdicts: whether an answer satisfies the schema that it was asked for with."""

from dataclasses import dataclass
from enum import Enum

from sidecard.core.event import OutputViolation


class How(Enum):
    """How an answer's JSON was come by, from as it was written to with its punctuation mended."""

    PLAIN = "plain"
    EXTRACTED = "extracted"
    REPAIRED = "repaired"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`output_json` is the answer's canonical JSON, empty where it isn't valid.

    Then `violations` tell what is wrong, at least one thing.
    """

    output_json: str = ""
    how: How = How.PLAIN
    violations: tuple[OutputViolation, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether the answer satisfies the schema."""
        return bool(self.output_json)


def invalid(description: str, path: str = "") -> Verdict:
    """Return the verdict that one thing is wrong."""
    return Verdict(violations=(OutputViolation(path, description),))
