"""Structured output as Anthropic's API has it: `output_config.format`, and JSON for a text.

An SDK parses the text. So where the model wrote anything around its JSON, or its punctuation
was mended, a whole answer has the JSON alone, and a header says so. A stream is as it came.
"""

from dataclasses import replace
from typing import Any, Final

from sidecard.core.call import Call
from sidecard.core.errors import InvalidOutput
from sidecard.core.jsonio import JsonObject
from sidecard.core.message import Message
from sidecard.policy.jsontext import canonical
from sidecard.policy.structured import begun

MENDED: Final = {"x-sidecard-output": "mended"}
_RAW_CHARS: Final = 10_000


def schema_of(parameters: JsonObject) -> JsonObject | None:
    """Return the schema that an answer has to satisfy; None where nothing here knows one."""
    config = parameters.get("output_config")
    form = config.get("format") if isinstance(config, dict) else None
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        return None
    schema = form.get("schema")
    return schema if isinstance(schema, dict) else None


def as_asked(call: Call, message: Message) -> Message:
    """Return a message whose text is JSON where a schema asks for that, else the message itself.

    To a beginning that the caller gave, the text is what follows, and stays that.
    """
    if not message.output_json or begun(call.messages):
        return message
    try:
        canonical(message.text)
    except ValueError:
        block: JsonObject = {"type": "text", "text": message.output_json}
        others = [other for other in message.content if other.get("type") != "text"]
        return replace(message, content=(*others, block))
    return message


def details_of(error: BaseException) -> dict[str, Any]:
    """Return what an error tells beside its message: the text, and what is wrong with it."""
    if not isinstance(error, InvalidOutput):
        return {}
    wrong = [{"path": v.field, "description": v.description} for v in error.violations]
    return {"output": {"text": error.raw[:_RAW_CHARS], "violations": wrong}}
