"""Write requirements/*.txt, the lock, or (--check) say whether it still fits both pyproject.toml.

    python scripts/lock.py [--check] [uv's options, such as --upgrade]

Each file pins every distribution with the hashes of its wheels, for all Pythons from 3.11 on:
`run.txt` is what the daemon needs, `dev.txt` adds what tests and checks need,
`deploy.txt` is only what checks the image and the manifests, beside those.
The first line carries a digest of the dependencies that it was made from,
so that the check needs no network.
"""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GROUPS = {"run.txt": ("build",), "dev.txt": ("build", "dev"), "deploy.txt": ("deploy",)}
CONSTRAINTS = {"run.txt": (), "dev.txt": ("run.txt",), "deploy.txt": ("run.txt", "dev.txt")}


def digest() -> str:
    """Return a digest of everything that the lock is resolved from, order aside."""
    inputs: list[object] = []
    for path in (ROOT / "pyproject.toml", ROOT / "clients/python/pyproject.toml"):
        table = tomllib.loads(path.read_text())
        project = table["project"]
        inputs += [sorted(project["dependencies"]), project["requires-python"]]
        inputs.append({k: sorted(v) for k, v in table.get("dependency-groups", {}).items()})
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def header() -> str:
    """Return the first line of each file."""
    return f"# Made by `make lock` from dependencies {digest()}. Not edited by hand."


def compile_lock(name: str, options: list[str]) -> None:
    """Resolve one file anew; what is pinned stays, unless an option of uv's says otherwise."""
    target = f"requirements/{name}"
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet"]
    if name != "deploy.txt":
        command += ["pyproject.toml"]
    for group in GROUPS[name]:
        command += ["--group", group]
    for constraint in CONSTRAINTS[name]:
        command += ["--constraints", f"requirements/{constraint}"]
    command += ["--universal", "--python-version", "3.11", "--only-binary", ":all:"]
    command += ["--generate-hashes", "--no-header"]
    command += ["--no-emit-package", "sidecard-client", "--output-file", target, *options]
    subprocess.run(command, cwd=ROOT, check=True)
    path = ROOT / target
    pins = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    path.write_text("\n".join([header(), *pins]) + "\n")


def main(arguments: list[str]) -> int:
    """Run, and return the exit status."""
    if arguments != ["--check"]:
        for name in GROUPS:
            compile_lock(name, arguments)
        return 0
    stale = [n for n in GROUPS if not (ROOT / "requirements" / n).read_text().startswith(header())]
    for name in stale:
        print(f"requirements/{name} does not fit the dependencies in pyproject.toml: `make lock`.")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
