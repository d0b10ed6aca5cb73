"""How many tokens a text has, by what kinds of bytes it is made of.

No tokenizer of the current models is public. What each kind of byte comes to was fitted to the
counts that `ctok` 1.3 reconstructs for those since 4.8, over 460 texts of 3,000 characters:
47 languages, programs in ten, markup, data and logs. `scripts/tokens.py` measures it again.
Each kind is taken out in turn, so that there is less and less to look at.

White space is next to nothing in any of those, as what stands before a word is one with it,
and so is a run of one kind. Where kinds alternate (a line, a space, a line …), each is a token:
measured, 12 times the guess. So whoever wants to know the most counts those apart, by `breaks`.
"""

from typing import Final

# Bytes, and tokens for each of them. Those that lead a character count for all of it,
# and those that follow in it count nothing. Lower-case letters are most of most texts.
_WEIGHTS: Final[tuple[tuple[bytes, float], ...]] = (
    (bytes(range(0x61, 0x7B)), 0.4),
    (bytes(range(0x80, 0xC0)), 0.0),  # the rest of characters
    (b" ", 0.06),
    (b"\t\n\v\f\r", 0.1),
    (bytes(range(0x41, 0x5B)), 1.0),
    (bytes(range(0x30, 0x3A)), 0.87),
    (bytes([b for b in range(0x21, 0x7F) if not chr(b).isalnum()]), 0.85),
    (bytes([*range(0x09), *range(0x0E, 0x20), 0x7F]), 1.0),
    (bytes(range(0xC0, 0xCC)), 2.2),  # Latin with accents: they break words
    (b"\xd0\xd1", 0.5),  # Cyrillic
    (bytes([0xCE, 0xCF, *range(0xD6, 0xDC)]), 0.85),  # Greek, Hebrew, Arabic
    (bytes([0xCC, 0xCD, *range(0xD2, 0xD6), *range(0xDC, 0xE0)]), 2.0),  # Armenian, Syriac, …
    (b"\xe0", 1.05),  # Indic scripts, Thai
    (b"\xe1", 1.7),  # Georgian, Khmer, Ethiopic
    (b"\xe2\xee\xef", 2.0),  # signs, private use, full width
    (bytes(range(0xE3, 0xEA)), 1.12),  # Han, kana
    (bytes(range(0xEA, 0xEE)), 1.4),  # Hangul
    (bytes(range(0xF0, 0x100)), 2.9),  # emoji, rare Han
)


def breaks(text: str) -> int:
    """Return how many tokens white space may be beyond the guess, where its kinds alternate.

    In a program that is about one a line.
    """
    data = text.encode("utf-8", "surrogatepass")
    return data.count(b"\n ") + sum(map(data.count, b"\t\v\f\r"))


def text_tokens(text: str) -> float:
    """Return a guess that is right on average; `MARGIN` of `estimate` says by how much it isn't."""
    left, tokens = text.encode("utf-8", "surrogatepass"), 0.0
    for these, weight in _WEIGHTS:
        if not left:
            break
        before = len(left)
        left = left.translate(None, these)
        tokens += (before - len(left)) * weight
    return tokens
