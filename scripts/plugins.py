"""What protoc needs for each language: its plugin, from the language's own registry, and options.

The plugins' versions are pinned in tools/. What a language wants named in the .proto files
and the contract doesn't name, since it speaks of no language, is said here.
"""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

import grpc_tools
from google.rpc import error_details_pb2
from grpc_tools import protoc

ROOT: Final = Path(__file__).resolve().parent.parent
PROTO: Final = ROOT / "proto"
TOOLS: Final = ROOT / "tools"
WELL_KNOWN: Final = Path(grpc_tools.__file__).parent / "_proto"
RPC: Final = Path(error_details_pb2.__file__).parents[2]
DETAILS: Final = [RPC / f"google/rpc/{name}.proto" for name in ("error_details", "status")]
GO_PACKAGE: Final = "sidecard.dev/sidecard/v1;sidecardv1"


def python(out: Path) -> None:
    """Generate Python: protoc types the messages, mypy-protobuf the stubs and servicers."""
    plugin = Path(sysconfig.get_path("scripts")) / "protoc-gen-mypy_grpc"
    run(sources(), f"--python_out={out}", f"--pyi_out={out}")
    run(
        services(),
        f"--plugin=protoc-gen-mypy_grpc={plugin}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out=quiet:{out}",
    )


def go(out: Path) -> None:
    """Generate Go with the plugins that tools/go pins."""
    folder = TOOLS / "bin"
    subprocess.run(
        ["go", "install", "tool"],
        check=True,
        cwd=TOOLS / "go",
        env={**os.environ, "GOBIN": str(folder)},
    )
    names = [f"M{path.relative_to(PROTO)}={GO_PACKAGE}" for path in sources()]
    options = ",".join(["module=sidecard.dev/sidecard", *names])
    plugins = [f"--plugin={folder / name}" for name in ("protoc-gen-go", "protoc-gen-go-grpc")]
    run(sources(), *plugins, f"--go_out={options}:{out}", f"--go-grpc_out={options}:{out}")


def typescript(out: Path) -> None:
    """Generate TypeScript with the plugin that tools/package.json pins, error details as well."""
    plugin = TOOLS / "node_modules/.bin/protoc-gen-es"
    if not plugin.exists():
        sys.exit("tools/node_modules is missing: `make proto` and `make contract` install it")
    run(
        [*sources(), *DETAILS],
        f"--plugin=protoc-gen-es={plugin}",
        f"--proto_path={RPC}",
        f"--es_out=target=ts,import_extension=js:{out}",
    )


def sources() -> list[Path]:
    """Return the contract's files."""
    return sorted(PROTO.rglob("*.proto"))


def services() -> list[Path]:
    """Return those of them that have a service."""
    return [path for path in sources() if re.search(r"^service ", path.read_text(), re.MULTILINE)]


def run(files: list[Path], *options: str, proto: Path = PROTO) -> None:
    """Run protoc, which writes its own complaints, on these files; exit if it refuses one."""
    paths = [f"--proto_path={proto}", f"--proto_path={WELL_KNOWN}"]
    status = protoc.main(["protoc", *paths, *options, *map(str, files)])
    if status:
        sys.exit(status)
