"""Reading fault scripts."""

from pathlib import Path

import pytest

from sidecard.simulator.script import Script, ScriptError, parse_step
from sidecard.simulator.steps import Normal, Status

LONG = """
steps:
  - {fault: status, status: 429, headers: {retry-after: 2}, times: 3}
  - {pace: {delta_s: 0.5}}
repeat: true
"""


def test_a_script_is_a_mapping_a_list_a_step_or_nothing() -> None:
    """All four spellings are read, in YAML and in JSON."""
    assert Script.parse(LONG).repeat
    assert len(Script.parse(LONG).steps) == 2
    assert Script.parse("- fault: blackhole").steps[0].fault == "blackhole"
    assert Script.parse('{"fault": "drip", "bytes_per_s": 3}').steps[0].fault == "drip"
    assert Script.parse("").steps == ()


def test_numbers_in_headers_are_text() -> None:
    """YAML's numbers are good header values."""
    step = Script.parse(LONG).steps[0]
    assert isinstance(step, Status)
    assert step.headers == {"retry-after": "2"}


def test_a_step_without_a_fault_is_a_good_answer() -> None:
    """A pace alone is a step."""
    step = parse_step("{pace: {deltas: 3}}")
    assert isinstance(step, Normal)
    assert step.pace is not None
    assert step.pace.deltas == 3


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("[{fault: status}, {fault: stall, after: 3}]", ["steps.0.status", "steps.1.stall.after"]),
        ("{fault: explode}", ["steps.0"]),
        ("{fault: drip, bytes_per_s: 0}", ["steps.0.drip.bytes_per_s"]),
        ("{fault: none, times: 0}", ["steps.0.none.times"]),
        ("{fault: odd, what: [sad]}", ["steps.0.odd.what.0"]),
        ("{steps: [], repeat: maybe}", ["repeat"]),
        ("7", ["script"]),
        ("{", ["not YAML"]),
    ],
)
def test_every_mistake_is_listed_with_its_path(text: str, paths: list[str]) -> None:
    """A bad script is refused, one line for each mistake."""
    with pytest.raises(ScriptError) as refused:
        Script.parse(text)
    message = str(refused.value)
    assert all(path in message for path in paths)


def test_a_file_is_named_when_it_is_bad_or_gone(tmp_path: Path) -> None:
    """The error says which file."""
    path = tmp_path / "script.yaml"
    with pytest.raises(ScriptError, match=r"script\.yaml"):
        Script.load(path)
    path.write_text("{fault: explode}")
    with pytest.raises(ScriptError, match=r"script\.yaml.*explode"):
        Script.load(path)
    path.write_text(LONG)
    assert Script.load(path) == Script.parse(LONG)
