"""`extract`: the value that is meant is found in whatever surrounds it, and no other ever is."""

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.policy.extract import MOST_CANDIDATES, Extracted, extract
from sidecard.policy.jsontext import canonical
from sidecard.policy.repair import repaired

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_NUMBER = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(_TEXT, JSON, min_size=1, max_size=4)
PROSE = st.text("abc ,.:'é\n!?()1-", max_size=30)
_ODD = re.compile(r"[\n\t\x08\f'/\\\"]")
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null')


def read(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def only(extracted: Extracted) -> Any:
    assert len(extracted.found) == 1, extracted
    return read(extracted.found[0].text)


@given(JSON, st.booleans(), st.sampled_from([None, 2]), st.text(" \n\t\r", max_size=3))
def test_a_bare_value_comes_back_equal(
    value: Any,
    escaped: bool,  # noqa: FBT001
    indent: int | None,
    space: str,
) -> None:
    """However it is written, and to the last digit."""
    text = json.dumps(value, ensure_ascii=escaped, indent=indent)
    assert only(extract(space + text + space)) == read(text)


@given(OBJECTS, PROSE, PROSE, st.sampled_from(["json", "JSON", "jsonc", ""]))
def test_a_fenced_value_comes_back_equal(value: Any, before: str, after: str, mark: str) -> None:
    """Whatever prose is around the fence."""
    text = json.dumps(value, ensure_ascii=False)
    answer = f"{before}\n```{mark}\n{text}\n```\n{after}"
    assert only(extract(answer)) == read(text)


@given(OBJECTS, PROSE, PROSE)
def test_a_value_in_prose_comes_back_equal_or_not_at_all(
    value: Any, before: str, after: str
) -> None:
    """Only what stands by itself is taken; beside a comma it might be a part of something."""
    text = json.dumps(value)
    extracted = extract(f"{before} {text} {after}")
    if extracted.found:
        assert only(extracted) == read(text)
    else:
        assert after.lstrip()[:1] in {",", ":"} or before.rstrip()[-2:] in {'":', "':"}


@given(OBJECTS, st.data())
def test_a_value_cut_off_is_never_taken(value: Any, data: st.DataObject) -> None:
    """Not the value, and no value inside of it, fenced or not."""
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    prefix = data.draw(st.sampled_from(["", "Here it is: ", "```json\n", "```\n"]))
    assert extract(prefix + cut).found == ()


@given(st.text("{}[]\",:\\'ab1. \n`/tf“”", max_size=40))
def test_nothing_is_made_up(text: str) -> None:
    """Every text, number and literal of what is found stands in the answer."""
    for found in extract(text).found:
        for token in TOKEN.findall(found.text):
            meant = json.loads(token)
            said = meant if isinstance(meant, str) else token
            for piece in _ODD.split(said):
                assert piece in text, (found, piece)


@given(st.text("{}[]\",:\\'ab1. \n/tf“”", max_size=40))
def test_a_repair_keeps_every_token_in_its_order(text: str) -> None:
    """Only punctuation, comments and spaces differ."""
    mended = repaired(text)
    if mended is None or not _is_json(mended):
        return
    at = 0
    for token in TOKEN.findall(mended):
        meant = json.loads(token)
        # An escape may be written otherwise: then the pieces around it are in order.
        pieces = _ODD.split(meant) if isinstance(meant, str) else [token]
        for piece in pieces:
            found = text.find(piece, at)
            assert found >= 0, (mended, piece)
            at = found + len(piece)


@given(JSON)
def test_valid_json_is_repaired_to_itself(value: Any) -> None:
    """What needs no repair has the same value after one."""
    text = json.dumps(value)
    mended = repaired(text)
    assert mended is not None
    assert read(mended) == read(text)


@pytest.mark.parametrize(
    ("answer", "value", "how"),
    [
        ('{"a": 1}', '{"a":1}', "plain"),
        ('{"b": 1.10, "a": 12345678901234567890123}', '{"a":12345678901234567890123,"b":1.10}', ""),
        ('\ufeff{"a": 1}\u200b', '{"a":1}', "plain"),
        ('Sure! Here is the JSON:\n{"a": 1}\nAnything else?', '{"a":1}', "extracted"),
        ('```json\n{"a": 1}\n```', '{"a":1}', "extracted"),
        ('```json\n{"a": 1}', '{"a":1}', "extracted"),
        ('```json {"a": 1} ```', '{"a":1}', "extracted"),
        ('~~~\n{"a": 1}\n~~~', '{"a":1}', "extracted"),
        ('As {"x": 2} says:\n```json\n{"a": 1}\n```', '{"a":1}', "extracted"),
        ('```python\nprint({})\n```\n```json\n{"a": 1}\n```', '{"a":1}', "extracted"),
        ('<json>{"a": 1}</json>', '{"a":1}', "extracted"),
        ('{"a": 1}\n{"a": 1}', '{"a":1}', "extracted"),
        ('As in [1], {"a": 1}', '{"a":1}', "extracted"),
        ('{"a": 1,}', '{"a":1}', "repaired"),
        ('{"a": [1, 2,],}', '{"a":[1,2]}', "repaired"),
        ("{'a': 'x'}", '{"a":"x"}', "repaired"),
        ("{“a”: “x”}", '{"a":"x"}', "repaired"),
        ("{a: 1, b_2: true}", '{"a":1,"b_2":true}', "repaired"),
        ('{"a": 1 // one\n, /* two */ "b": 2}', '{"a":1,"b":2}', "repaired"),
        ('{"a": 1\n "b": 2}', '{"a":1,"b":2}', "repaired"),
        ('[{"a": 1} {"a": 2}]', '[{"a":1},{"a":2}]', "repaired"),
        ('{"a": "x\ny\tz"}', '{"a":"x\\ny\\tz"}', "repaired"),
        ('{"a": "it\\\'s"}', '{"a":"it\'s"}', "repaired"),
        ('{"a":\xa01,\xa0}', '{"a":1}', "repaired"),
        ("{'a': [True, False, None]}", '{"a":[true,false,null]}', "repaired"),
        ("{None: 'said \"yes\"'}", '{"None":"said \\"yes\\""}', "repaired"),
        ('{"a": 1, # one\n "b": "#2"}', '{"a":1,"b":"#2"}', "repaired"),
        ("['it\\'s']", '["it\'s"]', "repaired"),
        ('{"code": "```js\\n{}\\n```"}', '{"code":"```js\\n{}\\n```"}', "plain"),
    ],
)
def test_what_is_meant_is_found(answer: str, value: str, how: str) -> None:
    """The kinds of wrapping and of slips that change no value."""
    (found,) = extract(answer).found
    assert found.text == value
    assert found.how == how or not how


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "   ",
        "I can't answer that.",
        '{"a": tru}',
        '{"a": none}',
        '{"a": [None None]}',
        "```json\n```",
        "[\n  #1,\n  #2\n]",
        '{"a": NaN}',
        '{"a": 1,234}',
        '{"a": 007}',
        '{"a": .5}',
        '{"a": "he said "hi""}',
        "{'a': 'it's'}",
        '{"a": 1, "a": 2}',
        '{"a": "\\ud800"}',
        '{"a": "\\d"}',
        '{"a": }',
        '{"a": 1}}',
        '{"a": {"b": 1}}, "c": 2}',
        '{"a": 1}, {"a": 2}',
        '"items": {"a": 1}',
        "[1 234]",
        '["a" "b"]',
        "[1,,2]",
        '{"a": 1',
        '[{"a": 1}, {"a": 2}',
        'Use { here: {"a": 1}',
        'First {"a": tru}, then {"a": true}.',
        'Wrong: {"a": tru} right: {"a": true}',
        "As in [1], nobody knows.",
        '{"a": 0x10}',
        '{"a": 1e}',
        '{"a": "x" + "y"}',
        "[" * 300 + "]" * 300,
        "[" * 100_000,
        '{"a":' * 100_000,
        " ".join(f'{{"a": {n}}}' for n in range(MOST_CANDIDATES + 1)),
    ],
)
def test_what_would_be_a_guess_is_not_made(answer: str) -> None:
    """There is a reason instead."""
    extracted = extract(answer)
    assert extracted.found == ()
    assert extracted.problem


def test_different_values_are_all_told() -> None:
    """Who knows the schema may choose between them."""
    assert [found.text for found in extract('{"a": 1} or {"a": 2}').found] == ['{"a":1}', '{"a":2}']


@given(JSON)
def test_canonical_text_is_a_fixed_point(value: Any) -> None:
    """It is the same however often it is made, and in whatever order the keys come."""
    text = canonical(json.dumps(value))
    assert canonical(text) == text
    backwards = {key: value[key] for key in reversed(value)} if isinstance(value, dict) else value
    assert canonical(json.dumps(backwards)) == text


@pytest.mark.parametrize(
    "text", ["NaN", "-Infinity", "[1,]", '{"a":1,"a":1}', "01", '"\\udc00"', ""]
)
def test_what_is_no_json_has_no_canonical_text(text: str) -> None:
    """Nor has what readers would disagree on."""
    with pytest.raises(ValueError, match=r"\w"):
        canonical(text)


def test_a_number_keeps_all_its_digits() -> None:
    """However many they are: none goes through a double, or through an int's limit of digits."""
    for number in ("1" * 5000, "0.10", "1E400", "-0", "1.000000000000000000001"):
        assert canonical(f"[{number}]") == f"[{number}]"
