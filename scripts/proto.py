"""Generate sidecard.v1 from proto/, or (--check) say whether what is checked in is stale.

    python scripts/proto.py [--check]

protoc types the messages. The stubs and servicers, which it leaves untyped, mypy-protobuf does.
"""

import re
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
OUT = ROOT / "clients/python/src"
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
PATTERN = "sidecard/**/*_pb2*.py*"


def generate(out: Path) -> None:
    """Write the modules of every .proto file under `out`; exit if protoc refuses one."""
    sources = sorted(PROTO.rglob("*.proto"))
    services = [path for path in sources if re.search(r"^service ", path.read_text(), re.MULTILINE)]
    run_protoc(sources, f"--python_out={out}", f"--pyi_out={out}")
    run_protoc(services, f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}")


def run_protoc(sources: list[Path], *outputs: str) -> None:
    """Run protoc, which writes its own complaints, on these files."""
    plugin = Path(sysconfig.get_path("scripts")) / "protoc-gen-mypy_grpc"
    paths = [f"--proto_path={PROTO}", f"--proto_path={WELL_KNOWN}"]
    paths.append(f"--plugin=protoc-gen-mypy_grpc={plugin}")
    status = protoc.main(["protoc", *paths, *outputs, *map(str, sources)])
    if status:
        sys.exit(status)


def modules(out: Path) -> dict[str, str]:
    """Return the text of each generated module under `out`."""
    paths = (path for path in out.glob(PATTERN) if path.suffix in {".py", ".pyi"})
    return {str(path.relative_to(out)): path.read_text() for path in paths}


def main(arguments: list[str]) -> int:
    """Run, and return the exit status."""
    with TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = modules(Path(folder))
    held = modules(OUT)
    stale = sorted(name for name in fresh.keys() | held.keys() if fresh.get(name) != held.get(name))
    if arguments == ["--check"]:
        for name in stale:
            print(f"{OUT.relative_to(ROOT) / name} is stale: `make proto` generates it anew.")
        return 1 if stale else 0
    for name in stale:
        path = OUT / name
        if name in fresh:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(fresh[name])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
