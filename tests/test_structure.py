"""The structure that keeps the code small: sizes, annotations, and who may import whom."""

import statistics
import tomllib
from collections.abc import Iterator

import pytest

from tests.support import structure
from tests.support.source import ROOT, Source, length, named, read
from tests.support.structure import Rule

CODE = read("sidecard", "clients/python/src/sidecard_client")
ALL = [*CODE, *read("tests", "scripts")]

FILE_CAP, FILE_P90, FILE_MEDIAN = 350, 250, 110
FUNCTION_CAP, FUNCTION_P90 = 50, 30


def breaches(rule: Rule, sources: list[Source]) -> list[str]:
    """Apply one rule to many files."""
    return [breach for source in sources for breach in rule(source)]


def p90(sizes: list[int]) -> int:
    """Return the size that nine in ten don't exceed."""
    return sorted(sizes)[max(0, -(-len(sizes) * 9 // 10) - 1)]


def oversized(source: Source) -> Iterator[str]:
    """Name what is over a cap."""
    if source.lines > FILE_CAP:
        yield f"{source.path}: {source.lines} lines, the cap is {FILE_CAP}"
    for function in source.functions:
        if length(function) > FUNCTION_CAP:
            where = f"{source.path}:{function.lineno}: {function.name}"
            yield f"{where} has {length(function)} lines, the cap is {FUNCTION_CAP}"


def test_no_file_and_no_function_is_over_its_cap() -> None:
    """Every file has at most 350 lines and every function at most 50, tests and scripts too."""
    assert not breaches(oversized, ALL)


def test_most_files_are_small() -> None:
    """Half of the code's files have at most 110 lines and nine in ten at most 250."""
    sizes = [source.lines for source in CODE if not source.path.endswith("__init__.py")]
    assert statistics.median(sizes) <= FILE_MEDIAN, "the median file is too long"
    assert p90(sizes) <= FILE_P90, "the longest tenth of the files is too long"


def test_most_functions_are_small() -> None:
    """Nine in ten of the code's functions have at most 30 lines."""
    assert p90([length(f) for source in CODE for f in source.functions]) <= FUNCTION_P90


def test_everything_is_annotated() -> None:
    """Every function's parameters and result have types."""
    assert not breaches(structure.annotated, ALL)


def test_imports_keep_their_direction() -> None:
    """Core imports nothing of the rest, layers no store, upstream, server or generated code."""
    assert not breaches(structure.direction, CODE)


def test_libraries_stay_where_they_are_used() -> None:
    """Of gRPC, HTTP, the SDK and the rest, each is imported by its own part alone."""
    assert not breaches(structure.confinement, CODE)


def test_policy_is_pure() -> None:
    """What decides is synchronous, and reads no clock, no file and no log."""
    assert not breaches(structure.purity, CODE)


def test_layers_yield_nothing() -> None:
    """No layer is a generator, so no timeout can cancel its consumer."""
    assert not breaches(structure.no_generators, CODE)


def test_grpc_codes_are_known_in_one_place() -> None:
    """An error's gRPC code is decided in server/status.py alone."""
    assert not breaches(structure.status_codes, CODE)


def test_the_client_needs_grpcio_and_protobuf_alone() -> None:
    """The client imports nothing but grpcio, protobuf and the contract."""
    assert not breaches(structure.client_needs, CODE)


def test_sidecard_is_a_namespace_package() -> None:
    """No __init__.py hides one root of `sidecard` from the other."""
    roots = [ROOT / "sidecard", ROOT / "clients/python/src/sidecard"]
    assert not [named(root) for root in roots if (root / "__init__.py").exists()]


def test_the_daemon_takes_the_client_of_its_own_version() -> None:
    """Daemon and contract are released together."""
    daemon = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    client = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())["project"]
    assert daemon["version"] == client["version"]
    assert f"sidecard-client=={client['version']}" in daemon["dependencies"]


VIOLATIONS = [
    (structure.direction, "sidecard/core/x.py", "import sidecard.policy.backoff"),
    (structure.direction, "sidecard/core/x.py", "from sidecard import config"),
    (structure.direction, "sidecard/policy/x.py", "from sidecard.layers.retry import Retry"),
    (structure.direction, "sidecard/layers/x.py", "from ..store import codec"),
    (structure.direction, "sidecard/layers/x.py", "from sidecard.v1 import generation_pb2"),
    (structure.direction, "sidecard/upstream/x.py", "from sidecard.server.status import code_of"),
    (structure.direction, "sidecard/app.py", "def f():\n    from sidecard.cli import main"),
    (structure.direction, "sidecard/novel/x.py", ""),
    (structure.confinement, "sidecard/upstream/classify.py", "import anthropic"),
    (structure.confinement, "sidecard/layers/x.py", "from aiohttp import ClientError"),
    (structure.confinement, "sidecard/upstream/sdk.py", "import grpc.aio"),
    (structure.confinement, "sidecard/app.py", "from google.rpc import status_pb2"),
    (structure.purity, "sidecard/policy/x.py", "import asyncio"),
    (structure.purity, "sidecard/policy/x.py", "from logging import getLogger"),
    (structure.purity, "sidecard/policy/x.py", "import time as t"),
    (structure.purity, "sidecard/policy/x.py", "async def f(): ..."),
    (structure.purity, "sidecard/policy/x.py", "from datetime import datetime\ndatetime.now()"),
    (structure.no_generators, "sidecard/layers/x.py", "def f():\n    yield 1"),
    (structure.no_generators, "sidecard/layers/x.py", "async def f():\n    yield 1"),
    (structure.status_codes, "sidecard/server/x.py", "import grpc\ngrpc.StatusCode.OK"),
    (structure.client_needs, "sidecard_client/x.py", "import aiohttp"),
    (structure.client_needs, "sidecard_client/x.py", "from sidecard.core.call import Call"),
    (structure.annotated, "sidecard/core/x.py", "def f(a: int): ..."),
    (structure.annotated, "sidecard/core/x.py", "async def f(*rest) -> None: ..."),
    (oversized, "sidecard/core/x.py", "\n" * 351),
    (oversized, "sidecard/core/x.py", "def f():\n" + "    ...\n" * 50),
]


@pytest.mark.parametrize(("rule", "path", "text"), VIOLATIONS)
def test_a_violation_is_found(rule: Rule, path: str, text: str) -> None:
    """Each rule finds one breach in a file that breaks it once, and names the file."""
    found = list(rule(Source(path, text)))
    assert len(found) == 1
    assert found[0].startswith(path)


INNOCENT = [
    (structure.direction, "sidecard/layers/x.py", "from sidecard.policy.backoff import delay"),
    (structure.direction, "sidecard/server/x.py", "from sidecard.v1 import generation_pb2"),
    (structure.direction, "sidecard_client/x.py", "from sidecard.v1 import generation_pb2"),
    (structure.confinement, "sidecard/upstream/direct.py", "import aiohttp"),
    (structure.confinement, "sidecard/core/x.py", "import grpcs"),
    (structure.purity, "sidecard/layers/x.py", "import asyncio\nimport time"),
    (structure.no_generators, "sidecard/upstream/x.py", "def f():\n    yield 1"),
    (structure.client_needs, "sidecard_client/x.py", "import asyncio\nimport grpc.aio"),
    (structure.annotated, "sidecard/core/x.py", "class A:\n    def f(self) -> None: ..."),
    (oversized, "sidecard/core/x.py", "def f():\n" + "    ...\n" * 49 + "\n" * 300),
]


@pytest.mark.parametrize(("rule", "path", "text"), INNOCENT)
def test_what_is_allowed_passes(rule: Rule, path: str, text: str) -> None:
    """No rule complains of a file that keeps it."""
    assert not list(rule(Source(path, text)))
