"""Requests to calls: everything that can be checked without the upstream, all at once."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sidecard.core.call import Call, Mode, Route
from sidecard.core.jsonio import JsonObject
from sidecard.core.trail import Trail
from sidecard.policy.intake import Intake
from sidecard.server.wire.blocks_in import blocks_to_json
from sidecard.server.wire.json_values import struct_to_json
from sidecard.server.wire.routing import Routing, limit_of
from sidecard.server.wire.schema_in import Schemas
from sidecard.server.wire.terms_in import (
    are_betas,
    cache_of,
    fallback_of,
    labels_of,
    limits_of,
    priority_of,
    tenant_of,
)
from sidecard.server.wire.tools_in import choice_to_json, thinking_to_json, tools_to_json
from sidecard.server.wire.violations import Violations, shown
from sidecard.v1 import content_pb2
from sidecard.v1 import generation_pb2 as pb

_MESSAGES: Final = 10_000
_BLOCKS: Final = 100_000
"""Decoding holds the event loop, about 5 µs a block: more would be felt by every other call."""

_STOP_SEQUENCES: Final = 8_191
"""Amazon Bedrock's limit; the API itself documents none."""

_ANY_TOKENS: Final = 2**31 - 1

_ROLES: Final = {
    content_pb2.ROLE_USER: "user",
    content_pb2.ROLE_ASSISTANT: "assistant",
    content_pb2.ROLE_SYSTEM: "system",
}
_OWN_FIELDS: Final = frozenset(
    {field.name for field in pb.GenerateRequest.DESCRIPTOR.fields} | {"stream"}
)
"""What `extra` may not name: the fields of a request, and how the answer is delivered."""


class Decoder:
    """Decodes requests. One for the process, safe to share between tasks.

    `allowed_models` are glob patterns of the model ids that callers may name themselves.
    `intake` refuses what a route doesn't take, and hides what it shouldn't see.
    """

    def __init__(
        self,
        *,
        routes: Mapping[str, Route],
        allowed_models: Sequence[str],
        intake: Intake | None = None,
    ) -> None:
        self._routing = Routing(routes, allowed_models)
        self._intake = intake
        self._schemas = Schemas()

    def decode(
        self,
        request: pb.GenerateRequest,
        *,
        mode: Mode,
        request_id: str,
        deadline: float,
        trail: Trail,
        own: str = "",
        prefix: str = "",
    ) -> Call:
        """Return the call that a request asks for; raises `InvalidCall` with every violation.

        `own` is the tenant that the caller's token is for alone, "" for any: another's call
        raises `PermissionDenied`.
        `prefix` goes before the fields' paths, for a request that is itself a field.
        """
        found = Violations(prefix)
        route = self._routing.find(request.model, found)
        cache = cache_of(request, found)
        messages = _messages(request, found)
        parameters = self._parameters(request, route, found)
        tenant = tenant_of(request, own, found)
        labels = labels_of(request, found) if request.labels else {}
        priority = priority_of(request, found)
        fallback = fallback_of(request, found)
        max_cost_nano_usd, max_input_tokens = limits_of(request, found)
        schema = self._output_schema(request, parameters, found)
        found.check()
        if route is None:
            raise AssertionError  # `find` has noted it, so `check` has raised
        call = Call(
            request_id=request_id,
            tenant=tenant,
            route=route,
            target=route.targets[0],
            messages=messages,
            parameters=parameters,
            deadline=deadline,
            mode=mode,
            priority=priority,
            output_schema=schema,
            cache=cache,
            fallback=fallback,
            max_cost_nano_usd=max_cost_nano_usd,
            max_input_tokens=max_input_tokens,
            labels=labels,
            trail=trail,
        )
        return self._intake(call, prefix) if self._intake else call

    def _parameters(
        self, request: pb.GenerateRequest, route: Route | None, found: Violations
    ) -> dict[str, Any]:
        max_tokens = _max_tokens(request, route, found)
        parameters: dict[str, Any] = {"max_tokens": max_tokens}
        if system := _system(request, found):
            parameters["system"] = system
        if request.stop_sequences:
            parameters["stop_sequences"] = _stop_sequences(request, found)
        if request.tools:
            parameters["tools"] = tools_to_json(request.tools, self._schemas, found)
        if request.HasField("tool_choice"):
            tools = parameters.get("tools", [])
            parameters["tool_choice"] = choice_to_json(request.tool_choice, tools, found)
        if request.HasField("thinking"):
            parameters["thinking"] = thinking_to_json(request.thinking, max_tokens, found)
        if request.HasField("extra"):
            extra = struct_to_json(request.extra, "extra", found) or {}
            for key in sorted(_OWN_FIELDS & extra.keys()):
                found.add(f"extra.{key}", "has a field of its own, or is sidecard's; leave it out")
            if not are_betas(extra.get("betas", [])):
                found.add("extra.betas", "has to be a list of names of betas")
            parameters.update(extra)
        return parameters

    def _output_schema(
        self, request: pb.GenerateRequest, parameters: dict[str, Any], found: Violations
    ) -> JsonObject | None:
        """Return the schema of the answer, having added it to the parameters."""
        if not request.HasField("output_schema"):
            return None
        schema = self._schemas.read(request.output_schema, "output_schema", found)
        config = parameters.get("output_config", {})
        if not isinstance(config, dict) or "format" in config:
            problem = "is the field that output_schema sets; leave one of the two out"
            found.add("extra.output_config.format", problem)
            return schema
        form = {"type": "json_schema", "schema": schema}
        parameters["output_config"] = {**config, "format": form}
        return schema


def _messages(request: pb.GenerateRequest, found: Violations) -> tuple[JsonObject, ...]:
    messages, prompt = request.messages, request.prompt
    if not messages:
        if not prompt or prompt.isspace():
            found.add("prompt", "is empty; set prompt or messages")
        return ({"role": "user", "content": [{"type": "text", "text": prompt}]},)
    if prompt:
        found.add("prompt", "is set beside messages; set one of the two")
    if len(messages) > _MESSAGES:
        found.add("messages", f"are {len(messages):,}; at most {_MESSAGES:,} are taken")
        return ()
    if (blocks := sum([len(message.content) for message in messages])) > _BLOCKS:
        found.add("messages", f"have {blocks:,} blocks of content; at most {_BLOCKS:,} are taken")
        return ()
    if not any(message.role == content_pb2.ROLE_USER for message in messages):
        found.add("messages", "have no message of ROLE_USER; add the user's turn")
    return tuple([_message(message, f"messages[{i}]", found) for i, message in enumerate(messages)])


def _message(message: content_pb2.Message, path: str, found: Violations) -> JsonObject:
    role = _ROLES.get(message.role)
    if role is None:
        what = f"has the unknown value {message.role}" if message.role else "is unspecified"
        found.add(f"{path}.role", f"{what}; use ROLE_USER, ROLE_ASSISTANT or ROLE_SYSTEM")
    if not message.content:
        found.add(f"{path}.content", "has no blocks; add one, or leave the message out")
    return {"role": role, "content": blocks_to_json(message.content, f"{path}.content", found)}


def _system(request: pb.GenerateRequest, found: Violations) -> str | list[dict[str, Any]]:
    if not request.system_blocks:
        return request.system
    if request.system:
        found.add("system", "is set beside system_blocks; set one of the two")
    for index, block in enumerate(request.system_blocks):
        if block.WhichOneof("block") not in ("text", "raw", "raw_json", None):
            found.add(f"system_blocks[{index}]", "is no text; instructions are text blocks")
    return blocks_to_json(request.system_blocks, "system_blocks", found)


def _max_tokens(request: pb.GenerateRequest, route: Route | None, found: Violations) -> int:
    """Return the most tokens to write; a default that is too high for the model is its most."""
    limit = limit_of(route.targets[0]) if route else None
    if not request.HasField("max_tokens"):
        default = route.max_tokens if route else _ANY_TOKENS
        return default if limit is None else min(default, limit)
    chosen = request.max_tokens
    if chosen < 1:
        found.add("max_tokens", f"is {chosen}; it has to be at least 1")
    elif limit is not None and chosen > limit and route is not None:
        most = f"{shown(route.targets[0].model)} writes at most {limit:,}"
        found.add("max_tokens", f"is {chosen:,}; {most}")
    return chosen


def _stop_sequences(request: pb.GenerateRequest, found: Violations) -> list[str]:
    sequences = list(request.stop_sequences)
    if (count := len(sequences)) > _STOP_SEQUENCES:
        found.add("stop_sequences", f"are {count:,}; at most {_STOP_SEQUENCES:,} are taken")
        return []
    for index, sequence in enumerate(sequences):
        if not sequence:
            found.add(f"stop_sequences[{index}]", "is empty; leave it out")
    return sequences
