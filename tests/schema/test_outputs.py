"""The corpus of answers as models write them: what is mended, and nothing wrong comes through."""

import json
from decimal import Decimal

import pytest
from jsonschema_rs import Draft202012Validator

from tests.schema.corpus import SCHEMAS, Kind, kinds, outcome

KINDS = kinds()
ANSWERS = [(kind, answer) for kind in KINDS for answer in kind.answers]
NAMES = [f"{kind.name}-{n}" for kind in KINDS for n, _ in enumerate(kind.answers, 1)]


@pytest.mark.parametrize(("kind", "answer"), ANSWERS, ids=NAMES)
def test_nothing_wrong_comes_through(kind: Kind, answer: str) -> None:
    """What is taken is what was meant, and satisfies the schema; what means nothing isn't taken."""
    taken = outcome(kind, answer)
    assert taken in ("", kind.value)
    if taken:
        value = json.loads(taken, parse_float=Decimal)
        assert Draft202012Validator(SCHEMAS[kind.schema]).is_valid(value)


def test_nearly_all_that_can_be_mended_is() -> None:
    """Of more than 200 answers, at least nine in ten of those that mean one value."""
    meant = [outcome(kind, answer) == kind.value for kind, answer in ANSWERS if kind.value]
    assert len(set(ANSWERS)) == len(ANSWERS) > 200
    assert len(meant) > 100
    assert sum(meant) >= 0.9 * len(meant), f"{sum(meant)} of {len(meant)} mended"
