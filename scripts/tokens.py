"""Count the reference texts of tests/policy/texts by ctok, into tests/policy/token_counts.json.

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
    """Write the file anew."""
    counts = {
        path.stem: {
            generation: token_count(path.read_text(encoding="utf-8"), generation)
            for generation in GENERATIONS
        }
        for path in sorted((HERE / "texts").glob("*.txt"))
    }
    text = json.dumps(counts, indent=2)
    (HERE / "token_counts.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
