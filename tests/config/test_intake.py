"""What calls may ask, in the configuration: what it becomes, and every mistake with its place."""

from sidecard.config.merged import input_of
from tests.config.conftest import Refused, Taken


def test_a_route_has_its_own_over_that_of_all(taken: Taken) -> None:
    """Field by field; a route that sets nothing, and a model named directly, have that of all."""
    config = taken(
        "input: {max_bytes: 100, redact: [email]}\n"
        "routes:\n"
        "  default: {targets: [{model: a}]}\n"
        "  own: {targets: [{model: a}], input: {redact: [], tools: ['x*']}}"
    ).config
    assert input_of(config, "default") == input_of(config, "claude-x") == config.input
    own = input_of(config, "own")
    assert (own.max_bytes, own.redact, own.tools, own.content) == (100, (), ("x*",), None)


def test_mistakes_name_the_field_and_the_fix(refused: Refused) -> None:
    """All at once: sizes, names, patterns, and what is redacted but known nowhere."""
    problems = refused(
        "input: {max_bytes: 0, tools: ['a b'], content: [Text, Text]}\n"
        "redaction: {patterns: {mine: '(?<=a)b', empty: 'a*', 'No!': a}}\n"
    )
    told = "\n".join(problems)
    for part in (
        "input.max_bytes: expected a whole number of bytes from 1 to 2147483647, got 0",
        "input.tools[0]",
        "input.content[0]",
        "redaction.patterns.mine: expected a regular expression as RE2 has them: invalid",
        "redaction.patterns.empty: expected a regular expression as RE2 has them: it matches",
        "expected a pattern's name",
    ):
        assert part in told
    [told] = refused(
        "routes: {default: {targets: [{model: a}], input: {redact: [email, phone]}}}\n"
    )
    assert told == (
        "routes.default.input.redact[1]: phone is nothing that is known; "
        "expected one of email, card, key (file sidecard.yaml, line 1)"
    )
