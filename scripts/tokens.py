"""Count the reference texts of tests/policy by ctok, into JSON beside them.

`texts/` are texts as people and programs write them; `texts_made_up/` are there to have as many
tokens for what they are made of as can be.

    uv run --no-project --python 3.12 --with ctok==1.3.0 scripts/tokens.py

ctok reconstructs what count_tokens says, from published measurements, with no call of the API:
of Claude 3 up to Opus 4.6 ("3.0"), and of the models since Opus 4.8 ("4.8").
It needs Python 3.12, and is needed only where texts are added.
"""

import json
from pathlib import Path

from ctok import token_count

HERE = Path(__file__).resolve().parent.parent / "tests/policy"
GENERATIONS = ("3.0", "4.8")


def main() -> None:
    """Write the files anew."""
    for folder, file in (("texts", "token_counts"), ("texts_made_up", "token_counts_made_up")):
        texts = {p.stem: p.read_bytes().decode() for p in sorted((HERE / folder).glob("*.txt"))}
        counts = {
            name: {generation: token_count(text, generation) for generation in GENERATIONS}
            for name, text in texts.items()
        }
        (HERE / f"{file}.json").write_text(f"{json.dumps(counts, indent=2)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
