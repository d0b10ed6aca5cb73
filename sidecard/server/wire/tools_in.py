"""Tools, the choice among them and reasoning: the contract's to the upstream's JSON."""

import re
from collections.abc import Sequence
from typing import Any, Final

from sidecard.server.wire.blocks_in import cache_control
from sidecard.server.wire.json_values import struct_to_json
from sidecard.server.wire.schema_in import Schemas
from sidecard.server.wire.violations import Violations, shown
from sidecard.v1 import generation_pb2 as pb

Json = dict[str, Any]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LEAST_BUDGET: Final = 1_024

_CHOICES: Final = {
    pb.ToolChoice.MODE_UNSPECIFIED: "auto",
    pb.ToolChoice.MODE_AUTO: "auto",
    pb.ToolChoice.MODE_ANY: "any",
    pb.ToolChoice.MODE_TOOL: "tool",
    pb.ToolChoice.MODE_NONE: "none",
}
_THINKING: Final = {
    pb.Thinking.MODE_ADAPTIVE: "adaptive",
    pb.Thinking.MODE_ENABLED: "enabled",
    pb.Thinking.MODE_DISABLED: "disabled",
    pb.Thinking.MODE_BETWEEN_TOOLS: "between_tools",
}
_DISPLAYS: Final = ("summarized", "omitted")


def tools_to_json(tools: Sequence[pb.Tool], schemas: Schemas, found: Violations) -> list[Json]:
    """Return the tools in order; names are there once."""
    seen: set[str] = set()
    result = []
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        if tool.HasField("raw"):
            path = f"{path}.raw"
            json = _raw(tool, path, found)
        else:
            json = _tool(tool, path, schemas, found)
        name = json.get("name")
        if isinstance(name, str) and name in seen:
            found.add(f"{path}.name", f"is {shown(name)}, as an earlier tool's; rename one")
        elif isinstance(name, str):
            seen.add(name)
        result.append(json)
    return result


def choice_to_json(choice: pb.ToolChoice, tools: list[Json], found: Violations) -> Json:
    """Return the choice among `tools`, which `tools_to_json` returned."""
    mode = _CHOICES.get(choice.mode)
    if mode is None:
        found.add("tool_choice.mode", f"has the unknown value {choice.mode}; use one of Mode")
    if not tools:
        found.add("tool_choice", "is set without any tools; add tools, or leave it out")
    json: Json = {"type": mode}
    if mode == "tool":
        names = [tool.get("name") for tool in tools]
        # A set of tools that the upstream runs has no name of its own, and names inside.
        if not choice.name or (choice.name not in names and None not in names):
            found.add("tool_choice.name", f"is {shown(choice.name)}, which none of the tools has")
        json["name"] = choice.name
    elif choice.name:
        found.add("tool_choice.name", "is set, which only goes with MODE_TOOL")
    if choice.disable_parallel_tool_use:
        if mode == "none":
            problem = "is set, which doesn't go with MODE_NONE"
            found.add("tool_choice.disable_parallel_tool_use", problem)
        json["disable_parallel_tool_use"] = True
    return json


def thinking_to_json(thinking: pb.Thinking, max_tokens: int, found: Violations) -> Json:
    """Return how the model is to reason within its `max_tokens`."""
    mode = _THINKING.get(thinking.mode)
    if mode is None:
        what = f"has the unknown value {thinking.mode}" if thinking.mode else "is unspecified"
        found.add("thinking.mode", f"{what}; use one of Mode, or leave thinking out")
    json: Json = {"type": mode}
    budget = thinking.budget_tokens
    if mode == "enabled":
        if not _LEAST_BUDGET <= budget < max_tokens:
            limits = f"at least {_LEAST_BUDGET:,} and below max_tokens, {max_tokens:,}"
            found.add("thinking.budget_tokens", f"is {budget:,}; it has to be {limits}")
        json["budget_tokens"] = budget
    elif budget:
        found.add("thinking.budget_tokens", f"is {budget:,}, which only goes with MODE_ENABLED")
    if thinking.display:
        if thinking.display not in _DISPLAYS or mode not in ("adaptive", "enabled", None):
            rule = "with MODE_ADAPTIVE and MODE_ENABLED it is summarized or omitted"
            found.add("thinking.display", f"is {shown(thinking.display)}; {rule}")
        json["display"] = thinking.display
    return json


def _tool(tool: pb.Tool, path: str, schemas: Schemas, found: Violations) -> Json:
    if not _NAME.fullmatch(tool.name):
        rule = "it has to be 1 to 128 of a-z, A-Z, 0-9, _ and -"
        found.add(f"{path}.name", f"is {shown(tool.name)}; {rule}")
    json: Json = {"name": tool.name}
    if tool.description:
        json["description"] = tool.description
    where = f"{path}.input_schema"
    if tool.HasField("input_schema"):
        before = len(found)
        schema = json["input_schema"] = schemas.read(tool.input_schema, where, found)
        if len(found) == before and schema.get("type") != "object":
            found.add(where, 'has to be of type "object" at its top')
    else:
        found.add(where, 'is required; a tool without arguments has {"type": "object"}')
    if tool.HasField("cache_control"):
        json["cache_control"] = cache_control(tool.cache_control, path, found)
    if tool.HasField("extra"):
        for key, value in (struct_to_json(tool.extra, f"{path}.extra", found) or {}).items():
            if key in ("name", "description", "input_schema", "cache_control"):
                found.add(f"{path}.extra.{key}", f"has a field of its own, {path}.{key}")
            json[key] = value
    return json


def _raw(tool: pb.Tool, path: str, found: Violations) -> Json:
    if len(tool.ListFields()) > 1:
        found.add(path, "is the whole tool; set nothing beside it")
    json = struct_to_json(tool.raw, path, found)
    if json is not None and not isinstance(json.get("type"), str):
        found.add(f"{path}.type", "is missing; a raw tool names its type")
    return json or {}
