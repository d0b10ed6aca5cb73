"""From a call to the body of its request."""

from typing import Final

from sidecard.core.call import Call
from sidecard.core.jsonio import JsonObject
from sidecard.policy.schema_form import parameters_of

BETAS: Final = "betas"
"""The parameter, in the SDK's words, that travels as a header: which betas a request is for."""

# What counting takes of a request: anthropic/types/message_count_tokens_params.py.
_COUNTED: Final = (
    "betas",
    "cache_control",
    "output_config",
    "speed",
    "system",
    "thinking",
    "tool_choice",
    "tools",
)


def request_body(call: Call, *, stream: bool) -> JsonObject:
    """Return the body for `/v1/messages`; no parameter of the call's can name another model."""
    body = {**parameters_of(call), "model": call.target.model, "messages": call.messages}
    if stream:
        body["stream"] = True
    return body


def count_tokens_body(call: Call) -> JsonObject:
    """Return the body for `/v1/messages/count_tokens`, which refuses fields it doesn't know."""
    parameters = parameters_of(call)
    counted = {key: parameters[key] for key in _COUNTED if key in parameters}
    return {"model": call.target.model, "messages": call.messages, **counted}


def split(body: JsonObject) -> tuple[JsonObject, str]:
    """Return what is sent as the body, and the value of the header `anthropic-beta`."""
    betas = body.get(BETAS)
    if not betas:
        return body, ""
    return {key: value for key, value in body.items() if key != BETAS}, ",".join(betas)
