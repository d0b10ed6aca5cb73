"""TLS on the gRPC address, through the real daemon: certificates, callers' too, and rotation."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sidecard.simulator.server import Simulator
from sidecard_client import AsyncClient, SidecardError
from tests.support.daemon import running, settings, spawn
from tests.support.simulator import until

DAY = timedelta(days=1)


class Authority:
    """Signs certificates into files of a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        own = self._signed(self._name, self._key.public_key(), DAY, authority=True)
        self.pem = own.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, *, lasts: timedelta = DAY) -> tuple[Path, Path]:
        """Write a certificate for `localhost` and its key; return where they are."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        signed = self._signed(subject, key.public_key(), lasts, authority=False)
        cert_file, key_file = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        cert_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cert_file, key_file

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        lasts: timedelta,
        *,
        authority: bool,
    ) -> x509.Certificate:
        end = datetime.now(UTC) + lasts
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - 2 * DAY)
            .not_valid_after(end)
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


def with_tls(sim: Simulator, files: tuple[Path, Path], **more: str) -> dict[str, str]:
    cert, key = files
    return settings(sim.base_url) | {
        "SIDECARD_LISTEN__TLS__CERT_FILE": str(cert),
        "SIDECARD_LISTEN__TLS__KEY_FILE": str(key),
        # Other machines may reach it: that it is encrypted is enough.
        "SIDECARD_LISTEN__GRPC": "0.0.0.0:0",
        **more,
    }


async def asked(address: str, credentials: grpc.ChannelCredentials | None) -> str:
    """Return an answer's text, or the code of the error."""
    port = address.rpartition(":")[2]
    async with AsyncClient(f"localhost:{port}", credentials=credentials, timeout_s=3) as client:
        try:
            return (await client.generate("hello")).text
        except SidecardError as error:
            return str(error.code)


async def test_a_call_is_encrypted(authority: Authority, tmp_path: Path) -> None:
    """Who trusts the authority is answered; who trusts another, or nothing, is not."""
    other = Authority(tmp_path, "other")
    async with (
        Simulator() as sim,
        running(with_tls(sim, authority.issue("daemon"))) as daemon,
    ):
        trusted = grpc.ssl_channel_credentials(authority.pem)
        assert "hello" in await asked(daemon.address, trusted)
        for credentials in (grpc.ssl_channel_credentials(other.pem), None):
            assert "hello" not in await asked(daemon.address, credentials)
        assert sim.books.requests == 1
        ca = tmp_path / "ca.pem"
        ca.write_bytes(authority.pem)
        port = daemon.address.rpartition(":")[2]
        command = [sys.executable, "-m", "sidecard", "call", "hello", "--tls-ca", str(ca)]
        told = await asyncio.create_subprocess_exec(
            *command,
            "--address",
            f"localhost:{port}",
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        out, _ = await told.communicate()
        assert (told.returncode, b"hello" in out) == (0, True)


async def test_callers_may_need_a_certificate(authority: Authority, tmp_path: Path) -> None:
    """With `client_ca_file` only those who show one of that authority are answered."""
    ca = tmp_path / "callers.pem"
    ca.write_bytes(authority.pem)
    cert, key = authority.issue("caller")
    stranger_cert, stranger_key = Authority(tmp_path, "other").issue("stranger")
    more = {"SIDECARD_LISTEN__TLS__CLIENT_CA_FILE": str(ca)}
    async with (
        Simulator() as sim,
        running(with_tls(sim, authority.issue("daemon"), **more)) as daemon,
    ):
        shown = {
            True: grpc.ssl_channel_credentials(authority.pem, key.read_bytes(), cert.read_bytes()),
            False: grpc.ssl_channel_credentials(
                authority.pem, stranger_key.read_bytes(), stranger_cert.read_bytes()
            ),
        }
        for taken, credentials in shown.items():
            assert ("hello" in await asked(daemon.address, credentials)) is taken
        none = grpc.ssl_channel_credentials(authority.pem)
        assert "hello" not in await asked(daemon.address, none)


async def test_certificates_are_rotated(authority: Authority, tmp_path: Path) -> None:
    """New files hold from the next connection on; bad ones are told, and the old ones hold."""
    files = authority.issue("daemon")
    async with Simulator() as sim, running(with_tls(sim, files)) as daemon:
        before = grpc.ssl_channel_credentials(authority.pem)
        assert "hello" in await asked(daemon.address, before)
        files[0].write_text("nothing")
        assert "hello" in await asked(daemon.address, before)
        line = await daemon.logged("the certificates stay as they were")
        assert "listen.tls.cert_file" in line["why"]
        renewed = Authority(tmp_path, "renewed")
        renewed.issue("daemon")
        after = grpc.ssl_channel_credentials(renewed.pem)
        await until(lambda: files[0].stat().st_size > 10)
        assert "hello" in await asked(daemon.address, after)
        assert "hello" not in await asked(daemon.address, before)


async def test_files_that_are_no_good_at_the_start(authority: Authority) -> None:
    """Missing, over, or a key of another certificate: status 2, and the field is named."""
    good, other = authority.issue("daemon"), authority.issue("other")
    over = authority.issue("over", lasts=-DAY)
    missing = good[0].with_name("missing")
    rows = (
        ((missing, good[1]), f"listen.tls.cert_file {missing} can't be read"),
        ((good[1], good[1]), "has no certificate in PEM form"),
        (over, "over.crt ended on "),
        ((good[0], other[1]), "listen.tls.key_file"),
        ((good[0], good[0]), "has no key in PEM form"),
    )
    async with Simulator() as sim:
        for files, why in rows:
            process = await spawn(with_tls(sim, files))
            _, err = await process.communicate()
            assert (process.returncode, why in err.decode()) == (2, True), err
