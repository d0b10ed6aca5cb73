"""How many tokens a call will use, before anybody has counted: a guess, and what it learns.

The guess looks at what a question is made of, and copies no more than one text at a time.
What it gets wrong about a target's tokenizer and about prompt caching, `Ratio` learns.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final

from sidecard.core import jsonio
from sidecard.core.jsonio import JsonObject
from sidecard.policy.text_tokens import breaks, text_tokens

MARGIN: Final = 0.4
"""How much is put on top of a guess; no language, code or data that was measured had more than 34 %
on top of it."""
MOST_MADE_UP: Final = 3.0
"""How many times `Guess.most` a text may have that is none of these, as letters by chance, Han from
dictionaries or white space of alternating kinds. Each was made to have as much as can be."""

_CACHED: Final = "cache_control"
_PER_MESSAGE: Final = 8
_PER_KEY: Final = 3
_PLAIN_KEYS: Final = 2
_PLAIN: Final = 3
"""What a block of plain text adds to its text: its keys and its type."""
_TOOLS: Final = 500
"""What the API says to a model of its tools, beside their definitions, at most."""
_FORMAT: Final = 300
"""What it says of the form that the answer has to have, beside the schema: an assumption."""
_IMAGE: Final = 1_600
"""What a picture costs: it is scaled down to about 1.15 megapixels, at 750 a token."""
_IMAGE_MOST: Final = 4_800
"""What it costs at most, with the models that see 3.75 megapixels."""
_PER_FILE_BYTE: Final = 0.02
_PER_FILE_BYTE_MOST: Final = 0.25
"""Tokens a base64 character of a document: 2,000 for a page of 100 kB, or for one of 8 kB."""
_REMOTE_MOST: Final = 200_000
"""What a document is assumed to have at most that only the upstream can read."""


class Guess:
    """A guess: the tokens of all text, and those of files, as they are mostly and at most.

    `caches` says whether any of it is to be written to the upstream's prompt cache.
    """

    __slots__ = ("_breaks", "_files", "_files_most", "caches", "text")

    def __init__(self, messages: Sequence[JsonObject], parameters: Mapping[str, object]) -> None:
        self._files = self._files_most = 0.0
        self._breaks = 0
        self.text: float = _PER_MESSAGE * len(messages)
        self.caches = _CACHED in parameters
        todo: list[object] = [message["content"] for message in messages]
        if "system" in parameters:
            todo.append(parameters["system"])
        if parameters.get("tools"):
            self.text += _TOOLS
        config = parameters.get("output_config")
        if isinstance(config, dict) and "format" in config:
            self.text += _FORMAT
        for name in ("tools", "output_config"):
            if name in parameters:
                text = jsonio.dumps(parameters[name])
                self.text += text_tokens(text)
                self.caches |= _CACHED in text
        while todo:
            self._take(todo.pop(), todo)

    @property
    def certain(self) -> bool:
        """Whether all of the question is text."""
        return not self._files_most

    @property
    def expected(self) -> float:
        """What the question has on average, if nothing better was learned."""
        return self.text + self._files

    @property
    def text_most(self) -> float:
        """What its text has at most, if it is any that was measured."""
        return self.text * (1 + MARGIN) + self._breaks

    def most(self, lift: float) -> int:
        """Return what it has at most, where texts were seen to have `lift` times that."""
        return ceil(self.text_most * lift + self._files_most)

    def _add(self, text: str) -> None:
        self.text += text_tokens(text)
        self._breaks += breaks(text)

    def _take(self, value: object, todo: list[object]) -> None:
        if isinstance(value, str):
            self._add(value)
        elif isinstance(value, dict):
            text = value.get("text")
            if len(value) == _PLAIN_KEYS and isinstance(text, str):
                # Most blocks by far are plain text, and needn't be taken apart.
                self.text += _PLAIN
                self._add(text)
            else:
                self._block(value, todo)
        elif isinstance(value, list | tuple):
            todo.extend(value)
        else:
            self.text += 1

    def _block(self, block: Mapping[str, object], todo: list[object]) -> None:
        kind = block.get("type")
        self.caches |= _CACHED in block
        if kind == "image":
            self._files += _IMAGE
            self._files_most += _IMAGE_MOST
        elif kind == "base64":
            self._file(block)
        elif kind in ("url", "file"):
            self._files += _IMAGE
            self._files_most += _REMOTE_MOST
        else:
            todo.extend(block.values())
            self.text += _PER_KEY * len(block)

    def _file(self, source: Mapping[str, object]) -> None:
        """Add a file that is in the request itself."""
        data = source.get("data")
        size = len(data) if isinstance(data, str) else 0
        self._files += max(_IMAGE, size * _PER_FILE_BYTE)
        self._files_most += max(_IMAGE_MOST, size * _PER_FILE_BYTE_MOST)


def input_tokens(messages: Sequence[JsonObject], parameters: Mapping[str, object]) -> int:
    """Return a guess of a question's tokens: messages, system text and tools, never below 1."""
    return max(1, int(Guess(messages, parameters).expected))


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
