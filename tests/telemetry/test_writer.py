"""The log's writer: nobody waits for whoever reads the log."""

import os
from collections.abc import Iterator

import pytest

from sidecard.telemetry import writer
from sidecard.telemetry.writer import LogWriter


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return a pipe's ends."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(writing)
    os.close(reading)


def test_lines_come_in_order(pipe: tuple[int, int]) -> None:
    """What was written before the end is there after it, in order."""
    log = LogWriter(pipe[1])
    for number in range(100):
        log.write(f"{number}\n")
    log.close()
    assert os.read(pipe[0], 65_536).decode().split() == [str(number) for number in range(100)]


def test_a_full_pipe_holds_up_nobody(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that nobody reads are dropped once too many wait, and told when somebody reads."""
    monkeypatch.setattr(writer, "MAX_LINES", 50)
    log = LogWriter(pipe[1])
    for _ in range(1_000):
        log.write("x" * 4_095 + "\n")
    assert "dropped" in repr(log)
    seen = b""
    while b"log lines dropped" not in seen:
        seen += os.read(pipe[0], 1 << 20)
    log.close()


def test_a_reader_that_went_away_is_no_error() -> None:
    """A closed pipe swallows the lines, and the writer ends."""
    reading, writing = os.pipe()
    os.close(reading)
    log = LogWriter(writing)
    log.write("gone\n")
    log.close()
    assert log._ended.is_set()
    os.close(writing)
