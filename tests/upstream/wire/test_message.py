"""Answers, errors and token counts that come in one piece."""

from typing import Any

import pytest

from sidecard.core import jsonio
from sidecard.upstream.wire.events import EventParser
from sidecard.upstream.wire.failure import Kind, WireFailure
from sidecard.upstream.wire.message import parse_error, parse_message
from sidecard.upstream.wire.usage import usage_of

GOOD: dict[str, Any] = {"id": "msg_1", "model": "m", "content": [], "stop_reason": "end_turn"}


def parsed(**changes: Any) -> Any:
    return parse_message(jsonio.dumps({**GOOD, **changes}).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b"\xff",
        b"<html>",
        b'"text"',
        b"[" * 5_000,
        b"{}{}",
        b"NaN",
    ],
)
def test_what_is_no_message_is_a_failure(data: bytes) -> None:
    """A body that is no message is refused, without showing it."""
    with pytest.raises(WireFailure, match=r"^the answer is no (JSON|message)$") as caught:
        parse_message(data)
    assert caught.value.kind is Kind.MALFORMED


@pytest.mark.parametrize(
    "changes",
    [
        {"content": None},
        {"content": {}},
        {"content": ["text"]},
        {"stop_reason": None},
        {"stop_reason": 1},
        {"stop_sequence": 1},
    ],
    ids=str,
)
def test_a_message_that_is_not_whole_is_a_failure(changes: dict[str, Any]) -> None:
    """Without blocks, or the reason why it stopped, nobody knows that it is all there."""
    with pytest.raises(WireFailure):
        parsed(**changes)


def test_an_error_with_status_200_is_that_error() -> None:
    """A gateway that answers 200 with an error's body has not answered."""
    error = {"type": "overloaded_error", "message": "Overloaded"}
    with pytest.raises(WireFailure) as caught:
        parsed(type="error", error=error)
    assert caught.value.kind is Kind.ERROR_EVENT
    assert (caught.value.error_type, caught.value.message) == ("overloaded_error", "Overloaded")


def test_oddities_are_served() -> None:
    """Unknown reasons, blocks and fields pass; an id or a model that is no text is none."""
    message = parsed(
        id=None, model=7, stop_reason="enlightenment", mood=[1], content=[{"type": "hologram"}]
    )
    assert (message.id, message.model, message.stop_reason) == ("", "", "enlightenment")
    assert (message.extra, message.content) == ({"mood": [1]}, ({"type": "hologram"},))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"type":"error","error":{"type":"api_error","message":"m"}}', ("api_error", "m")),
        (b'{"error":{"type":7,"message":"a\\nb\\u0000c"}}', ("", "a b c")),
        (b'{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}', ("", "quota")),
        (b'{"message":"Too many requests"}', ("", "Too many requests")),
        (b'{"error":"text"}', ("", "text")),
        (b'{"error":["x"],"message":{}}', ("", "")),
        (b"<html>502</html>", ("", "")),
        (b"", ("", "")),
        (b"\xff\xfe", ("", "")),
        (b"[]", ("", "")),
        (b"[" * 5_000, ("", "")),
    ],
)
def test_error_bodies_of_any_kind(body: bytes, expected: tuple[str, str]) -> None:
    """An error's body is read as far as it is one, in printable text."""
    assert parse_error(body) == expected


def test_an_error_message_is_bounded() -> None:
    """However much the upstream says, 500 characters of it are kept."""
    assert parse_error(jsonio.dumps({"message": "x" * 9_999}).encode()) == ("", "x" * 500)


@pytest.mark.parametrize("raw", [None, [], {}, "7", {"input_tokens": "7"}, {"x": {}}, 5, True])
def test_usage_that_is_none_counts_nothing(raw: object) -> None:
    """Usage that is missing, or something else, is 0, never an error."""
    usage = usage_of(raw)
    assert (usage.input_tokens, usage.output_tokens, usage.cache_write_tokens) == (0, 0, 0)


@pytest.mark.parametrize(
    ("count", "expected", "odd"),
    [
        *((0, 0, False), (1.5, 2, False), (3.0, 3, False), (None, 0, False)),
        *((-5, 0, True), (-0.5, 0, True), (True, 0, True), ("7", 0, True), ([1], 0, True)),
        *((10**6, 10**6, False), (10**8 + 1, 0, True), (2**60, 0, True), (10**400, 0, True)),
        *((1e300, 0, True), (float("inf"), 0, True), (float("nan"), 0, True)),
    ],
)
def test_counts_out_of_contract_count_nothing(count: object, expected: int, *, odd: bool) -> None:
    """What can't be a count is none, and then the whole isn't certain; nothing is rounded down."""
    some = {"input_tokens": 1, "output_tokens": 1}
    told = {**some, "output_tokens": count}
    searched = {**some, "server_tool_use": {"web_search_requests": count}}
    step = {**some, "iterations": [{"type": "compaction", **some, "output_tokens": count}]}
    assert usage_of(told).output_tokens == expected
    assert usage_of(searched).web_search_requests == expected
    for raw in (told, searched, step):
        usage = usage_of(raw)
        assert (usage.odd, usage.certain) == (odd, not odd)
    assert not usage_of({"input_tokens": 1}).certain


def test_cache_writes_by_the_hour_are_a_part_of_all() -> None:
    """The total is never less than its parts, even where only those are given."""
    parts = {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3}
    usage = usage_of({"cache_creation": parts, "cache_creation_input_tokens": 4})
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens) == (5, 3)


def test_a_number_beyond_a_double_is_malformed() -> None:
    """A fraction that can't be passed on as it is fails the answer, here and not at the edge."""
    block = b'{"type":"tool_use","id":"t","name":"n","input":{"x":1e400}}'
    whole = b'{"content":[' + block + b'],"stop_reason":"tool_use"}'
    with pytest.raises(WireFailure, match="beyond a double"):
        parse_message(whole)
    start = b'{"type":"content_block_start","index":0,"content_block":' + block + b"}"
    parser = EventParser()
    parser.feed(b'data: {"type":"message_start","message":{}}\n\ndata: ' + start + b"\n\n")
    assert parser.failure is not None
    assert "beyond a double" in parser.failure.message


@pytest.mark.parametrize(
    "number", ["1e400", "1E400", "-1e+400", "0.1e999", f"1{'0' * 310}.0", f"{'9' * 400}.5"]
)
def test_every_spelling_of_too_large_a_number_is_found(number: str) -> None:
    """Whether with an exponent or written out, at any depth and beside any text."""
    said = f'{{"type":"text","text":"1e5 {"9" * 301}","citations":[{{"x":[{number}]}}]}}'
    whole = f'{{"id":"m","model":"x","content":[{said}],"stop_reason":"end_turn"}}'
    with pytest.raises(WireFailure, match="beyond a double"):
        parse_message(whole.encode())
    harmless = whole.replace(number, "1.5e3")
    assert parse_message(harmless.encode()).text.startswith("1e5 9")
