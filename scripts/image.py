"""The container image: pin its base, build it, or go through its build without Docker.

    python scripts/image.py pin | build [docker's options] | rehearse

`pin` asks the registry for the digest of the base and writes it into the Dockerfile;
`build` refuses a base without one, unless the environment has UNPINNED=1;
`rehearse` runs the steps of the stage `build` in a folder of its own, from the files that Docker
would be sent, and has what they made answer a call.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "Dockerfile"
BASE = re.compile(
    r"^ARG PYTHON_IMAGE=(?P<tag>[^@\s]+)(?:@(?P<digest>sha256:[0-9a-f]{64}))?$", re.MULTILINE
)
COMMENT = re.compile(r"^\s*#.*\n", re.MULTILINE)
PLACES = re.compile(r"(?<![\w./])(/opt/sidecard|/var/lib/sidecard|/src)")
FLAGGED = re.compile(r"^--\w+=\S+\s+")


class Mistake(Exception):
    """What is asked for can't be done; `str()` says why."""


def base() -> tuple[str, str | None]:
    """Return the base's tag and its digest, None where it isn't pinned."""
    found = BASE.search(DOCKERFILE.read_text())
    if found is None:
        raise Mistake("Dockerfile: expected one line ARG PYTHON_IMAGE=name:tag[@sha256:digest]")
    return found["tag"], found["digest"]


def pin() -> str:
    """Write the digest that the base's tag has now into the Dockerfile; return it."""
    tag, _ = base()
    command = ["docker", "buildx", "imagetools", "inspect", tag]
    command += ["--format", "{{.Manifest.Digest}}"]
    digest = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    pinned = f"ARG PYTHON_IMAGE={tag}@{digest}"
    if not BASE.fullmatch(pinned):
        raise Mistake(f"docker told no digest of {tag}, but {digest!r}")
    DOCKERFILE.write_text(BASE.sub(pinned, DOCKERFILE.read_text()))
    return pinned


def build(options: list[str]) -> None:
    """Build the image `sidecard:VERSION`."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    tag, digest = base()
    if digest is None and os.environ.get("UNPINNED") != "1":
        raise Mistake(
            f"the base {tag} is not pinned: run `make image-pin` and commit the Dockerfile, "
            "or set UNPINNED=1 for an image that is not released"
        )
    named = [f"--label=org.opencontainers.image.version={version}", f"--tag=sidecard:{version}"]
    command = ["docker", "build", *named, *options, str(ROOT)]
    subprocess.run(command, check=True)


def steps(text: str, stage: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions of one stage: the word and its arguments, on one line."""
    joined = COMMENT.sub("", text).replace("\\\n", " ")
    inside = False
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            inside = rest.endswith(f" AS {stage}")
        elif inside:
            yield word, rest.strip()


def sent(name: str) -> bool:
    """Whether .dockerignore lets a file into the build; the last line that fits decides."""
    taken = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!").removeprefix("**/")
        if not pattern or pattern.startswith("#"):
            continue
        anywhere = "**/" in line and any(Path(part).match(pattern) for part in Path(name).parts)
        if pattern in {"*", name} or name.startswith(f"{pattern}/") or anywhere:
            taken = line.startswith("!")
    return taken


def rehearse() -> None:
    """Run the stage `build` in a folder, and have the result serve; raises where a step fails."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    context = [name for name in files.splitlines() if sent(name) and (ROOT / name).exists()]
    with tempfile.TemporaryDirectory(prefix="sidecard-image-") as made:
        root = Path(made)
        root.chmod(0o755)  # As another user it is read, and not written.
        place, path = root, f"{root}/bin:{os.environ['PATH']}"
        (root / "bin").mkdir()
        (root / "bin/python").symlink_to(Path(sys.base_prefix) / "bin/python3")
        env = {"PATH": path, "HOME": made}
        for word, rest in steps(DOCKERFILE.read_text(), "build"):
            print(word, rest)
            moved = PLACES.sub(lambda found: f"{root}{found[0]}", rest)
            if word == "WORKDIR":
                place = Path(moved)
                place.mkdir(parents=True)
            elif word == "COPY":
                copy(FLAGGED.sub("", rest).split(), context, place)
            elif word == "RUN":
                subprocess.run(["/bin/sh", "-ec", moved], cwd=place, env=env, check=True)
            else:
                raise Mistake(f"{word}: a step that the rehearsal doesn't know")
        answers(root)


def copy(arguments: list[str], context: list[str], place: Path) -> None:
    """Copy files and folders of the context as COPY does; raises `Mistake` for what it lacks."""
    *sources, target = arguments
    for source in sources:
        names = [name for name in context if name == source or name.startswith(f"{source}/")]
        if not names:
            raise Mistake(f"COPY {source}: .dockerignore leaves nothing of it")
        for name in names:
            inside = name.removeprefix(source).lstrip("/")
            to = place / target / (inside or (source if target.endswith("/") else ""))
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes((ROOT / name).read_bytes())


def answers(root: Path) -> None:
    """Have the daemon that was built answer a call and keep the answer, confined as in a pod."""
    programs, data = root / "opt/sidecard/bin", root / "var/lib/sidecard"
    left = [name for name in ("pip", "pip3", "hatchling") if (programs / name).exists()]
    if left:
        raise Mistake(f"{', '.join(left)} would be in the image")
    env = {"PATH": f"{programs}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    env |= {"SIDECARD_LISTEN__GRPC": "127.0.0.1:0", "SIDECARD_LISTEN__ADMIN": "127.0.0.1:0"}
    env |= {"SIDECARD_UPSTREAM__SIMULATE": "always", "SIDECARD_LOG__FORMAT": "json"}
    env |= {"SIDECARD_DATA_DIR": str(data)}
    with subprocess.Popen(
        [*confined(data), programs / "sidecard", "serve"],
        env=env,
        text=True,
        stderr=subprocess.PIPE,
    ) as daemon:
        try:
            address = ""
            for line in daemon.stderr or ():
                if found := re.search(r'"grpc": ?"(127\.0\.0\.1:\d+)"', line):
                    address = found[1]
                    break
                print(line, end="")
            if not address:
                raise Mistake("the daemon that was built doesn't serve")
            call = [str(programs / "sidecard"), "call", "--address", address, "hello"]
            told = subprocess.run(call, env=env, check=True, capture_output=True, text=True)
            kept = Path(f"/proc/{daemon.pid}/root{data}/cache")
            if Path("/proc/self").exists() and not kept.is_dir():
                raise Mistake(f"the daemon that was built keeps nothing in {data}")
            print("answered:", told.stdout.strip())
        finally:
            daemon.terminate()


_CONFINE = """
mount --make-rprivate /
mount -t tmpfs -o mode=0777,size=512m tmpfs "$0"
mount -o remount,bind,ro /
exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs \\
    --inh-caps -all,+dac_read_search --ambient-caps -all,+dac_read_search "$@"
"""
"""As a pod: another user, a read-only root, and a volume that is everybody's. It may read what
isn't its own, as the Python that stands in for the base may lie in a home."""


def confined(data: Path) -> list[str]:
    """Return the words before a command that confine it; none where that can't be done."""
    words = ["unshare", "--mount", "sh", "-ec", _CONFINE, str(data)]
    try:
        subprocess.run([*words, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"not confined, as only root can do that, on Linux: {error}")
        return []
    print("confined: user 65532, read-only root")
    return words


def main(arguments: list[str]) -> int:
    """Run, and return the exit status."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        match arguments:
            case ["pin"]:
                print(pin())
            case ["build", *options]:
                build(options)
            case ["rehearse"]:
                rehearse()
            case _:
                print("sidecard: expected pin, build [OPTIONS] or rehearse")
                return 2
    except FileNotFoundError as error:
        print(f"sidecard: {error.filename} is not installed", file=sys.stderr)
        return 1
    except (Mistake, subprocess.CalledProcessError) as error:
        print(f"sidecard: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
