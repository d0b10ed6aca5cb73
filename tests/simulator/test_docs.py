"""The simulator's page tells the truth."""

import re
from pathlib import Path
from typing import get_args

from sidecard.simulator.script import Script, parse_step
from sidecard.simulator.steps import Oddity, StepBase

PAGE = (Path(__file__).parents[2] / "docs/simulator.md").read_text(encoding="utf-8")


def test_every_example_is_a_step() -> None:
    """Each example of a fault, and the script, can be copied as it stands."""
    examples = re.findall(r"`(\{[^`]*fault[^`]*\})`", PAGE)
    faults = {parse_step(example).fault for example in examples}
    [script] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(Script.parse(script).steps) == 4
    assert faults == {get_args(kind.model_fields["fault"].annotation)[0] for kind in kinds()}


def kinds() -> list[type[StepBase]]:
    """Return every kind of step."""
    return StepBase.__subclasses__()


def test_every_option_is_described() -> None:
    """No option and no oddity exists that the page doesn't name."""
    options = {name for kind in kinds() for name in kind.model_fields} - {"data", "message"}
    missing = [name for name in options | {oddity.value for oddity in Oddity} if name not in PAGE]
    assert not missing
