"""The form in which a target is sent a schema: as the API's parameter, or in the prompt."""

from typing import Final

from sidecard.core import jsonio
from sidecard.core.call import Call, Structured
from sidecard.core.jsonio import JsonObject, JsonValue
from sidecard.policy.native import native

_INSTRUCTION: Final = (
    "Answer with JSON alone: one value that satisfies the JSON Schema below, "
    "with no other text and no code fence around it.\n\n"
)


def parameters_of(call: Call) -> JsonObject:
    """Return the parameters for the call's target, which has the schema in the form it takes."""
    schema, parameters = call.output_schema, call.parameters
    if schema is None:
        return parameters
    how = call.target.structured
    config = parameters.get("output_config") or {}
    narrow = None if how is Structured.PROMPT else native(schema)
    if narrow is not None or how is Structured.NATIVE:
        form = {"type": "json_schema", "schema": schema if narrow is None else narrow}
        return {**parameters, "output_config": {**config, "format": form}}
    rest = {key: value for key, value in config.items() if key != "format"}
    changed = {**parameters, "system": _instructed(parameters.get("system"), schema)}
    if rest:
        return {**changed, "output_config": rest}
    return {key: value for key, value in changed.items() if key != "output_config"}


def _instructed(system: JsonValue, schema: JsonObject) -> JsonValue:
    """Return the instructions with the schema at their end, behind what may be cached."""
    told = _INSTRUCTION + jsonio.dumps(schema)
    if isinstance(system, list):
        return [*system, {"type": "text", "text": told}]
    return f"{system}\n\n{told}" if system else told
