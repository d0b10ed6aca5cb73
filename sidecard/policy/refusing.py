"""What a route doesn't take of a call, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from sidecard.core import jsonio
from sidecard.core.call import Call
from sidecard.core.jsonio import JsonValue

_MACHINERY: Final = (
    "mcp_tool_result",
    "mcp_tool_use",
    "redacted_thinking",
    "server_tool_use",
    "thinking",
    "tool_result",
    "tool_use",
)
"""Blocks that a model's turn has, and what answers them: which tools there are, `tools` says."""


@dataclass(frozen=True, slots=True)
class IntakePolicy:
    """What a route takes; None for anything.

    `max_bytes`: of the messages and all parameters, as JSON in UTF-8. `content`: types of blocks.
    `tools`, `tenants`: patterns of names. `redact`: names of what is replaced before it is sent.
    """

    max_bytes: int | None = None
    content: frozenset[str] | None = None
    tools: tuple[str, ...] | None = None
    tenants: tuple[str, ...] | None = None
    redact: tuple[str, ...] = ()


ANYTHING: Final = IntakePolicy()


def refused(call: Call, policy: IntakePolicy) -> Iterator[tuple[str, str, str]]:
    """Yield a field, what is wrong with it, and how to go on."""
    if policy.tenants is not None and not _matches(call.tenant, policy.tenants):
        yield "tenant", f"{call.tenant} isn't served", ""
    if policy.max_bytes is not None:
        asked = [list(call.messages), call.parameters]
        size = len(jsonio.dumps(asked).encode(errors="surrogatepass"))
        if size > policy.max_bytes:
            fix = f"; at most {policy.max_bytes:,} are (input.max_bytes)"
            yield "messages", f"{size:,} bytes of input aren't taken", fix
    if policy.content is not None:
        fix = f"; {', '.join(sorted(policy.content)) or 'none'} are (input.content)"
        for field, kind in _kinds(call):
            if kind not in policy.content:
                yield field, f"content of type {kind} isn't taken", fix
    if policy.tools is not None:
        fix = f"; {', '.join(policy.tools) or 'none'} are (input.tools)"
        for field, name in _tools(call):
            if not _matches(name, policy.tools):
                yield field, f"the tool {name} isn't taken", fix


def _kinds(call: Call) -> Iterator[tuple[str, str]]:
    """Yield where blocks of content are, and their types."""
    if "system" in call.parameters:
        yield from _blocks(call.parameters["system"], "system")
    for index, message in enumerate(call.messages):
        yield from _blocks(message.get("content"), f"messages[{index}].content")


def _blocks(content: JsonValue, field: str) -> Iterator[tuple[str, str]]:
    if isinstance(content, str):
        yield field, "text"
        return
    for index, block in enumerate(content if isinstance(content, list) else ()):
        kind = block.get("type") if isinstance(block, dict) else None
        here = f"{field}[{index}]"
        if kind not in _MACHINERY and not str(kind).endswith("_tool_result"):
            yield here, str(kind)
        elif isinstance(block, dict) and kind == "tool_result":
            yield from _blocks(block.get("content"), f"{here}.content")


def _tools(call: Call) -> Iterator[tuple[str, str]]:
    """Yield where tools are, and their names; of a server of tools its own."""
    for key in ("tools", "mcp_servers"):
        tools = call.parameters.get(key)
        for index, tool in enumerate(tools if isinstance(tools, list) else ()):
            yield f"{key}[{index}]", str(tool.get("name")) if isinstance(tool, dict) else "?"


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
