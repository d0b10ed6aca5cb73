"""The direct transport, beyond what every transport promises."""

import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from anthropic._constants import ANTHROPIC_API_VERSION

from sidecard.upstream import direct
from sidecard.upstream.keys import FileKey
from sidecard.upstream.transport import Misconfigured, TransportFault
from tests.support.rawserver import Connection, answers, raw_server, unused_port
from tests.support.transports import BODY, KEY, PATH, opened, whole


def test_the_version_is_the_sdk_s() -> None:
    """The API's version that is asked for is that of the SDK which the parser is tested against."""
    assert direct.API_VERSION == ANTHROPIC_API_VERSION


async def test_the_headers_are_few_and_fixed() -> None:
    """The upstream learns the key, the version and who asks, and nothing of the machine."""
    async with raw_server(answers) as server, opened("direct", server.base_url) as transport:
        await whole(await transport.send(PATH, BODY))
    headers = dict(server.requests[0].headers)
    assert headers.pop("authorization") == f"Bearer {KEY}"
    assert headers.keys() == {
        "accept",
        "accept-encoding",
        "anthropic-version",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    }


async def test_a_refused_key_is_read_again(tmp_path: Path) -> None:
    """A 401 is asked again, once, with what the key file holds by then; the old key's counts."""
    file = tmp_path / "key"
    file.write_text("old")
    sent: list[str] = []

    async def strict(connection: Connection) -> None:
        while True:
            request = await connection.request()
            sent.append(request.headers["authorization"])
            await connection.answer(200 if sent[-1] == "Bearer new" else 401)

    async with (
        raw_server(strict) as server,
        opened("direct", server.base_url, key=FileKey(file)) as transport,
    ):
        assert (await transport.send(PATH, BODY)).status == 401
        assert sent == ["Bearer old"]
        file.write_text("new")
        assert (await transport.send(PATH, BODY)).status == 200
    assert sent[-1] == "Bearer new"
    assert len(sent) <= 3


async def test_without_a_key_nothing_is_sent(tmp_path: Path) -> None:
    """A key that is gone is told as what it is, and no request leaves without one."""
    file = tmp_path / "key"
    file.write_text("old")
    key = FileKey(file)
    async with (
        raw_server(answers) as server,
        opened("direct", server.base_url, key=key) as transport,
    ):
        file.unlink()
        key.rejected()
        with pytest.raises(Misconfigured, match=str(file)):
            await transport.send(PATH, BODY)
    assert not server.accepted


async def test_the_key_shows_in_no_traceback() -> None:
    """What a crash reporter makes of a failed request, local variables included, has no key."""
    async with opened("direct", f"http://127.0.0.1:{unused_port()}") as transport:
        with pytest.raises(TransportFault) as fault:
            await transport.send(PATH, BODY)
    report = traceback.TracebackException.from_exception(fault.value, capture_locals=True)
    assert "authorization" in "".join(report.format())
    assert KEY not in "".join(report.format())


async def test_an_operator_sees_what_it_does() -> None:
    """Its `repr` says where it sends, how many answers are open, and where the key is from."""
    async with raw_server(answers) as server, opened("direct", server.base_url) as transport:
        response = await transport.send(PATH, BODY)
        assert repr(transport) == f"<Direct {server.base_url}, 1 open, <key from the test>>"
        await whole(response)
        assert repr(transport) == f"<Direct {server.base_url}, 0 open, <key from the test>>"


def test_the_sdk_is_not_imported() -> None:
    """Neither transport's module loads the SDK, whose import takes 1.6 s and 55 MB."""
    code = (
        "import sys, sidecard.upstream.direct, sidecard.upstream.sdk\n"
        "print({'anthropic', 'httpx2'} & sys.modules.keys())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert ran.stdout == "set()\n"
