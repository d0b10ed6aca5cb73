"""What can be configured of what calls may ask, and of what is hidden, as in `schema`.

`Input` stands twice: in `input`, for all, and at a route, where the fields that are set
replace those.
"""

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from annotated_types import Ge, Le, Len
from pydantic import AfterValidator, Field, Strict

from sidecard.config.kinds import Expect, Section, each_once, told
from sidecard.policy.redaction import BadPattern, Redactor

_MOST_BYTES = 2**31 - 1


def _pattern(text: str) -> str:
    try:
        Redactor({"a-name": text})
    except BadPattern as error:
        raise told(f"expected a regular expression as RE2 has them: {error}") from None
    return text


Bytes: TypeAlias = Annotated[
    int,
    Strict(),
    Ge(1),
    Le(_MOST_BYTES),
    Expect(f"a whole number of bytes from 1 to {_MOST_BYTES}"),
]
NamePattern: TypeAlias = Annotated[
    str,
    Strict(),
    Field(pattern=r"^[!-~]{1,256}$"),
    Expect("a name, or a pattern of names, as team-*"),
]
BlockType: TypeAlias = Annotated[
    str,
    Strict(),
    Field(pattern=r"^[a-z0-9_]{1,64}$"),
    Expect("a type of content, as text or image"),
]
RedactionName: TypeAlias = Annotated[
    str,
    Strict(),
    Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$"),
    Expect("a pattern's name: up to 63 of a-z, 0-9, '_' and '-'"),
]
Regex: TypeAlias = Annotated[str, Strict(), Len(1, 4_096), AfterValidator(_pattern)]


class Input(Section):
    """What a call may ask. What isn't taken is refused before anything is sent, or paid.

    Which models callers may name themselves is `upstream.models`.
    """

    max_bytes: Bytes | None = Field(
        None,
        description="Size of the messages with all parameters, in bytes of JSON. null: as large "
        "as `listen.max_message_bytes` lets in. A limit in tokens is the call's own, "
        "`max_input_tokens`.",
    )
    content: Annotated[tuple[BlockType, ...], AfterValidator(each_once)] | None = Field(
        None,
        description="Types of content that messages, the system's text and tools' results may "
        "have, as the API names them: `text`, `image`, `document`, `search_result`, … null: all.",
    )
    tools: Annotated[tuple[NamePattern, ...], AfterValidator(each_once)] | None = Field(
        None,
        description="Names of the tools that a call may bring, or patterns (`*`, `?`, `[…]`); "
        "the upstream's own, as `web_search`, and servers of tools go by their names, too. "
        "`[]`: none. null: all.",
    )
    tenants: Annotated[tuple[NamePattern, ...], AfterValidator(each_once)] | None = Field(
        None, description="Tenants that may call, or patterns of them. null: all."
    )
    redact: Annotated[tuple[RedactionName, ...], AfterValidator(each_once)] = Field(
        (),
        description="What is replaced by its name, as `[email]`, in texts before they are sent, "
        "and before they are looked up in the cache: `email`, `card`, `key`, or a name of "
        "`redaction.patterns`. Texts are those of messages, instructions, tools and metadata, and "
        "what tools were called with; pictures, files and `output_schema` are sent as they are.",
    )


class Redaction(Section):
    """What is personal or secret in texts.

    In log lines all of it is always replaced by its name, but in what calls are found by: tenants,
    routes, targets and request ids; in what is sent, where `input.redact` says so. `email`, `card`
    (payment cards, by their check digit) and `key` (keys of well-known services, JSON web tokens,
    private keys) are known.
    """

    patterns: Mapping[RedactionName, Regex] = Field(
        {},
        description="More of it: regular expressions by name. They are RE2's, which have no "
        "back-references and no look-around, and whose time grows with the text alone. "
        "One named as a known one replaces that.",
    )
