"""The guess at a text's tokens against reference counts, of two generations of models.

The counts are ctok's (`scripts/tokens.py`); none of these texts was among those it was fitted to.
docs/budgets.md has how far off it is for each: `python -m tests.policy.test_text_tokens` writes it.
"""

import json
from pathlib import Path
from statistics import mean

import pytest

from sidecard.policy.estimate import MARGIN, MOST_MADE_UP, Guess
from sidecard.policy.text_tokens import breaks, text_tokens

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/budgets.md"
MARKS = "<!-- estimates -->\n", "\n<!-- /estimates -->"
COUNTS: dict[str, dict[str, int]] = json.loads((HERE / "token_counts.json").read_text())
MADE_UP: dict[str, dict[str, int]] = json.loads((HERE / "token_counts_made_up.json").read_text())
GENERATIONS = ("3.0", "4.8")
CJK = {"chinese", "chinese_traditional", "japanese", "korean"}
CODE = {"python", "typescript", "rust", "sql", "json", "yaml", "html"}


def guess(name: str, folder: str = "texts") -> Guess:
    text = (HERE / f"{folder}/{name}.txt").read_bytes().decode()
    return Guess([{"role": "user", "content": [{"type": "text", "text": text}]}], {})


def off(name: str, generation: str) -> float:
    """Return by what share the guess is above the count (or below it, when negative)."""
    return guess(name).expected / COUNTS[name][generation] - 1


def report() -> str:
    """Return the figures as a table, the means last."""
    rows = {name: [name] for name in COUNTS}
    rows |= {"mean of CJK": sorted(CJK), "mean of code and data": sorted(CODE)}
    lines = ["| Text | up to 4.6 | since 4.8 |", "|---|---:|---:|"]
    for title, names in {**rows, "**mean of all**": list(COUNTS)}.items():
        shares = [mean([off(name, each) for name in names]) for each in GENERATIONS]
        lines.append(f"| {title.replace('_', ' ')} | {shares[0]:+.0%} | {shares[1]:+.0%} |")
    return "\n".join(lines)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("name", COUNTS)
def test_no_text_has_more_than_the_most(name: str, generation: str) -> None:
    """With its margin the guess is never below the count, in any language, code or data."""
    assert guess(name).most(1.0) >= COUNTS[name][generation]
    assert guess(name).expected * (1 + MARGIN) <= 3 * COUNTS[name][generation]


@pytest.mark.parametrize("name", MADE_UP)
def test_no_text_at_all_has_many_more_than_the_most(name: str) -> None:
    """Letters by chance, rare Han, white space that alternates: what is made to have many."""
    most = guess(name, "texts_made_up").most(1.0)
    assert max(MADE_UP[name].values()) <= MOST_MADE_UP * most


def test_the_guess_is_near() -> None:
    """For the current models it is within 35 % for each text, and within a tenth on average."""
    table = {name: [off(name, generation) for generation in GENERATIONS] for name in COUNTS}
    current = [shares[1] for shares in table.values()]
    assert max(map(abs, current)) < 0.35
    assert abs(mean(current)) < 0.1
    for kind in (CJK, CODE):
        assert abs(mean([table[name][1] for name in kind])) < 0.15


def test_the_page_says_how_near() -> None:
    """docs/budgets.md has these figures."""
    assert report() in PAGE.read_text(encoding="utf-8")


def test_every_text_has_its_count() -> None:
    """The counts are of the texts that there are."""
    for folder, counts in (("texts", COUNTS), ("texts_made_up", MADE_UP)):
        assert {path.stem for path in (HERE / folder).glob("*.txt")} == counts.keys()


@pytest.mark.parametrize(
    ("text", "found"),
    [("two words\nand a line", 0), ("def a():\n    b\n    c", 2), ("\n " * 50, 50), ("\t\t", 2)],
)
def test_white_space_that_alternates_is_seen(text: str, found: int) -> None:
    """Where it stands before words or in runs it is no token of its own."""
    assert breaks(text) == found


@pytest.mark.parametrize(
    "text", ["", "a", "é", "語", "🙂", "\x00", "\x7f", "\ud800", "\uffff", " \n\t"]
)
def test_every_character_counts_and_none_breaks_it(text: str) -> None:
    """Whatever it is made of, twice the text has twice the tokens, and some text has some."""
    assert (text_tokens(text) > 0) == bool(text)
    assert text_tokens(text * 2) == pytest.approx(2 * text_tokens(text))


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1].strip())[2]
    PAGE.write_text(f"{before}{MARKS[0]}{report()}{MARKS[1]}{after}", encoding="utf-8")
