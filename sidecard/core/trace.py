"""Traces: which one a call belongs to, as https://www.w3.org/TR/trace-context/ writes it."""

import random
import re
from dataclasses import dataclass, replace
from typing import Final, Self

_PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE: Final = re.compile(r"[\x20-\x7e]{1,512}")
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """A call's place in a trace; ids are lower-case hexadecimal.

    `span_id` is the call's own, `parent_id` its caller's, empty where the trace begins here.
    Only of a `sampled` one anything is told; `state` is other systems' own, passed on as it is.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    sampled: bool = True
    state: str = ""

    @classmethod
    def of(cls, parent: str, state: str, share: float) -> Self:
        """Return the place of a call that came with these headers, empty where it had none.

        Whether a trace is sampled is for who began it to say; of those that begin here, `share` is.
        """
        found = _PARENT.fullmatch(parent)
        if found is not None and _is_valid(found):
            sampled = bool(int(found[4], 16) & _SAMPLED)
            kept = state if _STATE.fullmatch(state) else ""
            return cls(found[2], new_span_id(), found[3], sampled, kept)
        sampled = share > 0 and random.random() < share  # noqa: S311  # no secret
        return cls(f"{_random(128):032x}", new_span_id(), sampled=sampled)

    def below(self) -> Self:
        """Return the place of what this one causes, and doesn't wait for."""
        return replace(self, span_id=new_span_id(), parent_id=self.span_id)

    def headers(self, span_id: str) -> dict[str, str]:
        """Return the headers for who is asked next, within the span of that id."""
        headers = {"traceparent": f"00-{self.trace_id}-{span_id}-{self.sampled:02x}"}
        if self.state:
            headers["tracestate"] = self.state
        return headers


def new_span_id() -> str:
    """Return an id for a span."""
    return f"{_random(64):016x}"


def _random(bits: int) -> int:
    return random.getrandbits(bits) or 1  # zero is no id


def _is_valid(found: re.Match[str]) -> bool:
    version, trace_id, parent_id, _, more = found.groups()
    known = version != "ff" and (version != "00" or more is None)
    return known and bool(int(trace_id, 16)) and bool(int(parent_id, 16))
