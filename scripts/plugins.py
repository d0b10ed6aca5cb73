"""What protoc needs for each language: its plugin, from the language's own registry, and options.

The plugins' versions are pinned in tools/. What a language wants named in the .proto files
and the contract doesn't name, since it speaks of no language, is said here.
"""

import os
import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
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


def java(out: Path) -> None:
    """Generate Java's messages; the service's three methods the client describes by itself.

    Of all languages here, this one's generator isn't in grpcio-tools' protoc.
    protoc has no option for the package, so it is named in a copy of the files.
    """
    named = 'option java_package = "dev.sidecard.v1";\noption java_multiple_files = true;\n'
    with TemporaryDirectory() as folder:
        proto = Path(folder)
        for path in sources():
            copy = proto / path.relative_to(PROTO)
            copy.parent.mkdir(parents=True, exist_ok=True)
            head = "package sidecard.v1;\n"
            copy.write_text(path.read_text().replace(head, head + named))
        files = map(str, sorted(proto.rglob("*.proto")))
        paths = [f"--proto_path={proto}", f"--proto_path={WELL_KNOWN}"]
        subprocess.run([_protoc_of_java(), *paths, f"--java_out={out}", *files], check=True)


def _protoc_of_java() -> Path:
    """Return the protoc of the version that clients/java runs on, from Maven Central."""
    pom = (ROOT / "clients/java/pom.xml").read_text()
    version = re.findall(r"<protobuf.version>(.*)</protobuf.version>", pom)[0]
    system = {"Linux": "linux", "Darwin": "osx"}.get(platform.system(), "windows")
    machine = "aarch_64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    file = TOOLS / f"bin/protoc-{version}-{system}-{machine}.exe"
    if not file.exists():
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy"
        artifact = f"com.google.protobuf:protoc:{version}:exe:{system}-{machine}"
        where = f"-DoutputDirectory={file.parent}"
        subprocess.run(["mvn", "-q", "-B", goal, f"-Dartifact={artifact}", where], check=True)
        file.chmod(0o755)
    return file


def rust(out: Path) -> None:
    """Generate Rust with the program in tools/rust, from protoc's description of the files."""
    with TemporaryDirectory() as folder:
        described = Path(folder) / "contract.bin"
        options = ["--include_imports", "--include_source_info"]
        run(sources(), f"--descriptor_set_out={described}", *options)
        manifest = f"--manifest-path={TOOLS / 'rust/Cargo.toml'}"
        target = f"--target-dir={TOOLS / 'bin/rust'}"
        command = ["cargo", "run", "--quiet", "--locked", manifest, target, "--"]
        subprocess.run([*command, str(described), folder], check=True)
        (out / "v1.rs").write_text((Path(folder) / "sidecard.v1.rs").read_text())


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
