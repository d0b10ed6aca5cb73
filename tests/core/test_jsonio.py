"""JSON in and out: exactly what the standard allows."""

import pytest

from sidecard.core import jsonio


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "", "{", "1 2", "{'a': 1}"])
def test_what_is_not_json_is_refused(text: str) -> None:
    """Python's extensions, truncation and trailing text are refused with ValueError."""
    with pytest.raises(ValueError, match=r"."):
        jsonio.loads(text)


def test_depth_is_an_error_not_a_crash() -> None:
    """JSON nested a hundred thousand deep is refused like any other nonsense."""
    with pytest.raises(ValueError, match="recursion limit"):
        jsonio.loads("[" * 100_000)


def test_invalid_utf8_is_refused() -> None:
    """Bytes that are no UTF-8 are refused with ValueError."""
    with pytest.raises(ValueError, match="invalid unicode"):
        jsonio.loads(b'"\xff"')


def test_numbers_survive() -> None:
    """Integers beyond a double's precision come back as they were."""
    text = '{"id":12345678901234567890,"x":0.1}'
    assert jsonio.dumps(jsonio.loads(text)) == text


def test_what_cannot_be_written_is_told() -> None:
    """A fraction beyond a double reads as infinite, which has no text to go back to."""
    assert jsonio.writable(jsonio.loads('{"x":[1.5,"e400"]}'))
    assert not jsonio.writable(jsonio.loads('{"x":[1e400]}'))


def test_non_finite_numbers_are_not_written() -> None:
    """A number that JSON has no form for is refused."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        jsonio.dumps(float("inf"))
