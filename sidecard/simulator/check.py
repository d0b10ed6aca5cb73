"""What the API refuses before it answers: the rules of the request, with its wording."""

from collections.abc import Collection, Mapping
from typing import Final

from sidecard.core import jsonio
from sidecard.core.jsonio import JsonObject, JsonValue
from sidecard.simulator.refusal import Refusal

_ROLES: Final = ("user", "assistant", "system")
_MIN_THINKING_TOKENS: Final = 1024


def check_headers(headers: Mapping[str, str], keys: Collection[str] = ()) -> None:
    """Raise `Refusal` for a request without credentials or version, as the API does.

    `keys` are those that are accepted; none named: any.
    """
    token = headers.get("authorization", "").removeprefix("Bearer").strip()
    given = headers.get("x-api-key", "").strip() or token
    if not given:
        raise Refusal("x-api-key header is required", 401)
    if keys and given not in keys:
        raise Refusal("invalid x-api-key", 401)
    if not headers.get("anthropic-version"):
        raise Refusal("anthropic-version: header is required")


def parse_body(content: bytes) -> JsonObject:
    """Return the request's body; raises `Refusal` when it is no JSON object."""
    try:
        body = jsonio.loads(content)
    except ValueError as error:
        raise Refusal(f"The request body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refusal("The request body must be a JSON object")
    return body


def check_body(body: JsonObject, *, counting: bool = False) -> None:
    """Raise `Refusal` for the first broken rule; `counting` asks for no `max_tokens`."""
    if not (isinstance(body.get("model"), str) and body["model"]):
        raise Refusal("model: Field required")
    _check_messages(body.get("messages"))
    if not counting:
        _check_max_tokens(body.get("max_tokens"))
        _check_prefill(body["messages"][-1])
    _check_tools(body)
    _check_thinking(body)
    stops = body.get("stop_sequences") or []
    if not (isinstance(stops, list) and all(isinstance(s, str) and s.strip() for s in stops)):
        raise Refusal("stop_sequences: each stop sequence must contain non-whitespace")


def _check_messages(messages: JsonValue) -> None:
    if not isinstance(messages, list):
        raise Refusal("messages: Field required")
    if not messages:
        raise Refusal("messages: at least one message is required")
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        if not isinstance(message, dict):
            raise Refusal(f"{where}: Input should be an object")
        if message.get("role") not in _ROLES:
            raise Refusal(f"{where}.role: Input should be 'user', 'assistant' or 'system'")
        _check_content(message.get("content"), where, last=index == len(messages) - 1)
    if not any(message["role"] == "user" for message in messages):
        raise Refusal("messages: at least one message must use the user role")


def _check_content(content: JsonValue, where: str, *, last: bool) -> None:
    if not isinstance(content, str | list):
        raise Refusal(f"{where}.content: Input should be a string or a list")
    if not content and not last:
        raise Refusal(f"{where}: all messages must have non-empty content")
    if isinstance(content, str):
        return
    for index, block in enumerate(content):
        if not (isinstance(block, dict) and isinstance(block.get("type"), str)):
            raise Refusal(f"{where}.content.{index}.type: Field required")
        if block["type"] == "text" and not block.get("text"):
            raise Refusal(f"{where}.content.{index}: text content blocks must be non-empty")


def _check_prefill(last: JsonObject) -> None:
    content = last["content"]
    if isinstance(content, list):
        content = content[-1].get("text") if content else ""
    if last["role"] == "assistant" and isinstance(content, str) and content != content.rstrip():
        raise Refusal("messages: final assistant content cannot end with trailing whitespace")


def _check_max_tokens(value: JsonValue) -> None:
    if value is None:
        raise Refusal("max_tokens: Field required")
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refusal("max_tokens: Input should be a valid integer")
    if value < 0:
        raise Refusal("max_tokens: Input should be greater than or equal to 0")


def _check_tools(body: JsonObject) -> None:
    tools = body.get("tools") or []
    if not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise Refusal("tools: Input should be a list of objects")
    for index, tool in enumerate(tools):
        if not isinstance(tool.get("name"), str):
            raise Refusal(f"tools.{index}.name: Field required")
        if tool.get("type") in {None, "custom"} and not isinstance(tool.get("input_schema"), dict):
            raise Refusal(f"tools.{index}.input_schema: Field required")
    choice = body.get("tool_choice") or {"type": "auto"}
    if not isinstance(choice, dict) or choice.get("type") not in {"auto", "any", "tool", "none"}:
        raise Refusal("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    if choice["type"] == "tool" and choice.get("name") not in {tool["name"] for tool in tools}:
        raise Refusal(f"tool_choice: tool {choice.get('name')!r} not found in provided tools")


def _check_thinking(body: JsonObject) -> None:
    thinking = body.get("thinking") or {"type": "disabled"}
    if not (isinstance(thinking, dict) and isinstance(thinking.get("type"), str)):
        raise Refusal("thinking.type: Field required")
    if thinking["type"] != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or budget < _MIN_THINKING_TOKENS:
        raise Refusal("thinking.enabled.budget_tokens: Input should be at least 1024")
    if budget >= body.get("max_tokens", budget + 1):
        raise Refusal("`max_tokens` must be greater than `thinking.budget_tokens`")
