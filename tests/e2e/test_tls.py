"""Encryption through the real daemon: gRPC and HTTP, renewed files, callers' certificates."""

import asyncio
import ssl
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import aiohttp
import grpc
import pytest

from sidecard.simulator.server import Simulator
from sidecard_client import AsyncClient, Client, Tls, Unavailable
from tests.support.certificates import Issuer, Pair
from tests.support.daemon import ONCE, Daemon, environment, running, settings

ASKED = {
    "model": "claude-sonnet-5-5",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "hi"}],
}


def encrypted(sim: Simulator, pair: Pair, client_ca: Path | None = None) -> dict[str, str]:
    env = {
        "SIDECARD_LISTEN__GRPC": "0.0.0.0:0",
        "SIDECARD_LISTEN__HTTP": "0.0.0.0:0",
        "SIDECARD_LISTEN__TLS__CERT_FILE": str(pair.cert),
        "SIDECARD_LISTEN__TLS__KEY_FILE": str(pair.key),
    }
    if client_ca is not None:
        env["SIDECARD_LISTEN__TLS__CLIENT_CA_FILE"] = str(client_ca)
    return settings(sim.base_url) | ONCE | env


async def ask(daemon: Daemon, ca: Path, own: Pair | None = None) -> str:
    """Ask over gRPC, on a connection of its own."""
    files = (str(own.cert), str(own.key)) if own else (None, None)
    address = daemon.address.replace("0.0.0.0", "127.0.0.1")
    async with AsyncClient(address, tls=Tls(str(ca), *files), timeout_s=5) as client:
        return (await client.generate("hi")).text


async def ask_http(daemon: Daemon, ca: Path, own: Pair | None = None) -> int:
    """Ask over HTTP, on a connection of its own."""
    context = ssl.create_default_context(cafile=str(ca))
    if own is not None:
        context.load_cert_chain(own.cert, own.key)
    port = (await daemon.logged("serving"))["http"].rpartition(":")[2]
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"https://127.0.0.1:{port}/v1/messages", json=ASKED, ssl=context) as answer,
    ):
        return answer.status


async def test_other_machines_are_served_encrypted_alone(tmp_path: Path) -> None:
    """With a certificate any address will do; who doesn't check it, or knows another, is out."""
    issuer, other = Issuer(tmp_path), Issuer(tmp_path, "other")
    async with Simulator() as sim, running(encrypted(sim, issuer.issue("own"))) as daemon:
        assert await ask(daemon, issuer.file)
        assert await ask_http(daemon, issuer.file) == 200
        await daemon.logged("ANYBODY CAN CALL", level="warning")
        # Credentials that a program made itself are as good as files.
        made = grpc.ssl_channel_credentials(issuer.file.read_bytes())
        address = daemon.address.replace("0.0.0.0", "127.0.0.1")
        async with AsyncClient(address, credentials=made, timeout_s=5) as client:
            assert (await client.generate("hi")).text
        with pytest.raises(Unavailable):
            await ask(daemon, other.file)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask_http(daemon, other.file)
        for wait_s in (0, 0.2):
            async with AsyncClient(address, wait_for_ready_s=wait_s) as plain:
                with pytest.raises(Unavailable, match=r"if it has listen\.tls, .*SIDECARD_TLS_CA"):
                    await plain.generate("hi", timeout_s=2)


async def test_callers_show_a_certificate_where_it_is_wanted(tmp_path: Path) -> None:
    """With client_ca_file nobody else connects, over gRPC or HTTP."""
    issuer, callers = Issuer(tmp_path), Issuer(tmp_path, "callers")
    pair = issuer.issue("own")
    async with Simulator() as sim, running(encrypted(sim, pair, callers.file)) as daemon:
        known, unknown = callers.issue("known"), issuer.issue("unknown")
        assert await ask(daemon, issuer.file, known)
        assert await ask_http(daemon, issuer.file, known) == 200
        for own in (None, unknown):
            with pytest.raises(Unavailable):
                await ask(daemon, issuer.file, own)
            with pytest.raises((aiohttp.ClientError, OSError)):
                await ask_http(daemon, issuer.file, own)
        assert sim.books.requests == 2
        assert not [line for line in daemon.lines if line.get("event") == "ANYBODY CAN CALL"]


async def test_files_are_renewed_without_a_restart(tmp_path: Path) -> None:
    """New connections see the new certificate; a bad one is told, and the old one stays."""
    first = Issuer(tmp_path, "first")
    own = first.issue("own")
    async with Simulator() as sim, running(encrypted(sim, own)) as daemon:
        await ask(daemon, first.file)
        first.issue("own", lasts=timedelta(minutes=-1))
        # Whatever connects has the files looked at, once a second at most.
        await _until_logged(daemon, first.file, "the certificate stays as it was")
        line = await daemon.logged("the certificate stays as it was", level="error")
        assert "expired at" in line["why"]
        assert str(own.cert) in line["why"]
        assert await ask(daemon, first.file)
        second = Issuer(tmp_path, "second")
        second.issue("own")
        await _until_logged(daemon, first.file, "the certificate was read anew")
        assert await ask(daemon, second.file)
        assert await ask_http(daemon, second.file) == 200
        with pytest.raises(Unavailable):
            await ask(daemon, first.file)


async def _until_logged(daemon: Daemon, ca: Path, event: str) -> None:
    """Connect until the daemon says it."""
    for _ in range(100):
        await asyncio.sleep(0.05)
        if any(line.get("event") == event for line in daemon.lines):
            return
        try:
            await ask_http(daemon, ca)
        except aiohttp.ClientConnectorCertificateError:
            continue
    raise AssertionError(f"no {event!r} in {daemon.lines[-3:]}")


async def test_the_command_line_encrypts(tmp_path: Path) -> None:
    """`sidecard call` with --tls-ca, or $SIDECARD_TLS_CA, and a name where the host has none."""
    issuer = Issuer(tmp_path)
    async with Simulator() as sim, running(encrypted(sim, issuer.issue("own"))) as daemon:
        port = daemon.address.rpartition(":")[2]
        ca = ["--tls-ca", str(issuer.file)]
        for arguments, env in (
            ([f"127.0.0.1:{port}", *ca], {}),
            ([f"localhost:{port}"], {"SIDECARD_TLS_CA": str(issuer.file)}),
            ([f"127.0.0.2:{port}", *ca, "--tls-name", "localhost"], {}),
        ):
            status, told = await called(*arguments, **env)
            assert (status, bool(told)) == (0, True), told
        status, told = await called(f"127.0.0.1:{port}", "--tls-ca", "/none")
        assert (status, "can't read /none: No such file or directory" in told) == (2, True)


async def called(address: str, *flags: str, **env: str) -> tuple[int | None, str]:
    """Run `sidecard call`; return its status, and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecard", "call", "hi", "--address", address, *flags),
        env=environment(**env),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize("command", ["check", "serve"])
def test_other_machines_need_a_decision(command: str) -> None:
    """Neither takes a port in clear that others reach; allow_remote is for other addresses."""
    env = environment(
        SIDECARD_LISTEN__GRPC="0.0.0.0:0",
        SIDECARD_LISTEN__ALLOW_REMOTE="true",
        SIDECARD_UPSTREAM__SIMULATE="always",
    )
    run = [sys.executable, "-m", "sidecard", command]
    done = subprocess.run(run, env=env, capture_output=True, check=False, timeout=20)
    assert done.returncode == 2
    assert b"listen.grpc: 0.0.0.0 can be reached from other machines" in done.stderr
    assert b"set listen.tls, or listen.insecure to true" in done.stderr


def test_a_socket_is_encrypted_by_nobody() -> None:
    """To ask for that is a mistake, as is half of a certificate."""
    with pytest.raises(ValueError, match="which nothing encrypts"):
        Client("unix:///run/sidecard.sock", tls=Tls())
    with pytest.raises(ValueError, match="both"):
        Tls(cert_file="/c")
    made = grpc.ssl_channel_credentials()
    with pytest.raises(ValueError, match="which nothing encrypts"):
        Client("unix:///run/sidecard.sock", credentials=made)
    with pytest.raises(ValueError, match="give one of them"):
        Client("localhost:7411", tls=Tls(), credentials=made)
