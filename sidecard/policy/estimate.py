"""How many tokens a call will use, before anybody has counted: a guess, and what it learns.

The guess looks at sizes alone and copies nothing.
What it gets wrong about a target's tokenizer and about prompt caching, `Ratio` learns.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sidecard.core.jsonio import JsonObject

_PER_ASCII: Final = 0.28
"""Tokens a character of English or code: 3.5 characters make one."""
_PER_OTHER: Final = 0.5
"""Tokens a character of text that isn't all ASCII: between French and Chinese."""
_PER_MESSAGE: Final = 8
_PLAIN_KEYS: Final = 2
_PLAIN: Final = _PLAIN_KEYS + len("text") * _PER_ASCII
"""What a block of plain text adds to its text: its keys and its type."""
_IMAGE: Final = 1_600
"""What a picture costs at most: it is scaled down to about 1.15 megapixels, at 750 a token."""
_PER_FILE_BYTE: Final = 0.02
"""Tokens a base64 character of a document: 2,000 for a page of 100 kB."""


def input_tokens(messages: Sequence[JsonObject], parameters: Mapping[str, object]) -> int:
    """Return a guess of a question's tokens: messages, system text and tools, never below 1."""
    todo: list[object] = [message["content"] for message in messages]
    tokens: float = _PER_MESSAGE * len(todo)
    todo.extend([parameters[name] for name in ("system", "tools") if name in parameters])
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            tokens += len(value) * (_PER_ASCII if value.isascii() else _PER_OTHER)
        elif isinstance(value, dict):
            text = value.get("text")
            if len(value) == _PLAIN_KEYS and isinstance(text, str):
                # Most blocks by far are plain text, and needn't be taken apart.
                tokens += _PLAIN + len(text) * (_PER_ASCII if text.isascii() else _PER_OTHER)
            elif value.get("type") == "base64":
                tokens += _file(value)
            else:
                todo.extend(value.values())
                tokens += len(value)  # their keys
        elif isinstance(value, list | tuple):
            todo.extend(value)
        else:
            tokens += 1
    return int(tokens)


def _file(source: Mapping[str, object]) -> float:
    """Return the guess for a file that is in the request itself."""
    data = source.get("data")
    if str(source.get("media_type")).startswith("image/") or not isinstance(data, str):
        return _IMAGE
    return max(_IMAGE, len(data) * _PER_FILE_BYTE)


class Ratio:
    """What became of what was expected, over about the last 20 calls, larger ones weighing more.

    Starts at 1 and stays within 1/100 and 10, so that nothing is ever expected to be free.
    """

    __slots__ = ("_actual", "_expected", "value")

    def __init__(self, prior: float) -> None:
        self._actual = self._expected = prior
        self.value = 1.0

    def note(self, actual: float, expected: float) -> None:
        """Learn from one call that was expected to use `expected`."""
        self._actual = 0.95 * self._actual + actual
        self._expected = 0.95 * self._expected + expected
        self.value = min(max(self._actual / self._expected, 0.01), 10.0)

    def __repr__(self) -> str:
        return f"<Ratio {self.value:.2f}>"
