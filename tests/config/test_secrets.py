"""What may be a secret is in no message."""

import pytest

from sidecard.config.problems import Problem, shown
from tests.config.conftest import Refused

SECRET = "sk-ant-api03-abcDEF_123"

LEAKY = [
    f"upstream: {{api_key: {SECRET}}}",
    f"upstream: {{api_key_file: {SECRET}}}",
    f"upstream: {{token: {SECRET}}}",
    f"upstream: {{models: ['{SECRET} ']}}",
    f"upstream: {{base_url: '{SECRET}'}}",
    f"upstream: {{base_url: {{key: {SECRET}}}}}",
    f"timeouts: {{idle_s: {SECRET}}}",
    f"log: {{level: {SECRET}}}",
    f"{SECRET}: 3",
    f"routes: {{{SECRET}: {SECRET}}}",
    f"log: *{SECRET}",
    SECRET,
    f"upstream: {{base_url: '{SECRET}",
]


@pytest.mark.parametrize("text", LEAKY)
def test_a_key_is_never_repeated(text: str, refused: Refused) -> None:
    """Wherever a key is put by mistake, the list of mistakes can be shown to anybody."""
    told = "\n".join(refused(text))
    assert told
    assert "abcDEF" not in told


OTHERS = [
    "ghp_abcDEFghijklmnopqrstuvwxyz0123456789",
    "AKIAabcDEFDNN7EXAMPLE/wJalrXUtnFEMI",
    "eyJhbGciOiJIUzI1NiJ9.abcDEF0.c2lnbmF0dXJl",
    "550e8400-abcDEF-41d4-a716-446655440000",
]


@pytest.mark.parametrize("place", ["log: {{level: {}}}", "a: *{}", "{}: 1", "log: {{{}: 1}}"])
@pytest.mark.parametrize("secret", OTHERS)
def test_secrets_of_others_are_not_repeated(secret: str, place: str, refused: Refused) -> None:
    """A token in the wrong place is described, whoever issued it."""
    told = "\n".join(refused(place.format(secret)))
    assert told
    assert "abcDEF" not in told


PLAIN = [
    "claude-sonnet-5-5-20260101",
    "thorough-with-opus4-fallback",
    "/run/secrets/anthropic/key",
    "sidecard.example-services.internal:7411",
    "99999999999999999999999",
    "what anybody may have written, in 2026",
]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_values_are_repeated(text: str) -> None:
    """Names, hosts, paths and numbers are shown, however long, so that they can be found."""
    assert shown(text) == repr(text)


def test_a_number_may_be_a_secret_too(refused: Refused) -> None:
    """What stands where a secret belongs isn't repeated, whatever its kind."""
    [told] = refused("upstream: {api_key_file: 271828}")
    assert told.startswith("upstream.api_key_file: expected an absolute path")
    assert "271828" not in told


def test_a_key_in_a_variable_is_never_repeated(refused: Refused) -> None:
    """The same for the environment and for flags."""
    told = refused(None, {"SIDECARD_LOG__LEVEL": SECRET}, {"timeouts.idle_s": SECRET})
    assert len(told) == 2
    assert "abcDEF" not in "".join(told)


def test_a_key_in_the_file_is_told_where_it_belongs(refused: Refused) -> None:
    """`upstream.api_key` gets the two ways to give a key."""
    [told] = refused("upstream: {api_key: hunter2}")
    assert told.startswith("upstream.api_key: unknown key; a key is not part of")
    assert "upstream.api_key_file" in told
    assert "$ANTHROPIC_API_KEY" in told


def test_values_are_shown_short_and_on_one_line() -> None:
    """A value can't flood or forge a line of the list."""
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 1000)) < 70
    assert "hunter2" not in shown("hunter2", ("proxy_password",))
    assert "lots" in shown("lots", ("routes", "default", "max_tokens"))
    assert "abc" not in str(Problem("sk-ant-abc", "file sk-ant-abc", "got sk-ant-abc"))
