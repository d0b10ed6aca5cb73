"""`Redactor`: what is personal or secret is found, and what only looks so stays."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.policy.redacted import redacted
from sidecard.policy.redaction import BadPattern, Redactor
from tests.support.script import a_call

REDACTOR = Redactor()
KEY = "sk-ant-api03-abcdefghijklmnop_qrs-tuv"


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("write to bob.o'neill+x@mail.example.co.uk.", "write to bob.o'[email]."),
        ("grüße an träger@example.com!", "grüße an trä[email]!"),
        ("card 4111 1111 1111 1111, thanks", "card [card], thanks"),
        ("card 4111-1111-1111-1111 or 378282246310005", "card [card] or [card]"),
        (f"key={KEY};", "key=[key];"),
        ("AKIAIOSFODNN7EXAMPLE and ghp_" + "a1" * 18, "[key] and [key]"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2QT4", "[key]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE+/=\n-----END RSA", "[key]-----END RSA"),
    ],
)
def test_what_is_personal_or_secret_is_found(text: str, then: str) -> None:
    """Each kind, in the middle of a text, in place of which its name stands."""
    assert REDACTOR(text) == then


@pytest.mark.parametrize(
    "text",
    [
        "call 4111 1111 1111 1112",  # whose check digit is wrong
        "123456789012",  # shorter than any card
        "a@b, @home, user@ example.com",
        "sk-short, task-oriented-programming-is-fine",
        "2026-11-24T02:21:56.240049Z, 1.234.567.890,12 €, 0.1234567890",
        "",
    ],
)
def test_what_only_looks_so_stays(text: str) -> None:
    """A number, a handle or a word is none of it."""
    assert REDACTOR(text) == text


def test_only_what_is_named_is_looked_for() -> None:
    """A pattern of one's own stands beside the known ones, or in place of one."""
    redactor = Redactor({"staff": r"\bE-[0-9]{5}\b", "email": r"[a-z]+@example\.com"})
    text = "E-12345 ann@example.com bob@mail.org 4111111111111111"
    assert redactor(text) == "[staff] [email] bob@mail.org [card]"
    assert redactor(text, ("staff",)) == "[staff] ann@example.com bob@mail.org 4111111111111111"
    assert redactor(text, ()) == text


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a", "missing"),
        (r"(a)\1", "escape"),
        ("(?<=a)b", "invalid"),
        ("a*", "nothing"),
        ("(((a{1000}){1000}){1000})", "repetition"),
    ],
)
def test_a_pattern_that_cannot_be_used(pattern: str, why: str) -> None:
    """Says what is wrong with it, at the start and not at a call."""
    with pytest.raises(BadPattern, match=why):
        Redactor({"mine": pattern})


@given(st.text(), st.text())
def test_any_text_is_taken(before: str, after: str) -> None:
    """Of whatever surrounds an address nothing is lost."""
    text = f"{before} bob@example.com {after}"
    assert Redactor({"email": r"bob@example\.com"})(text, ("email",)) == text.replace(
        "bob@example.com", "[email]"
    )


@given(st.text(alphabet="a1@. -{}[]ä", max_size=2_000))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    """What stands in place of something is nothing that would be found."""
    once = REDACTOR(text)
    assert REDACTOR(once) == once


def test_a_pattern_that_would_explode_takes_no_time() -> None:
    """Repetitions of repetitions, on a text that almost fits: it ends, where `re` would not."""
    assert Redactor({"mine": r"(\w+\s?)*!$"})("a" * 100_000 + "?") == "a" * 100_000 + "?"


MAIL = "bob@example.com"


def test_all_texts_of_a_call_are_redacted() -> None:
    """Messages, system, tools' use and results; pictures, files, ids and signatures stay."""
    mail = "to bob@example.com"
    signed = {"type": "thinking", "thinking": mail, "signature": "s"}
    picture = {"type": "image", "source": {"type": "base64", "data": mail, "media_type": "x"}}
    messages = (
        {"role": "user", "content": mail},
        {
            "role": "assistant",
            "content": [
                signed,
                {"type": "tool_use", "id": "a@example.com", "name": "n", "input": {"to": [mail]}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a@example.com", "content": mail},
                picture,
                {"type": "document", "source": {"type": "text", "data": mail}},
            ],
        },
    )
    call = a_call(messages=messages, parameters={"max_tokens": 9, "system": mail})
    changed = redacted(call, REDACTOR, ("email",))
    assert changed.parameters == {"max_tokens": 9, "system": "to [email]"}
    user, assistant, tool = changed.messages
    assert user["content"] == "to [email]"
    assert assistant["content"][0] == signed
    use = assistant["content"][1]
    assert (use["id"], use["input"]) == ("a@example.com", {"to": ["to [email]"]})
    result, same, document = tool["content"]
    assert (result["tool_use_id"], result["content"]) == ("a@example.com", "to [email]")
    assert same == picture
    assert document["source"]["data"] == "to [email]"
    assert call.messages == messages


def test_what_a_tool_was_called_with_is_redacted_whatever_its_fields_are_called() -> None:
    """They are no fields of the API, though they may have the same names."""
    told = {"name": MAIL, "id": MAIL, "type": MAIL, "url": [{"role": MAIL, MAIL: 1}]}
    for kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        use = {"type": kind, "id": "t", "name": "n", "input": told}
        call = a_call(messages=({"role": "assistant", "content": [use]},))
        [block] = redacted(call, REDACTOR, ("email",)).messages[0]["content"]
        assert block == {**use, "input": block["input"]}
        assert MAIL not in json.dumps(block)


def test_tools_and_metadata_are_redacted_too() -> None:
    """What they are called is not."""
    tool = {"name": "n", "description": f"writes to {MAIL}", "input_schema": {"type": "object"}}
    parameters = {"max_tokens": 9, "tools": [tool], "metadata": {"user_id": MAIL}}
    assert redacted(a_call(parameters=parameters), REDACTOR, ("email",)).parameters == {
        "max_tokens": 9,
        "tools": [{**tool, "description": "writes to [email]"}],
        "metadata": {"user_id": "[email]"},
    }
