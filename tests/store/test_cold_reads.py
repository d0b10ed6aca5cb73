"""The measurement of cold reads: it runs, and finds what it wrote."""

import re
from pathlib import Path

import pytest

from scripts import cold_reads


def test_it_measures_cold_and_warm_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each, the times in order; whether the pages were dropped is the disk's to say."""
    status = cold_reads.main(str(tmp_path), 300, 100)
    told = capsys.readouterr().out
    lines = re.findall(r"^(cold|warm)((?: +[0-9.,]+)+)$", told, re.MULTILINE)
    assert [what for what, _ in lines] == ["cold", "warm"]
    for _, numbers in lines:
        *times, _faults = [float(number.replace(",", "")) for number in numbers.split()]
        assert times == sorted(times)
        assert times[-1] > 0
    assert (status == 1) is ("nothing was cold" in told)
    assert list(tmp_path.iterdir()) == []
