"""The files of listen.tls are found good or not before anybody connects."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from sidecard.config.certificates import BadCertificates, read
from sidecard.config.listen import Tls
from sidecard.config.plan import plan
from sidecard.config.problems import ConfigError
from tests.support.certificates import Issuer, Pair


def tls(pair: Pair, client_ca: Path | None = None) -> Tls:
    return Tls(
        cert_file=str(pair.cert),
        key_file=str(pair.key),
        client_ca_file=str(client_ca) if client_ca else None,
    )


def missing(folder: Path) -> Tls:
    pair = Issuer(folder).issue("own")
    pair.cert.unlink()
    return tls(pair)


def swapped(folder: Path) -> Tls:
    pair = Issuer(folder).issue("own")
    return tls(Pair(pair.key, pair.cert))


def no_key(folder: Path) -> Tls:
    pair = Issuer(folder).issue("own")
    return tls(Pair(pair.cert, pair.cert))


def mismatched(folder: Path) -> Tls:
    issuer = Issuer(folder)
    return tls(Pair(issuer.issue("own").cert, issuer.issue("other").key))


def locked(folder: Path) -> Tls:
    return tls(Issuer(folder).issue("own", passphrase=b"secret"))


def expired(folder: Path) -> Tls:
    return tls(Issuer(folder).issue("own", lasts=timedelta(minutes=-1)))


def huge(folder: Path) -> Tls:
    pair = Issuer(folder).issue("own")
    pair.cert.write_bytes(b"x" * 1_048_577)
    return tls(pair)


def a_pipe(folder: Path) -> Tls:
    pair = Issuer(folder).issue("own")
    pair.key.unlink()
    os.mkfifo(pair.key)
    return tls(pair)


def no_issuer(folder: Path) -> Tls:
    pair = Issuer(folder).issue("own")
    return tls(pair, pair.key)


BAD: dict[Callable[[Path], Tls], tuple[str, str]] = {
    missing: ("cert_file", "own.pem can't be read: No such file or directory"),
    swapped: ("cert_file", "own.key has no certificate; expected `BEGIN CERTIFICATE` in PEM"),
    no_key: ("key_file", "own.pem has no private key; expected `BEGIN PRIVATE KEY` in PEM"),
    mismatched: ("key_file", "expected the one that it was issued for"),
    locked: ("key_file", "own.key is encrypted; expected a key without a passphrase"),
    expired: ("cert_file", "UTC; expected a renewed one"),
    huge: ("cert_file", "is larger than 1,048,576 bytes"),
    a_pipe: ("key_file", "has no private key"),
    no_issuer: ("client_ca_file", "own.key has no certificate"),
}


@pytest.mark.parametrize("made", BAD, ids=lambda made: made.__name__)
def test_a_bad_file_is_named_with_its_fix(made: Callable[[Path], Tls], tmp_path: Path) -> None:
    """The field and the file, what is wrong, and what was expected; and nothing of a key."""
    with pytest.raises(BadCertificates) as caught:
        read(made(tmp_path))
    assert (caught.value.field, True) == (BAD[made][0], BAD[made][1] in str(caught.value))
    assert "BEGIN EC" not in str(caught.value)


def test_good_files_are_taken_and_the_key_is_not_shown(tmp_path: Path) -> None:
    """What was read goes to the servers, and its key into no log."""
    issuer = Issuer(tmp_path)
    found = read(tls(issuer.issue("own"), issuer.file))
    assert found.client_ca == issuer.file.read_bytes()
    assert b"PRIVATE KEY" in found.key
    assert "PRIVATE" not in repr(found)


def test_a_bad_certificate_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    """It is told with all others, at its place in the file, before anything starts."""
    bad = mismatched(tmp_path)
    file = tmp_path / "sidecard.yaml"
    file.write_text(
        f"listen:\n  grpc: 0.0.0.0:0\n  tls:\n    cert_file: {bad.cert_file}\n"
        f"    key_file: {bad.key_file}\nlog: {{level: loud}}\nupstream: {{simulate: always}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        plan(file, {}, {})
    found = {problem.path: str(problem) for problem in caught.value.problems}
    assert found.keys() == {"listen.tls.key_file", "log.level"}
    assert found["listen.tls.key_file"].endswith(f"(file {file}, line 5)")
