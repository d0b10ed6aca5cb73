"""Answers: what the simulator says to a request, always the same to the same one.

- Text that quotes the last user text.
- A `tool_use` block, its input made from the tool's schema, when `tool_choice` demands one,
  or leaves it open and the user's text names a tool. A `tool_result` is answered with text.
- A signed `thinking` block first, when thinking is on.
- The least JSON that satisfies the schema of `output_config.format`.
- The rest of that, when the request ends with the assistant's own beginning of it.

`stop_sequences` and `max_tokens` hold for all of it, for the filler that a pace asks for, too.
"""

import base64
import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sidecard.core import jsonio
from sidecard.core.jsonio import JsonObject, JsonValue
from sidecard.simulator.example import example
from sidecard.simulator.prompt import BYTES_PER_TOKEN, Charge, Prompt, tokens_of

MODEL_PREFIX: Final = "simulated-"
_MAX_QUOTE: Final = 1000
_THOUGHT: Final = "The user wants an answer. I am a simulator, so I repeat what I was asked."
_TEXT_FIELDS: Final = {"text": "text", "thinking": "thinking"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `content` holds blocks in the API's JSON.

    `said` are fields of the usage object in place of the true ones.
    """

    id: str
    model: str
    content: tuple[JsonObject, ...]
    stop_reason: str
    stop_sequence: str | None
    charge: Charge
    said: JsonObject = field(default_factory=dict)

    @property
    def output_tokens(self) -> int:
        """What the content costs, at least one token, unless the usage is to say otherwise."""
        own = self.said.get("output_tokens")
        if isinstance(own, int):
            return own
        return max(1, sum(block_tokens(block) for block in self.content))

    def usage(self) -> dict[str, Any]:
        """Return the API's usage object."""
        charge = self.charge
        usage: dict[str, Any] = {
            "input_tokens": charge.input,
            "cache_creation_input_tokens": charge.write_5m + charge.write_1h,
            "cache_read_input_tokens": charge.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": charge.write_5m,
                "ephemeral_1h_input_tokens": charge.write_1h,
            },
            "output_tokens": self.output_tokens,
            "service_tier": "standard",
        }
        thoughts = [block_tokens(b) for b in self.content if b["type"] == "thinking"]
        if thoughts:
            usage["output_tokens_details"] = {"thinking_tokens": sum(thoughts)}
        return {**usage, **self.said}

    def message(self) -> dict[str, Any]:
        """Return the body of a unary answer."""
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": list(self.content),
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": None,
            "usage": self.usage(),
        }


def block_tokens(block: JsonObject) -> int:
    """Return what a block costs by the estimate; signatures are free."""
    field = _TEXT_FIELDS.get(block["type"])
    text = block[field] if field else jsonio.dumps(block["input"])
    return tokens_of(len(text.encode()))


def answer(body: JsonObject, prompt: Prompt, charge: Charge, *, filler: str | None) -> Answer:
    """Return the answer to a checked request; `filler` replaces its text."""
    others = {k: v for k, v in body.items() if k not in {"messages", "stream", "system", "tools"}}
    seed = prompt.digest + jsonio.dumps(others).encode()
    token = hashlib.sha256(seed).hexdigest()
    begun = ""
    if ends_with_assistant(body):
        *before, own = body["messages"]
        begun, body = _said(own["content"]), {**body, "messages": before}
    main = _main_block(body, token, filler)
    stop_reason = "tool_use" if main["type"] == "tool_use" else "end_turn"
    blocks = [*_thinking(body, token), *_rest(main, begun)]
    whole = Answer(
        id=f"msg_sim_{token[:24]}",
        model=MODEL_PREFIX + str(body["model"]),
        content=tuple(blocks),
        stop_reason=stop_reason,
        stop_sequence=None,
        charge=charge,
    )
    return _shortened(_stopped(whole, body.get("stop_sequences") or []), body["max_tokens"])


def ends_with_assistant(body: JsonObject) -> bool:
    """Whether a request's last turn is the assistant's own, to be gone on with: a prefill."""
    return bool(body["messages"][-1]["role"] == "assistant")


def _said(content: JsonValue) -> str:
    if isinstance(content, str):
        return content
    return "".join(b["text"] for b in content if b["type"] == "text")


def _rest(block: JsonObject, begun: str) -> list[JsonObject]:
    """Return what is left of a text that was begun so, all of any other block, or nothing."""
    if block["type"] != "text" or not block["text"].startswith(begun):
        return [block]
    rest = block["text"][len(begun) :]
    return [{**block, "text": rest}] if rest else []


def _thinking(body: JsonObject, token: str) -> list[JsonObject]:
    config = body.get("thinking") or {"type": "disabled"}
    follow_up = body["messages"] and _tool_results(body["messages"][-1]["content"])
    wanted = config["type"] in {"enabled", "adaptive"}
    if not (wanted or (config["type"] == "between_tools" and follow_up)):
        return []
    thought = "" if config.get("display") == "omitted" else _THOUGHT
    signature = base64.b64encode(token.encode()).decode()
    return [{"type": "thinking", "thinking": thought, "signature": signature}]


def _main_block(body: JsonObject, token: str, filler: str | None) -> JsonObject:
    tool = _chosen_tool(body)
    if tool is not None:
        return {
            "type": "tool_use",
            "id": f"toolu_sim_{token[24:48]}",
            "name": tool["name"],
            "input": example(tool["input_schema"]),
        }
    output = (body.get("output_config") or {}).get("format") or {}
    if output.get("type") == "json_schema":
        return {"type": "text", "text": jsonio.dumps(example(output.get("schema")))}
    return {"type": "text", "text": _text(body) if filler is None else filler}


def _chosen_tool(body: JsonObject) -> JsonObject | None:
    tools = [t for t in body.get("tools") or [] if isinstance(t.get("input_schema"), dict)]
    choice = body.get("tool_choice") or {"type": "auto"}
    last = body["messages"][-1]["content"]
    if choice["type"] == "none" or _tool_results(last):
        return None
    if choice["type"] == "auto":
        said = _plain(last)
        tools = [tool for tool in tools if tool["name"] in said]
    if choice["type"] == "tool":
        tools = [tool for tool in tools if tool["name"] == choice["name"]]
    return tools[0] if tools else None


def _text(body: JsonObject) -> str:
    last = next(m for m in reversed(body["messages"]) if m["role"] == "user")["content"]
    results = _tool_results(last)
    if results:
        said = "; ".join(_plain(result.get("content") or "nothing") for result in results)
        return f"This is a simulated answer. The tool returned: “{said[:_MAX_QUOTE]}”."
    return (
        f"This is a simulated answer; no model was asked. You said: “{_plain(last)[:_MAX_QUOTE]}”."
    )


def _tool_results(content: JsonValue) -> list[JsonObject]:
    return [] if isinstance(content, str) else [b for b in content if b["type"] == "tool_result"]


def _plain(content: JsonValue) -> str:
    """Return the text of some content, other blocks named in brackets."""
    if isinstance(content, str):
        return content
    return " ".join(b["text"] if b["type"] == "text" else f"[{b['type']}]" for b in content)


def _stopped(whole: Answer, stops: list[str]) -> Answer:
    last = whole.content[-1] if whole.content else None
    if last is None or last["type"] != "text":
        return whole
    found = [(last["text"].find(stop), stop) for stop in stops if stop in last["text"]]
    if not found:
        return whole
    at, stop = min(found)
    content = (*whole.content[:-1], {**last, "text": last["text"][:at]})
    return replace(whole, content=content, stop_reason="stop_sequence", stop_sequence=stop)


def _shortened(whole: Answer, max_tokens: int) -> Answer:
    """Cut at `max_tokens`; a tool call that doesn't fit is left out, as its input would be torn."""
    left, kept = max_tokens, []
    for block in whole.content:
        cost = block_tokens(block)
        if cost <= left:
            kept.append(block)
            left -= cost
            continue
        field = _TEXT_FIELDS.get(block["type"])
        if field and left > 0:
            data = block[field].encode()[: left * BYTES_PER_TOKEN]
            kept.append({**block, field: data.decode(errors="ignore")})
        return replace(whole, content=tuple(kept), stop_reason="max_tokens", stop_sequence=None)
    return whole
