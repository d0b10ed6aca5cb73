"""`python -m tests.soak`: for $SOAK_S seconds, 1,200 unless it says another number."""

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.soak.run import Soak


def main() -> int:
    """Return 1 where anything was wrong."""
    for_s = float(os.environ.get("SOAK_S", "1200"))
    with TemporaryDirectory() as folder:
        soak = Soak(Path(folder), for_s=for_s, say=_say)
        wrong = asyncio.run(soak.run(callers=8, line_every_s=min(60.0, for_s / 5)))
    _say("\n".join(["", *wrong]) if wrong else "\nnothing is wrong")
    return 1 if wrong else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
