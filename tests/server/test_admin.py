"""The admin server: its pages, to whom it answers, and that it only tells."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
import pytest_asyncio

from sidecard.server.address import AddressError
from sidecard.server.admin import AdminServer
from sidecard.server.told import Told
from tests.support.told import told


class State:
    """A daemon that is ready until told otherwise."""

    def __init__(self) -> None:
        self.unready: str | None = None

    def told(self) -> Told:
        return told(
            status=lambda: {"ready": self.unready is None},
            metrics=lambda accept: (f"# for {accept}\n".encode(), "text/plain; version=1"),
            ready=lambda: self.unready,
        )


@pytest.fixture
def state() -> State:
    return State()


@pytest_asyncio.fixture
async def admin(state: State) -> AsyncIterator[AdminServer]:
    server = AdminServer("127.0.0.1:0", state.told())
    await server.start()
    yield server
    await server.stop()


async def ask(
    address: str, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> tuple[int, str, Mapping[str, str]]:
    """Return an answer's status, body and headers."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://{address}{path}", headers=headers) as answer,
    ):
        return answer.status, await answer.text(), answer.headers


async def test_its_pages(admin: AdminServer) -> None:
    """Metrics in the format that was asked for, and the status as JSON."""
    status, body, headers = await ask(admin.address, "/metrics", headers={"accept": "x/y"})
    assert (status, body, headers["content-type"]) == (200, "# for x/y\n", "text/plain; version=1")
    status, body, headers = await ask(admin.address, "/status.json")
    assert (status, body) == (200, '{\n  "ready": true\n}')
    assert headers["content-type"] == "application/json"
    assert (await ask(admin.address, "/healthz"))[:2] == (200, "ok\n")


async def test_readiness_says_why_not(admin: AdminServer, state: State) -> None:
    """503 with the reason while the daemon takes no calls; it is alive all the same."""
    assert (await ask(admin.address, "/readyz"))[:2] == (200, "ready\n")
    state.unready = "draining"
    assert (await ask(admin.address, "/readyz"))[:2] == (503, "draining\n")
    assert (await ask(admin.address, "/healthz"))[0] == 200


async def test_other_pages_are_told(admin: AdminServer) -> None:
    """A wrong path is answered with the right ones."""
    status, body, _ = await ask(admin.address, "/other")
    assert status == 404
    assert all(path in body for path in ("/metrics", "/healthz", "/readyz", "/status.json"))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_it_takes_no_orders(admin: AdminServer, method: str) -> None:
    """Reading is all that can be done here."""
    status, _, headers = await ask(admin.address, "/status.json", method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


async def test_a_head_has_no_body(admin: AdminServer) -> None:
    """HEAD is answered as GET, without what it would say."""
    assert (await ask(admin.address, "/healthz", "HEAD"))[:2] == (200, "")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7412", "127.0.0.1.evil.example", "10.0.0.7", ""]
)
async def test_a_name_that_is_not_its_own_is_refused(admin: AdminServer, host: str) -> None:
    """A page that points a name of its own at this machine reads nothing."""
    status, body, _ = await ask(admin.address, "/status.json", headers={"host": host})
    assert status in {400, 421}
    assert "ready" not in body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7412", "[::1]:7412", "127.0.0.1"])
async def test_its_own_names_are_answered(admin: AdminServer, host: str) -> None:
    """However this machine calls itself."""
    assert (await ask(admin.address, "/healthz", headers={"host": host}))[0] == 200


async def test_where_others_may_ask_addresses_are_enough(state: State) -> None:
    """Prometheus asks a pod by its address; a name could be anybody's still."""
    server = AdminServer("127.0.0.1:0", state.told(), any_host=True)
    await server.start()
    try:
        by_address = await ask(server.address, "/healthz", headers={"host": "10.0.0.7:7412"})
        by_name = await ask(server.address, "/healthz", headers={"host": "evil.example"})
    finally:
        await server.stop()
    assert (by_address[0], by_name[0]) == (200, 421)


async def test_an_address_in_use_is_told(admin: AdminServer, state: State) -> None:
    """With the field's name and the way out."""
    second = AdminServer(admin.address, state.told())
    with pytest.raises(AddressError, match=r"listen\.admin.*in use.*null turns it off"):
        await second.start()
    await second.stop()


async def test_stopping_waits_for_nobody(state: State) -> None:
    """A connection that is kept open holds up no stop."""
    server = AdminServer("127.0.0.1:0", state.told())
    await server.start()
    host, port = server.address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(5):
        await server.stop()
        assert await reader.read() == b""
    writer.close()
