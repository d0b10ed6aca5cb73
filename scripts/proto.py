"""Generate the contract's code for every language, or (--check) say whether what is held is stale.

    python -m scripts.proto [--check] [--all] [LANGUAGE…]

protoc comes with grpcio-tools, each language's plugin from its own registry: `plugins` gets it.
A language whose toolchain isn't here is skipped, and named; with --all that is a failure.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Final

from scripts import plugins
from scripts.plugins import ROOT


@dataclass(frozen=True)
class Language:
    """Where a language's generated code is held, what its names are, and what makes it."""

    folder: str
    patterns: tuple[str, ...]
    toolchain: tuple[str, ...]
    generate: Callable[[Path], None]

    def files(self, folder: Path) -> dict[str, str]:
        """Return the text of each generated file under `folder`."""
        paths = [path for pattern in self.patterns for path in folder.glob(pattern)]
        return {str(path.relative_to(folder)): path.read_text() for path in paths}

    @property
    def missing(self) -> list[str]:
        """The tools that would be needed, and aren't here."""
        return [tool for tool in self.toolchain if which(tool) is None]


LANGUAGES: Final = {
    "python": Language(
        "clients/python/src",
        ("sidecard/**/*_pb2*.py", "sidecard/**/*_pb2*.pyi"),
        (),
        plugins.python,
    ),
    "go": Language("clients/go", ("v1/*.pb.go",), ("go",), plugins.go),
    "typescript": Language(
        "clients/typescript/src/contract", ("**/*_pb.ts",), ("node",), plugins.typescript
    ),
    "java": Language(
        "clients/java/src/main/java", ("dev/sidecard/v1/*.java",), ("mvn",), plugins.java
    ),
    "rust": Language("clients/rust/src", ("v1.rs",), ("cargo",), plugins.rust),
}


def stale(language: Language, *, write: bool) -> list[str]:
    """Return the files that aren't what the contract gives now; with `write`, make them so."""
    held = ROOT / language.folder
    with TemporaryDirectory() as folder:
        language.generate(Path(folder))
        fresh = language.files(Path(folder))
    old = language.files(held)
    names = sorted(name for name in fresh.keys() | old.keys() if fresh.get(name) != old.get(name))
    for name in names if write else ():
        if name in fresh:
            (held / name).parent.mkdir(parents=True, exist_ok=True)
            (held / name).write_text(fresh[name])
        else:
            (held / name).unlink()
    return [f"{language.folder}/{name}" for name in names]


def main() -> int:
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts.proto")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--all", action="store_true", help="fail where a toolchain is missing")
    parser.add_argument("languages", nargs="*", choices=[*LANGUAGES, []], metavar="LANGUAGE")
    arguments = parser.parse_args()
    status = 0
    for name in arguments.languages or LANGUAGES:
        language = LANGUAGES[name]
        if language.missing:
            print(f"{name} is skipped: there is no {' and no '.join(language.missing)}")
            status |= arguments.all
            continue
        for path in stale(language, write=not arguments.check):
            if arguments.check:
                print(f"{path} is stale: `make proto` generates it anew.")
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
