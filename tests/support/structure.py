"""The rules of the code's structure: which file may import, and say, what.

A rule is a function from a file to its breaches, each a sentence that names file, line and rule.
"""

import ast
import sys
from collections.abc import Callable, Iterator

from tests.support.source import Source

Rule = Callable[[Source], Iterator[str]]

OUTER = {"core", "policy", "config", "telemetry"}
# What each part of the daemon may import of the others.
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "policy": {"core"},
    "layers": {"core", "policy"},
    "config": {"core", "policy"},
    "telemetry": {"core", "policy", "config"},
    "schema": {"core", "policy"},
    "store": OUTER,
    "upstream": OUTER,
    "server": OUTER | {"v1"},
    "simulator": OUTER,
    "state": {"core", "policy", "config", "layers", "schema", "store", "upstream"},
    "telling": {"core", "policy", "config", "layers", "state"},
    "fronts": {"core", "policy", "config", "server", "state", "upstream"},
    "reloading": {"core", "config"},
    "opening": OUTER | {"store", "upstream", "simulator"},
    "app": {"core", "layers", "state", "upstream"},
    "daemon": OUTER
    | {"layers", "upstream", "server"}
    | {"state", "app", "opening", "telling", "fronts", "reloading"},
    "__main__": {"cli"},
    "cli": OUTER | {"daemon", "server", "store", "upstream", "simulator"},
}
# Who may import a library: what is confined here can be replaced there.
CONFINED: dict[str, tuple[str, ...]] = {
    "aiolimiter": ("sidecard/policy/bucket",),
    "aiohttp": (
        "sidecard/upstream/direct",
        "sidecard/simulator/",
        "sidecard/server/admin",
        "sidecard/server/http/",
        "sidecard/telemetry/otlp",
    ),
    "anthropic": ("sidecard/upstream/sdk",),
    "backports": ("sidecard/store/codec",),
    "cryptography": ("sidecard/store/cipher", "sidecard/config/certificates"),
    "grpc": ("sidecard/server/", "sidecard/cli", "sidecard_client/"),
    "grpc_health": ("sidecard/server/", "sidecard/cli"),
    "jsonschema_rs": ("sidecard/schema/", "sidecard/server/wire/schema_in"),
    "lmdb": ("sidecard/store/",),
    "re2": ("sidecard/policy/redaction",),
    "grpc_reflection": ("sidecard/server/", "sidecard/cli"),
    "google": ("sidecard/server/", "sidecard/cli", "sidecard_client/"),
    "sidecard_client": ("sidecard/cli", "sidecard_client/"),
    "opentelemetry": ("sidecard/telemetry/otlp", "sidecard/telemetry/tracing"),
    "prometheus_client": ("sidecard/telemetry/",),
    "pydantic": ("sidecard/config/", "sidecard/simulator/"),
    "yaml": ("sidecard/config/", "sidecard/simulator/"),
}
# policy/ decides: it is handed the time and a source of chance, and does nothing itself.
IMPURE = ("asyncio", "logging", "os", "pathlib", "socket", "structlog", "threading", "time")
CLOCK_CALLS = {"now", "utcnow", "today"}
# Layers that tee or join streams, and so may be generators.
GENERATOR_LAYERS: frozenset[str] = frozenset()
CLIENT_NEEDS = ("grpc", "google.protobuf", "sidecard.v1", "sidecard_client")
STANDARD_LIBRARY = sys.stdlib_module_names


def part_of(dotted: str) -> str:
    """Return the part of the daemon that a module belongs to, such as core; "" for none."""
    root, _, rest = dotted.partition(".")
    return rest.partition(".")[0] if root == "sidecard" else ""


def direction(source: Source) -> Iterator[str]:
    """Core ← policy ← layers ← app; the parts around them never import one another."""
    own = part_of(source.path.removesuffix(".py").replace("/", "."))
    if not own:
        return
    if own not in ALLOWED:
        yield f"{source.path}: {own} is a part that tests/support/structure.py doesn't know"
        return
    for imported in source.imports:
        other = part_of(imported.name)
        if other and other != own and other not in ALLOWED[own]:
            yield f"{source.path}:{imported.line}: {own} must not import sidecard.{other}"


def confinement(source: Source) -> Iterator[str]:
    """Libraries stay where they are used, so that one part at a time knows them."""
    for imported in source.imports:
        for library, places in CONFINED.items():
            if imported.within(library) and not source.in_any(places):
                where = " and ".join(places)
                yield f"{source.path}:{imported.line}: {library} is imported in {where} alone"


def purity(source: Source) -> Iterator[str]:
    """policy/ is synchronous and reads no clock, no file and no log."""
    if not source.in_any(["sidecard/policy/"]):
        return
    for imported in source.imports:
        if any(imported.within(module) for module in IMPURE):
            yield f"{source.path}:{imported.line}: policy must not import {imported.name}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.AsyncFunctionDef):
            yield f"{source.path}:{node.lineno}: policy must not be asynchronous"
        elif isinstance(node, ast.Attribute) and node.attr in CLOCK_CALLS:
            yield f"{source.path}:{node.lineno}: policy must be handed the time, not read it"


def no_generators(source: Source) -> Iterator[str]:
    """A layer yields nothing: a timeout around a `yield` cancels the consumer."""
    if not source.in_any(["sidecard/layers/"]) or source.path in GENERATOR_LAYERS:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Yield | ast.YieldFrom):
            yield f"{source.path}:{node.lineno}: a layer must not yield"


def status_codes(source: Source) -> Iterator[str]:
    """server/status.py alone knows gRPC's codes."""
    if not source.in_any(["sidecard/"]) or source.path == "sidecard/server/status.py":
        return
    for node in ast.walk(source.tree):
        if "StatusCode" in (getattr(node, "attr", None), getattr(node, "id", None)):
            line = getattr(node, "lineno", 0)
            yield f"{source.path}:{line}: gRPC's codes are known in server/status.py alone"


def client_needs(source: Source) -> Iterator[str]:
    """The client needs grpcio and protobuf, nothing else and nothing of the daemon."""
    if not source.in_any(["sidecard_client/"]):
        return
    for imported in source.imports:
        known = imported.name.partition(".")[0] in STANDARD_LIBRARY
        if not known and not any(imported.within(module) for module in CLIENT_NEEDS):
            yield f"{source.path}:{imported.line}: the client must not import {imported.name}"


def annotated(source: Source) -> Iterator[str]:
    """Every function says what it takes and gives."""
    for function in source.functions:
        given = function.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        bare = [a.arg for a in every if a is not None and a.annotation is None]
        missing = [name for name in bare if name not in ("self", "cls")]
        if missing or function.returns is None:
            what = ", ".join(missing) or "what it returns"
            yield f"{source.path}:{function.lineno}: {function.name} does not annotate {what}"
