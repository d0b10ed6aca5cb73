"""Every reason that the daemon can give has its name in every client."""

import re
from collections.abc import Iterator

import pytest

from sidecard.core.errors import SidecardError
from sidecard_client.errors import BY_REASON
from tests.conformance import vectors
from tests.conformance.vectors import ROOT

FILES = {
    "go": "clients/go/errors.go",
    "typescript": "clients/typescript/src/errors.ts",
    "rust": "clients/rust/src/error.rs",
    "java": "clients/java/src/main/java/dev/sidecard/client/Reason.java",
}


def reasons(of: type[SidecardError] = SidecardError) -> Iterator[str]:
    """Yield the reason of each error that has no kinds of its own."""
    for kind in of.__subclasses__():
        if kind.__subclasses__():
            yield from reasons(kind)
        else:
            yield re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).upper()


def expected_errors(told: object) -> Iterator[str]:
    """Yield the reason of each error that a part of the vectors expects."""
    if isinstance(told, dict):
        if "reason" in (error := told.get("error") or {}):
            yield error["reason"]
        told = list(told.values())
    for part in told if isinstance(told, list | tuple) else ():
        yield from expected_errors(part)


def test_each_reason_has_a_vector() -> None:
    """And so have those that no daemon says: that none is there, and gRPC's own."""
    shown = {
        reason
        for vector in vectors.read()
        for step in vector.calls
        for reason in expected_errors(step.expect)
    }
    assert {*reasons(), "INTERNAL", "UNAVAILABLE"} - shown == set()


@pytest.mark.parametrize("client", ["python", *FILES])
def test_a_client_names_every_reason(client: str) -> None:
    """A reason that the daemon gains has to be added to each client."""
    named = BY_REASON if client == "python" else (ROOT / FILES[client]).read_text()
    expected = set(reasons())
    assert len(expected) > 10
    assert {reason for reason in expected if reason not in named} == set()
