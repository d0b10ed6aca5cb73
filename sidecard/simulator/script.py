"""Fault scripts: which request gets which fault.

A script is a list of steps, in YAML or JSON, or a mapping with `steps` and `repeat`:

    steps:
      - {fault: status, status: 429, headers: {retry-after: "2"}, times: 3}
      - {fault: none, times: 5}
      - {fault: status, status: 529, for_s: 60}
      - {fault: stall, after_events: 10, match: {model: "claude-opus-*", stream: true}}
    repeat: false

Each well-formed request takes the first step which isn't used up and matches it
(`/v1/messages`, if the step doesn't say), and uses it up by one.
A step is good for `times` requests (1), or for `for_s` seconds from the first one it serves.
When no step is left, service is normal; with `repeat`, the script starts over.
`refuse` is the one step that no request takes: it closes the listener
as soon as it is the first step that isn't used up.

One request picks its own fault with the header `x-sidecard-sim`, whose value is one step:
`{"fault": "truncate"}`, or only `{"pace": {"deltas": 200, "delta_bytes": 20}}`.
That uses up no step of the script. Every kind of fault is in `steps`.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError, model_validator

from sidecard.core.jsonio import JsonValue
from sidecard.simulator.pace import Strict
from sidecard.simulator.steps import Step

HEADER: Final = "x-sidecard-sim"
"""Request header that carries one step for that request."""

_T = TypeVar("_T")
_STEP: Final[TypeAdapter[Step]] = TypeAdapter(Step)


class ScriptError(ValueError):
    """A script breaks the rules; `str()` lists every mistake with its path, one a line."""


class Script(Strict):
    """A checked script; an empty one means normal service."""

    steps: tuple[Step, ...] = ()
    repeat: bool = False

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, value: JsonValue) -> JsonValue:
        """Take a bare list of steps, a single step, and nothing at all, too."""
        if value is None:
            return {}
        if isinstance(value, dict) and not set(value) <= {"steps", "repeat"}:
            value = [value]
        if isinstance(value, list):
            value = {"steps": value}
        if isinstance(value, dict) and isinstance(value.get("steps"), list):
            value = {**value, "steps": [_with_fault(step) for step in value["steps"]]}
        return value

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read YAML or JSON; raises `ScriptError`."""
        return _checked(cls.model_validate, text)

    @classmethod
    def of(cls, *steps: dict[str, Any], repeat: bool = False) -> Self:
        """Make a script from steps as they stand in a file; raises `ScriptError`."""
        return _listed(cls.model_validate, {"steps": list(steps), "repeat": repeat})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file; raises `ScriptError`, which names it, also when it can't be read."""
        try:
            return cls.parse(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ScriptError(f"{path}: {error}") from error


@lru_cache(maxsize=256)
def parse_step(text: str) -> Step:
    """Read one step, as the request header carries it; raises `ScriptError`."""
    return _checked(lambda value: _STEP.validate_python(_with_fault(value)), text)


def _with_fault(step: JsonValue) -> JsonValue:
    return {"fault": "none", **step} if isinstance(step, dict) else step


def _checked(validate: Callable[[Any], _T], text: str) -> _T:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScriptError(f"not YAML: {error}") from None
    return _listed(validate, value)


def _listed(validate: Callable[[Any], _T], value: JsonValue) -> _T:
    try:
        return validate(value)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, problem['loc'])) or 'script'}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        ]
        raise ScriptError("\n".join(lines)) from None
