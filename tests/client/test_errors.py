"""Failed calls: each reason has its type, and what the daemon said comes along."""

import asyncio
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

import sidecard_client
from sidecard.core import errors as core
from sidecard.core.errors import Violation
from sidecard.server.status import CODES
from sidecard.v1 import generation_pb2 as pb
from sidecard_client import Options, SidecardError
from sidecard_client.errors import BY_REASON
from tests.support.rawserver import unused_port
from tests.support.scripted_daemon import (
    CLIENTS,
    AnyClient,
    Context,
    Generate,
    ScriptedDaemon,
    failing,
    scripted,
    waiting,
)

DAEMON_ERRORS = [
    core.InvalidCall(Violation("max_tokens", "0; at least 1"), Violation("model", "unknown")),
    core.InvalidOutput("no JSON", raw="{", violations=(Violation("/a", "missing"),)),
    *[kind("why") for kind in CODES if kind not in (core.InvalidCall, core.InvalidOutput)],
]


async def failure(client: AnyClient, **options: Unpack[Options]) -> SidecardError:
    """Return how a call fails."""
    with pytest.raises(SidecardError) as caught:
        await client.generate("hi", **options)
    return caught.value


def bare(code: grpc.StatusCode, details: bytes = b"") -> Generate:
    """Return a `generate` that fails as no daemon of ours does."""

    async def generate(_: object, context: Context) -> pb.GenerateResponse:
        trailers = (("grpc-status-details-bin", details),) if details else ()
        await context.abort(code, "what gRPC says", trailers)
        raise AssertionError

    return generate


def status(info: ErrorInfo) -> bytes:
    """Return a status with that detail."""
    packed = Packed()
    packed.Pack(info)
    return Status(details=[packed]).SerializeToString()


@pytest.mark.parametrize("error", DAEMON_ERRORS, ids=lambda error: error.reason)
async def test_each_reason_has_its_type(
    daemon: ScriptedDaemon, client: AnyClient, error: core.SidecardError
) -> None:
    """What the daemon raises, the caller catches by the same name."""
    daemon.generate = failing(error)
    caught = await failure(client)
    assert type(caught) is getattr(sidecard_client, type(error).__name__)
    assert (caught.reason, caught.message) == (error.reason, error.message)
    assert (caught.code, caught.request_id) == (CODES[type(error)], "req-1")


async def test_an_error_says_when_where_and_how_often(
    daemon: ScriptedDaemon, client: AnyClient
) -> None:
    """Retry delay, target and attempts come typed, and the text tells the important."""
    throttled = core.UpstreamThrottled("slow down", retry_after_s=2.5, target="a")
    daemon.generate = failing(throttled, sent=2)
    caught = await failure(client)
    assert (caught.retry_after_s, caught.target, caught.attempts) == (2.5, "a", 2)
    assert str(caught) == "UPSTREAM_THROTTLED: slow down (request req-1, retry after 2.5 s)"


async def test_a_retry_delay_of_nothing_is_a_delay(
    daemon: ScriptedDaemon, client: AnyClient
) -> None:
    """Zero seconds said is not the same as nothing said."""
    daemon.generate = failing(core.Overloaded("full", retry_after_s=0))
    assert (await failure(client)).retry_after_s == 0
    daemon.generate = failing(core.Overloaded("full"))
    assert (await failure(client)).retry_after_s is None


async def test_violations_name_the_fields(daemon: ScriptedDaemon, client: AnyClient) -> None:
    """Every mistake comes with the field's path, a budget with its subject."""
    daemon.generate = failing(DAEMON_ERRORS[0])
    places = [(v.field, v.description) for v in (await failure(client)).violations]
    assert places == [("max_tokens", "0; at least 1"), ("model", "unknown")]
    daemon.generate = failing(core.BudgetExhausted("spent", target="acme"))
    assert [v.field for v in (await failure(client)).violations] == ["acme"]


def test_the_client_knows_every_reason_of_the_daemon() -> None:
    """The daemon's tree and the client's have the same names."""
    assert {kind.__name__ for kind in CODES} <= {kind.__name__ for kind in BY_REASON.values()}


async def test_a_new_reason_is_kept(daemon: ScriptedDaemon, client: AnyClient) -> None:
    """A newer daemon's reason comes as the base class, with its name."""
    details = status(
        ErrorInfo(reason="MOON_PHASE", domain="sidecard.dev", metadata={"request_id": "r"})
    )
    daemon.generate = bare(grpc.StatusCode.NOT_FOUND, details)
    caught = await failure(client)
    assert type(caught) is SidecardError
    assert (caught.reason, caught.request_id) == ("MOON_PHASE", "r")
    assert (caught.code, caught.attempts) == (grpc.StatusCode.NOT_FOUND, 0)


@pytest.mark.parametrize(
    "details",
    [
        b"",
        b"\xff\xff\xff",
        Status(
            details=[Packed(type_url="x/google.rpc.ErrorInfo", value=b"\xff")]
        ).SerializeToString(),
        status(ErrorInfo(reason="OVERLOADED", domain="example.com")),
        status(ErrorInfo(domain="sidecard.dev")),
        status(
            ErrorInfo(reason="OVERLOADED", domain="sidecard.dev", metadata={"attempts": "many"})
        ),
    ],
    ids=["none", "garbage", "garbage-inside", "foreign", "no-reason", "no-number"],
)
async def test_a_status_that_is_not_ours_goes_by_its_code(
    daemon: ScriptedDaemon, client: AnyClient, details: bytes
) -> None:
    """Details of another domain, or broken ones, are left alone."""
    daemon.generate = bare(grpc.StatusCode.RESOURCE_EXHAUSTED, details)
    caught = await failure(client, request_id="mine")
    assert type(caught) is SidecardError
    assert str(caught) == "RESOURCE_EXHAUSTED: what gRPC says (request mine)"


async def test_the_timeout_is_the_deadline(daemon: ScriptedDaemon, client: AnyClient) -> None:
    """A call ends at its timeout, typed, with the id it was sent with; the daemon hears of it."""
    daemon.generate = waiting
    caught = await failure(client, timeout_s=0.1, request_id="mine")
    assert type(caught) is sidecard_client.DeadlineExceeded
    assert (caught.reason, caught.request_id) == ("DEADLINE_EXCEEDED", "mine")
    await asyncio.wait_for(daemon.cancelled.wait(), 1)


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("wait_s", [0, 0.1])
async def test_an_absent_daemon_is_named(
    tmp_path: Path, kind: Callable[..., AnyClient], wait_s: float
) -> None:
    """Nobody there: at once, or after the wait asked for, with how to start one."""
    address = f"unix://{tmp_path}/nobody"
    async with kind(address, wait_for_ready_s=wait_s) as client:
        caught = await failure(client)
    assert type(caught) is sidecard_client.Unavailable
    assert f"no sidecard daemon answers at {address}" in caught.message
    assert "`sidecard serve`" in caught.message
    assert "tls" not in caught.message


@pytest.mark.parametrize("kind", CLIENTS)
async def test_tls_is_named_where_it_can_be_the_cause_alone(kind: Callable[..., AnyClient]) -> None:
    """A port that refuses wants no TLS, whatever is missing."""
    async with kind(f"127.0.0.1:{unused_port()}") as client:
        caught = await failure(client)
    assert "refused" in caught.message
    assert "tls" not in caught.message


@pytest.mark.parametrize("kind", CLIENTS)
async def test_the_first_call_waits_for_the_daemon(
    tmp_path: Path, kind: Callable[..., AnyClient]
) -> None:
    """At a pod's start the daemon may come up after the caller."""
    address = f"unix://{tmp_path}/s"
    async with kind(address, wait_for_ready_s=10) as client:
        call = asyncio.create_task(client.generate("hello"))
        await asyncio.sleep(0.1)
        assert not call.done()
        async with scripted(address):
            assert (await call).text == "hello"


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_client_outlives_the_daemon(tmp_path: Path, kind: Callable[..., AnyClient]) -> None:
    """A restarted daemon is found again soon, by the same client."""
    address = f"unix://{tmp_path}/s"
    async with kind(address) as client:
        async with scripted(address):
            await client.generate("hello")
        assert type(await failure(client)) is sidecard_client.Unavailable
        async with scripted(address), asyncio.timeout(5):
            while True:
                try:
                    reply = await client.generate("again")
                    break
                except sidecard_client.Unavailable:
                    await asyncio.sleep(0.05)
    assert reply.text == "again"


def test_errors_travel_between_processes() -> None:
    """A pickled error keeps its type and what it carries."""
    error = sidecard_client.Overloaded("full", retry_after_s=3, request_id="r")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert type(copy) is sidecard_client.Overloaded
    assert (str(copy), copy.retry_after_s) == (str(error), 3)


WITHOUT_GOOGLE_RPC = """
import sys
sys.modules["google.rpc"] = None
from sidecard_client import Client, Overloaded
try:
    Client(sys.argv[1]).generate("hi")
except Overloaded as error:
    print(error.retry_after_s, [name for name in sys.modules if "google.rpc." in name])
"""


async def test_details_need_no_further_package(daemon: ScriptedDaemon) -> None:
    """Errors are read with grpcio and protobuf alone."""
    daemon.generate = failing(core.Overloaded("full", retry_after_s=3))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WITHOUT_GOOGLE_RPC,
        daemon.address,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    output, _ = await process.communicate()
    assert output == b"3.0 []\n"
