"""The judge: takes an answer's JSON out of its text and holds it against a schema.

Everything here may take as long as a caller's schema and a model's text make it:
it belongs into a process that somebody else ends.
Measured, 16 levels of `anyOf` with two equal branches take 23 ms for the verdict and 5.6 s for
the list of what is wrong, so that the verdict is given first.

Patterns are matched by an engine that takes time in proportion to the text, and so has
no look-around and no back-references. The engine that has them gives up after a while,
which counts as no match, and so as a match where the schema says `not`.
Numbers are compared exactly. `format` is an annotation, as 2020-12 has it. Nothing is fetched.
"""

import json
from collections import OrderedDict
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Final

from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

from sidecard.core.jsonio import JsonValue
from sidecard.policy.extract import Extracted, Found, extract
from sidecard.schema.told import pointer, short

MOST_VIOLATIONS: Final = 20
_REMEMBERED: Final = 64
_REMEMBERED_CHARS: Final = 1 << 20
_PATTERN_BYTES: Final = 1 << 20
_NO_LOOKING: Final = "; patterns can't have look-around or back-references"

Fields = dict[str, JsonValue]


class Judge:
    """State: the latest schemas, compiled. Not to be shared."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Draft202012Validator | str] = OrderedDict()
        self._chars = 0

    def answers(self, schema: str, answer: str | None) -> Iterator[Fields]:
        """Yield what is found: a `problem` of the schema, or whether the answer is `valid`.

        An invalid answer's `violations` follow on their own. Without an answer
        only the schema is looked at.
        """
        validator = self._compiled(schema)
        if isinstance(validator, str):
            yield {"problem": validator}
            return
        if answer is None:
            yield {"problem": ""}
            return
        extracted = extract(answer)
        values = [(found, _value(found.text)) for found in extracted.found]
        valid = [found for found, value in values if validator.is_valid(value)]
        if len(valid) == 1:
            yield {"valid": True, "output_json": valid[0].text, "how": valid[0].how}
            return
        yield {"valid": False}
        yield {"violations": _violations(validator, extracted, values, len(valid))}

    def _compiled(self, schema: str) -> Draft202012Validator | str:
        """Return the validator, or why the schema has none."""
        known = self._known.get(schema)
        if known is None:
            known = self._known[schema] = _compile(schema)
            self._chars += len(schema)
            while len(self._known) > _REMEMBERED or self._chars > _REMEMBERED_CHARS < len(schema):
                oldest, _ = self._known.popitem(last=False)
                self._chars -= len(oldest)
        else:
            self._known.move_to_end(schema)
        return known

    def __repr__(self) -> str:
        return f"<Judge, {len(self._known)} schemas compiled, {self._chars:,} characters>"


def _compile(schema: str) -> Draft202012Validator | str:
    options = RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES)
    try:
        return Draft202012Validator(_value(schema), offline=True, pattern_options=options)
    except ValidationError as error:
        told = error.message + (_NO_LOOKING if error.message.endswith('is not a "regex"') else "")
        return f"at {pointer(error.instance_path) or '/'}: {short(told)}"
    except ValueError as error:
        return short(str(error))
    except RecursionError:
        return "is nested too deeply"


def _value(text: str) -> JsonValue:
    return json.loads(text, parse_float=Decimal)


def _violations(
    validator: Draft202012Validator,
    extracted: Extracted,
    values: list[tuple[Found, JsonValue]],
    valid: int,
) -> list[tuple[str, str]]:
    """Return places and descriptions of what is wrong, at least one."""
    if extracted.problem:
        return [("", extracted.problem)]
    if valid:
        return [("", f"the answer holds {valid} different values; it has to be one")]
    _, last = values[-1]
    errors = islice(validator.iter_errors(last), MOST_VIOLATIONS)
    return [(pointer(error.instance_path), short(error.message)) for error in errors]
