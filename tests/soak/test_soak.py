"""The soak, short; and that it would tell if something were wrong."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.soak.judge import Ended, Left, Look, calls, growth, rest
from tests.soak.run import Soak, errors

LOOK = Look(0.0, 80 << 20, 50 << 20, 30, 12, 16, 0)
LEFT = Left(0, 0, 0, 0, 0, spent_tokens=100, billed_tokens=100)


@pytest.mark.timeout(120)
async def test_a_short_soak(tmp_path: Path) -> None:
    """Twenty seconds of everything at once leave nothing behind, and no call has a wrong end."""
    lines: list[str] = []
    soak = Soak(tmp_path, for_s=20.0, say=lines.append)
    assert await soak.run(callers=6, line_every_s=5.0) == [], "\n".join(lines)
    assert soak.reloads >= 4
    assert soak.rotations >= 2


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (Ended("unary", 1.0, "", right=False), "unary: an answer to another question"),
        (Ended("unary", 9.0, "", late_s=3.0), "unary: it ended later than its deadline"),
        (Ended("stream", 1.0, "INTERNAL"), "stream: it failed with INTERNAL"),
        (Ended("stream", 1.0, "UPSTREAM_MISCONFIGURED"), "it failed with UPSTREAM_MISCONFIGURED"),
        (Ended("bad", 1.0, "", wanted="INVALID_CALL"), "bad: answered in place of INVALID_CALL"),
    ],
)
def test_a_wrong_end_is_told(call: Ended, told: str) -> None:
    """Once for each kind, with how often."""
    good = [Ended("unary", 1.0, ""), Ended("unary", 1.0, "UPSTREAM_UNAVAILABLE")]
    assert list(calls(good, margin_s=0.5)) == []
    [wrong] = calls([*good, call, call], margin_s=0.5)
    assert told in wrong
    assert wrong.endswith(", 2 times")


def test_no_answer_at_all_is_told() -> None:
    """An upstream that is down all the time shows nothing."""
    assert list(calls([Ended("unary", 1.0, "BREAKER_OPEN")], margin_s=0.5)) == [
        "no call was answered, 1 times"
    ]


@pytest.mark.parametrize(
    ("what", "per_look", "told"),
    [
        ("heap_bytes", 1 << 16, "heap grew from"),
        ("rss_bytes", 1 << 17, "rss grew from"),
        ("files", 1, "files grew from"),
        ("tasks", 1, "tasks grew from"),
        ("threads", 1, "threads grew from"),
    ],
)
def test_growth_is_told(what: str, per_look: int, told: str) -> None:
    """Slow growth too, as long as it never ends; a burst in between isn't any."""
    grows = [replace(LOOK, **{what: getattr(LOOK, what) + per_look * n}) for n in range(120)]
    [wrong] = growth(grows)
    assert wrong.startswith(told)
    burst = [
        replace(LOOK, **{what: getattr(LOOK, what) * (2 if n == 110 else 1)}) for n in range(120)
    ]
    assert list(growth(burst)) == []


def test_too_short_a_run_is_told() -> None:
    """What was hardly looked at shows nothing."""
    assert list(growth([LOOK])) == ["there were too few looks to tell whether anything grew"]


@pytest.mark.parametrize(
    "what", ["in_flight", "upstream_busy", "reserved", "flights", "upstream_open"]
)
def test_what_is_left_is_told(what: str) -> None:
    """Each kind of thing that somebody has to give back."""
    assert list(rest(LEFT)) == []
    [wrong] = rest(replace(LEFT, **{what: 2}))  # type: ignore[arg-type]  # all are numbers
    assert wrong.startswith("2 ")
    assert wrong.endswith(" are still out")


def test_a_ledger_below_the_bill_is_told() -> None:
    """One token is enough; more than was billed is on the safe side."""
    assert list(rest(replace(LEFT, spent_tokens=101))) == []
    [wrong] = rest(replace(LEFT, spent_tokens=99))
    assert wrong == "100 tokens were billed, and 99 are in the ledger"


def test_an_error_in_the_log_is_told() -> None:
    """A traceback, or an error that is no refusal of a configuration, which was bad on purpose."""
    lines = [
        {"event": "configuration refused; the one before stays in force", "level": "error"},
        {"event": "call", "level": "info"},
    ]
    assert errors(lines) == []
    assert errors([*lines, {"event": "a bug", "level": "error"}]) == ["a bug (1 times)"]
    assert errors([{"event": "odd", "level": "info", "exception": []}]) == ["odd (1 times)"]
