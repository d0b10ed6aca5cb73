"""Continuation: what was shown of a broken answer, who may go on, and what they are asked.

A model goes on with an assistant turn that it is given: a prefill.
That works for plain text only. Reasoning is signed, a tool call can't be half given,
and a citation can't be given at all: after those an answer has to start anew.

The text that was shown is given as one block.
The API takes no blank block, and to the model several are the same text.
It refuses a final assistant text that ends in whitespace, too, so that this is left out,
and dropped from the continuation as far as the model writes it again: `Splice` does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sidecard.core.call import Call, FallbackPolicy, Route, Target
from sidecard.core.event import BlockStarted, BlockStopped, Delta, Event, Restarted
from sidecard.core.jsonio import JsonObject

_BYTES_PER_TOKEN: Final = 4
_ALONE: Final = FallbackPolicy(continue_stream=False)
"""What stands in for an answer can't go on with one, and one rescue at a time is enough."""


@dataclass(frozen=True, slots=True)
class Prefill:
    """A conversation that ends with what was shown; `echo` is the whitespace left out at its end.

    `tokens` is a guess of what the text took, rather too low: upstreams tell at the end only.
    """

    messages: tuple[JsonObject, ...]
    echo: str
    tokens: int


class Shown:
    """What a caller has seen of one answer, as far as it can be continued. Not to be shared.

    `length` counts the characters of text, `open` is the index of the text block that is open,
    None when none is, `next_index` the one that a further block would have.
    """

    __slots__ = ("_pieces", "_plain", "length", "next_index", "open")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._plain = True
        self.length = 0
        self.next_index = 0
        self.open: int | None = None

    def note(self, events: Iterable[Event]) -> None:
        """Take the next events as the caller gets them."""
        for event in events:
            kind = type(event)
            if kind is Delta:
                self._delta(event)  # type: ignore[arg-type]
            elif kind is BlockStarted:
                self._block(event)  # type: ignore[arg-type]
            elif kind is BlockStopped:
                self.open = None
            elif kind is Restarted:
                self._forget()

    def prefill(self, call: Call) -> Prefill | None:
        """Return what makes a model go on with the answer; None where it has to start anew."""
        if not self._plain or not _takes_prefill(call):
            return None
        said = "".join(self._pieces)
        text = said.rstrip()
        messages = _ending_with(call.messages, text) if text else None
        if messages is None:
            return None
        return Prefill(messages, said[len(text) :], len(said.encode()) // _BYTES_PER_TOKEN)

    def _forget(self) -> None:
        self._pieces.clear()
        self._plain = True
        self.length = self.next_index = 0
        self.open = None

    def _delta(self, event: Delta) -> None:
        delta = event.delta
        text = delta.get("text")
        if delta["type"] != "text_delta" or type(text) is not str:
            self._is_more_than_text()
        elif self._plain:
            self._pieces.append(text)
            self.length += len(text)

    def _block(self, event: BlockStarted) -> None:
        if self.open is not None or event.index < self.next_index or not plain(event.block):
            self._is_more_than_text()
        self.next_index = max(self.next_index, event.index + 1)
        if self._plain:
            self.open = event.index
            self._pieces.append(event.block["text"])
            self.length += len(event.block["text"])

    def _is_more_than_text(self) -> None:
        self._plain = False
        self._pieces.clear()

    def __repr__(self) -> str:
        what = f"{self.length} characters" if self._plain else "more than text"
        return f"<Shown {what}, {self.next_index} blocks>"


def plain(block: JsonObject) -> bool:
    """Whether a block is text and nothing else: without citations, and fields unknown here."""
    others = [key for key, value in block.items() if value and key not in {"type", "text"}]
    return block.get("type") == "text" and type(block.get("text")) is str and not others


def following(route: Route, broken: str, breaks: Mapping[str, int]) -> tuple[Target, ...]:
    """Return who may go on after the target `broken`, in the order in which to ask.

    These are the route's next targets that never broke, then the same one, once.
    `breaks` is how often each target has broken this answer, the last time included.
    """
    names = [target.name for target in route.targets]
    at = names.index(broken) if broken in names else -1
    after = [target for target in route.targets[at + 1 :] if target.name not in breaks]
    if at >= 0 and breaks.get(broken, 0) <= 1:
        after.append(route.targets[at])
    return tuple(after)


def restarting(call: Call, targets: tuple[Target, ...]) -> Call:
    """Return the call for those targets alone; bound for one of them by who walks them."""
    return replace(call, route=replace(call.route, targets=targets), fallback=_ALONE)


def continuing(call: Call, targets: tuple[Target, ...], prefill: Prefill, used_tokens: int) -> Call:
    """Return the same with what was shown, and only as many tokens as are left of those asked.

    `used_tokens` is what the upstream reported as output so far.
    """
    left = call.parameters["max_tokens"] - max(used_tokens, prefill.tokens)
    return replace(
        call,
        route=replace(call.route, targets=targets),
        messages=prefill.messages,
        parameters={**call.parameters, "max_tokens": max(left, 1)},
        fallback=_ALONE,
    )


def _takes_prefill(call: Call) -> bool:
    """Whether the API takes a prefilled turn with these parameters, and keeps what they ask."""
    parameters = call.parameters
    output = parameters.get("output_config")
    return (
        call.output_schema is None
        and not (isinstance(output, Mapping) and output.get("format"))
        and _type_of(parameters, "thinking") in {"", "disabled"}
        and _type_of(parameters, "tool_choice") in {"", "auto", "none"}
    )


def _type_of(parameters: JsonObject, name: str) -> str:
    value = parameters.get(name)
    return str(value.get("type")) if isinstance(value, Mapping) else ""


def _ending_with(messages: tuple[JsonObject, ...], text: str) -> tuple[JsonObject, ...] | None:
    """Return the conversation with the text as the assistant's last; None where it can't be.

    A caller's own prefill is lengthened: the model goes on with both as with one.
    """
    *before, last = messages
    if last["role"] != "assistant":
        return (*messages, {"role": "assistant", "content": [{"type": "text", "text": text}]})
    content = last["content"]
    if isinstance(content, str):
        return (*before, {**last, "content": content + text})
    if not content or content[-1].get("type") != "text" or content[-1].get("citations"):
        return None
    *blocks, own = content
    return (*before, {**last, "content": [*blocks, {**own, "text": own["text"] + text}]})
