"""What a soak has to show: pure functions from what was seen to sentences on what is wrong."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

GROWTH: Final = 0.05
SLACK_FILES: Final = 12
SLACK_TASKS: Final = 12
"""Connections, probes and timers come and go: what leaks passes any number."""

MAY: Final = frozenset(
    {
        "UPSTREAM_INTERRUPTED",
        "UPSTREAM_UNAVAILABLE",
        "UPSTREAM_THROTTLED",
        "RATE_LIMITED",
        "BREAKER_OPEN",
        "DEADLINE_EXCEEDED",
        "OVERLOADED",
    }
)
"""How a good call may fail while its upstream does."""


@dataclass(frozen=True, slots=True)
class Look:
    """The daemon's process at one moment.

    `heap_bytes` is its memory that no file is behind: what leaks is there. `rss_bytes` has the
    pages of files too, those of the cache's among them, which come until it has its size.
    """

    at_s: float
    rss_bytes: int
    heap_bytes: int
    files: int
    tasks: int
    threads: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A call: what kind, how long it took, how it ended and how it should have.

    `reason` is "" for an answer, `wanted` the reason that it has to fail with; `late_s` is by how
    much it outlasted its deadline, `right` whether what came is what was asked for.
    """

    kind: str
    took_s: float
    reason: str
    first_s: float | None = None
    wanted: str = ""
    late_s: float = 0.0
    right: bool = True


@dataclass(frozen=True, slots=True)
class Left:
    """What there is when nobody calls any more."""

    in_flight: int
    upstream_busy: int
    reserved: int
    flights: int
    upstream_open: int
    spent_tokens: int
    billed_tokens: int
    errors: Sequence[str] = ()


def calls(ended: Sequence[Ended], *, margin_s: float) -> Iterator[str]:
    """Yield what is wrong with calls, each kind of fault once, with how often."""
    wrong: Counter[str] = Counter()
    for call in ended:
        if not call.right:
            wrong[f"{call.kind}: an answer to another question, or half of one"] += 1
        if call.late_s > margin_s:
            wrong[f"{call.kind}: it ended later than its deadline allows"] += 1
        if call.wanted and call.reason != call.wanted:
            wrong[f"{call.kind}: {call.reason or 'answered'} in place of {call.wanted}"] += 1
        if not call.wanted and call.reason and call.reason not in MAY:
            wrong[f"{call.kind}: it failed with {call.reason}"] += 1
    if not any(not call.reason for call in ended):
        wrong["no call was answered"] += 1
    yield from [f"{what}, {count} times" for what, count in wrong.items()]


def growth(looks: Sequence[Look], most: float = GROWTH) -> Iterator[str]:
    """Yield what grew: the last sixth of the run is held against what came after the first third.

    Single looks mean little, as a burst of calls or a collection of garbage may be under way.
    """
    count = len(looks)
    early, late = looks[count // 3 : count // 2], looks[-max(1, count // 6) :]
    if not early:
        yield "there were too few looks to tell whether anything grew"
        return
    for memory in ("rss", "heap"):
        before, after = (
            median([getattr(look, f"{memory}_bytes") for look in part]) for part in (early, late)
        )
        if after > before * (1 + most):
            yield f"{memory} grew from {before / 2**20:.1f} to {after / 2**20:.1f} MiB"
    for what, slack in (("files", SLACK_FILES), ("tasks", SLACK_TASKS), ("threads", 2)):
        was, now = (median([getattr(look, what) for look in part]) for part in (early, late))
        if now > was + slack:
            yield f"{what} grew from {was:.0f} to {now:.0f}"


def rest(left: Left) -> Iterator[str]:
    """Yield what was left behind, and whether less is in the ledger than was billed."""
    for what, count in (
        ("permits", left.in_flight),
        ("answers of the upstream", left.upstream_busy),
        ("reservations", left.reserved),
        ("flights", left.flights),
        ("requests at the upstream", left.upstream_open),
    ):
        if count:
            yield f"{count} {what} are still out"
    if left.spent_tokens < left.billed_tokens:
        yield f"{left.billed_tokens} tokens were billed, and {left.spent_tokens} are in the ledger"
    yield from [f"the log has an error: {error}" for error in left.errors]
