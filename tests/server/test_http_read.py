"""Reading the body of a request to the drop-in endpoint."""

import json

import pytest

from sidecard.core.errors import InvalidCall
from sidecard.server.http.decode import read

BODY = {"model": "default", "messages": [], "metadata": "NUMBER"}


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 4_000 + ".5"])
def test_a_number_that_nothing_can_hold_is_the_callers_mistake(number: str) -> None:
    """It couldn't be sent on: nothing is tried, and nothing is counted as used."""
    text = json.dumps(BODY).replace('"NUMBER"', number)
    with pytest.raises(InvalidCall) as raised:
        read(text.encode())
    [violation] = raised.value.violations
    assert violation.field == "body"
    assert "has a number beyond what a double can hold" in violation.description


@pytest.mark.parametrize("number", ["1e300", "0.1", "9" * 300])
def test_any_other_number_passes(number: str) -> None:
    """As it is: the upstream judges it."""
    text = json.dumps(BODY).replace('"NUMBER"', number)
    assert read(text.encode()).body["metadata"] == json.loads(number)
