"""The operator's service: who may order, and what an order may say."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import pytest_asyncio

from sidecard.config.problems import ConfigError, Problem
from sidecard.config.reloads import Reloads
from sidecard.core.ledger import LedgerFailed, LeftOpen
from sidecard.core.store import Entry, Purge, StoreFailed
from sidecard.server import admin_service
from sidecard.server.admin_service import AdminServicer
from sidecard.server.admin_token import AdminToken
from sidecard.store.memory import MemoryStore
from sidecard.v1 import admin_pb2 as pb
from sidecard.v1.admin_pb2_grpc import AdminServiceStub
from tests.support.clock import ManualClock
from tests.support.rpc import Failure, failure

if TYPE_CHECKING:  # The stub's asynchronous side exists for type checkers only.
    from sidecard.v1.admin_pb2_grpc import AdminServiceAsyncStub

    Stub = AdminServiceAsyncStub
else:
    Stub = AdminServiceStub

ALL = pb.PurgeCacheRequest(everything=True)
CLOCK = ManualClock()


class Broken(MemoryStore):
    """A store that can't remove anything."""

    async def purge(self, which: Purge) -> int:
        raise StoreFailed(f"the disk says no to {which}")


class Bench:
    """A served store, and its token."""

    def __init__(self, stub: Stub, store: MemoryStore, token: Path) -> None:
        self.stub, self.store, self.token = stub, store, token

    async def purge(self, request: pb.PurgeCacheRequest, authorization: str | None = "") -> int:
        if authorization == "":
            authorization = f"Bearer {self.token.read_text().strip()}"
        metadata = () if authorization is None else (("authorization", authorization),)
        done = await self.stub.PurgeCache(request, metadata=metadata)
        return done.removed

    async def refused(
        self, request: pb.PurgeCacheRequest = ALL, authorization: str | None = ""
    ) -> Failure:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.purge(request, authorization)
        return failure(raised.value)


@pytest_asyncio.fixture(params=[MemoryStore])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    store = request.param(max_bytes=1 << 20)
    token = tmp_path / "admin-token"
    reloads = Reloads("abc", 0.0)

    async def reload() -> Reloads:
        if store.stats().entries:
            raise ConfigError([Problem("retry.max_attempts", "file x, line 3", "expected 1")])
        reloads.took("def", ["listen.grpc"], 1.0)
        return reloads

    async def release() -> LeftOpen:
        if store.stats().entries:
            raise LedgerFailed("the disk is full")
        return LeftOpen(3, 250)

    servicer = AdminServicer(
        store,
        token=AdminToken.made(token),
        clock=CLOCK,
        breakers=lambda: (),
        reload=reload,
        release=release,
    )
    server = grpc.aio.server()
    methods = admin_service.handlers(servicer, body_s=5)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(admin_service.SERVICE, methods),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Bench(Stub(channel), store, token)
    await server.stop(0)


def put(bench: Bench, tenant: str, age_s: float = 0.0) -> None:
    now = CLOCK.wall()
    bench.store.put(os.urandom(32), Entry(b"x", tenant, "default", now - age_s, now + 100))


async def test_what_is_said_is_removed(bench: Bench) -> None:
    """Tenant and age together; then the rest."""
    for tenant, age_s in (("a", 10), ("a", 0), ("b", 10)):
        put(bench, tenant, age_s)
    request = pb.PurgeCacheRequest(tenant="a")
    request.older_than.FromSeconds(5)
    assert await bench.purge(request) == 1
    assert await bench.purge(ALL) == 2


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer", "Bearer ", "Bearer wrong", "wrong", "Basic dG9rZW4=", "Bearer \\xe9"],
)
async def test_without_the_token_nothing_is_removed(
    bench: Bench, authorization: str | None
) -> None:
    """Whatever is there in its place."""
    put(bench, "a")
    refused = await bench.refused(ALL, authorization)
    assert (refused.code, refused.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    assert bench.store.stats().entries == 1


async def test_what_is_in_force_is_told(bench: Bench) -> None:
    """After a reload: which file, and what of it waits. It needs the token."""
    metadata = (("authorization", f"Bearer {bench.token.read_text().strip()}"),)
    done = await bench.stub.Reload(pb.ReloadRequest(), metadata=metadata)
    assert done.sha256 == "def"
    assert list(done.waiting_for_restart) == ["listen.grpc"]
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await bench.stub.Reload(pb.ReloadRequest())
    assert failure(raised.value).reason == "UNAUTHENTICATED"


async def test_mistakes_of_a_configuration_are_told(bench: Bench) -> None:
    """Each by its field, with the line of the file."""
    put(bench, "a")
    metadata = (("authorization", f"Bearer {bench.token.read_text().strip()}"),)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await bench.stub.Reload(pb.ReloadRequest(), metadata=metadata)
    refused = failure(raised.value)
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["retry.max_attempts"])
    assert refused.message == "retry.max_attempts: expected 1 (file x, line 3)"


async def test_the_bare_token_is_none(bench: Bench) -> None:
    """It comes with its scheme, whose case doesn't matter."""
    token = bench.token.read_text().strip()
    assert (await bench.refused(ALL, token)).code == "UNAUTHENTICATED"
    assert await bench.purge(ALL, f"bearer {token}") == 0


async def test_an_empty_file_lets_nobody_in(bench: Bench) -> None:
    """Nor does one that is gone."""
    bench.token.write_text("\n")
    assert (await bench.refused(ALL, "Bearer ")).code == "UNAUTHENTICATED"
    bench.token.unlink()
    assert "can't read its token" in (await bench.refused(ALL, "Bearer x")).message


async def test_a_token_is_rotated_without_a_restart(bench: Bench) -> None:
    """What is in the file now holds."""
    old = bench.token.read_text().strip()
    bench.token.write_text("new")
    assert await bench.purge(ALL, "Bearer new") == 0
    assert (await bench.refused(ALL, f"Bearer {old}")).code == "UNAUTHENTICATED"


async def test_an_order_says_what_it_means(bench: Bench) -> None:
    """Nothing by default, as everything would be a slip's price."""
    refused = await bench.refused(pb.PurgeCacheRequest())
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ["request"])
    refused = await bench.refused(pb.PurgeCacheRequest(everything=True, tenant="a"))
    assert refused.fields == ["everything"]
    negative = pb.PurgeCacheRequest()
    negative.older_than.FromSeconds(-1)
    assert (await bench.refused(negative)).fields == ["older_than"]


async def test_a_breaker_is_named(bench: Bench) -> None:
    """Or all are, in so many words; and who has no token learns nothing of the names."""
    metadata = (("authorization", f"Bearer {bench.token.read_text().strip()}"),)
    for request, token, told in (
        (pb.ResetBreakerRequest(), metadata, ("INVALID_ARGUMENT", ["request"])),
        (
            pb.ResetBreakerRequest(target="a", everything=True),
            metadata,
            ("INVALID_ARGUMENT", ["request"]),
        ),
        (pb.ResetBreakerRequest(target="a"), metadata, ("INVALID_ARGUMENT", ["target"])),
        (pb.ResetBreakerRequest(target="a"), (), ("UNAUTHENTICATED", [])),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await bench.stub.ResetBreaker(request, metadata=token)
        refused = failure(raised.value)
        assert (refused.code, refused.fields) == told


@pytest.mark.parametrize("bench", [Broken], indirect=True)
async def test_a_store_that_fails_is_told(bench: Bench) -> None:
    """With its own sentence, as nobody else knows what was removed."""
    refused = await bench.refused()
    assert refused.code == "UNAVAILABLE"
    assert "the disk says no" in refused.message


def test_a_token_is_made_once(tmp_path: Path) -> None:
    """A second daemon's start leaves it as it is, and no half of one is ever there."""
    path = tmp_path / "data" / "admin-token"
    AdminToken.made(path)
    first = path.read_text()
    AdminToken.made(path)
    assert path.read_text() == first
    assert len(first.strip()) >= 40
    assert [file.name for file in path.parent.iterdir()] == ["admin-token"]
    assert first.strip() not in repr(AdminToken(path))


async def test_what_was_left_open_is_released(bench: Bench) -> None:
    """With the token alone; what keeps the ledger from it is told."""
    metadata = (("authorization", f"Bearer {bench.token.read_text().strip()}"),)
    done = await bench.stub.ReleaseLeftOpen(pb.ReleaseLeftOpenRequest(), metadata=metadata)
    assert (done.attempts, done.nano_usd) == (3, 250)
    put(bench, "acme")
    for sent, code, told in (
        (metadata, "UNAVAILABLE", "the disk is full"),
        ((), "UNAUTHENTICATED", "operator's token"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await bench.stub.ReleaseLeftOpen(pb.ReleaseLeftOpenRequest(), metadata=sent)
        found = failure(raised.value)
        assert found.code == code
        assert told in found.message


@pytest.mark.parametrize("how", ["open to all", "a link", "a folder"])
def test_a_token_that_others_may_know_is_none(tmp_path: Path, how: str) -> None:
    """Whoever could write to the folder before may have put it there."""
    path = tmp_path / "admin-token"
    if how == "a folder":
        path.mkdir(mode=0o700)
    elif how == "a link":
        (tmp_path / "other").write_text("known\n")
        path.symlink_to(tmp_path / "other")
    else:
        path.write_text("known\n")
        path.chmod(0o604)
    with pytest.raises(PermissionError, match="isn't the daemon's own file, or open to all"):
        AdminToken.made(path)
    assert sorted([file.name for file in tmp_path.iterdir()]) in (
        ["admin-token"],
        ["admin-token", "other"],
    )


def test_the_group_of_a_volume_may_read_it(tmp_path: Path) -> None:
    """Kubernetes gives files of a volume to its group, when a pod has an fsGroup."""
    path = tmp_path / "admin-token"
    AdminToken.made(path)
    path.chmod(0o660)
    assert AdminToken.made(path).accepts(f"Bearer {path.read_text()}")
