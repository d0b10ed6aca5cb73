"""Encryption at rest, and the file with its keys."""

import base64
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.store import Purge, StoreKeysKept, StoreSetAside
from sidecard.store.cipher import BadKeyFile, Cipher, Unreadable
from sidecard.store.codec import Codec
from sidecard.store.names import Names
from sidecard.store.shelf import Shelf
from sidecard.store.trees import info_of
from tests.store.conformance import NOW, a_key, an_entry, as_stored
from tests.store.disk import Disk, opened

OLD, NEW, OTHER = (os.urandom(32) for _ in range(3))
SECRET = b"the patient's name is " + os.urandom(16).hex().encode()


@pytest.fixture
def key_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a key file of the given keys."""

    def write(*keys: bytes) -> Path:
        path = tmp_path / "cache.key"
        path.write_bytes(b"\n".join(map(base64.b64encode, keys)) + b"\n")
        return path

    return write


SPELLINGS = {
    "base64": base64.b64encode(OLD),
    "base64 of URLs": base64.urlsafe_b64encode(OLD),
    "unpadded": base64.b64encode(OLD).rstrip(b"="),
    "hexadecimal": OLD.hex().encode(),
    "upper case": OLD.hex().upper().encode(),
}


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("around", [b"%s", b"%s\n", b"  %s\r\n\n"])
def test_a_key_may_be_spelled_in_several_ways(
    tmp_path: Path, key_file: Callable[..., Path], spelled: bytes, around: bytes
) -> None:
    """Base64 or hexadecimal, with white space around it, is the same key."""
    path = tmp_path / "spelled.key"
    path.write_bytes(around % spelled)
    sealed = Cipher(path).seal(b"payload", b"about")
    assert Cipher(key_file(OLD)).open(sealed, b"about", Cipher(path).key_id) == b"payload"


BAD = {
    "empty": (b" \n", "is empty"),
    "short": (base64.b64encode(OLD[:31]), "key 1: not 32 bytes"),
    "long": (base64.b64encode(OLD + b"x"), "key 1: not 32 bytes"),
    "second": (base64.b64encode(OLD) + b"\nnonsense!", "key 2: not 32 bytes"),
    "not hexadecimal": (b"x" * 64, "key 1: not hexadecimal"),
    "three": (b"\n".join([base64.b64encode(OLD)] * 3), "more than two keys"),
}


@pytest.mark.parametrize(("text", "why"), BAD.values(), ids=BAD)
def test_a_bad_key_file_is_refused(tmp_path: Path, text: bytes, why: str) -> None:
    """The error names file and reason, and shows nothing of the content."""
    path = tmp_path / "cache.key"
    path.write_bytes(text)
    with pytest.raises(BadKeyFile, match=why) as raised:
        Cipher(path)
    assert str(path) in str(raised.value)
    assert text.decode().strip()[:20] not in str(raised.value) or not text.strip()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder and a pipe are told apart from a key, without waiting."""
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "fifo"):
        with pytest.raises(BadKeyFile):
            Cipher(path)


@given(st.binary(max_size=20_000))
def test_what_is_sealed_comes_back(value: bytes) -> None:
    """Encrypted records hold any value; two of one value differ."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_text(OLD.hex())
        codec, key = Codec(Cipher(Path(file.name))), a_key()
    first, second = (codec.pack(key, an_entry(value)) for _ in range(2))
    assert first != second
    assert codec.unpack(key, first) == codec.unpack(key, second) == as_stored(an_entry(value))


async def test_answers_are_not_on_disk_in_the_clear(
    tmp_path: Path, key_file: Callable[..., Path]
) -> None:
    """With a key no file of the folder shows a value, a tenant or a route."""
    async with opened(Disk(tmp_path / "c", cipher=Cipher(key_file(OLD)))) as disk:
        disk.store.put(a_key(), an_entry(SECRET, tenant="acme-tenant", route="acme-route"))
        await disk.store.flush()
        for file in disk.folder.iterdir():
            data = file.read_bytes()
            assert not any(word in data for word in (SECRET, b"acme-tenant", b"acme-route"))


async def test_a_rotated_key_reads_and_the_new_one_writes(
    tmp_path: Path, key_file: Callable[..., Path]
) -> None:
    """Both keys decrypt, the first encrypts; without the old one its entries are misses."""
    old, new = a_key(), a_key()
    async with opened(Disk(tmp_path / "c", cipher=Cipher(key_file(OLD)))) as disk:
        disk.store.put(old, an_entry(SECRET))
    async with opened(Disk(tmp_path / "c", cipher=Cipher(key_file(NEW, OLD)))) as disk:
        assert disk.store.get(old, NOW) == as_stored(an_entry(SECRET))
        disk.store.put(new, an_entry(SECRET))
    async with opened(Disk(tmp_path / "c", cipher=Cipher(key_file(NEW)))) as disk:
        assert disk.store.get(new, NOW) == as_stored(an_entry(SECRET))
        assert disk.store.get(old, NOW) is None
        assert disk.store.stats().unreadable == 1
        disk.store.put(old, an_entry(b"asked again"))
        await disk.store.flush()
        assert disk.store.get(old, NOW) == as_stored(an_entry(b"asked again"))


async def test_a_key_file_is_read_again(tmp_path: Path, key_file: Callable[..., Path]) -> None:
    """A rotation needs no restart; a broken file is told, and the keys of before hold."""
    path = key_file(OLD)
    async with opened(Disk(tmp_path / "c", cipher=Cipher(path))) as disk:
        key = a_key()
        disk.store.put(key, an_entry(SECRET))
        await disk.store.flush()
        path.write_text("half a k")
        await disk.until(lambda: len(disk.said(StoreKeysKept)) == 1)
        assert disk.store.get(key, NOW) is not None
        key_file(NEW)
        await disk.until(lambda: disk.store.get(key, NOW) is None)
        assert disk.store.stats().unreadable > 0
        key_file(NEW, OLD)
        await disk.until(lambda: disk.store.get(key, NOW) is not None)


async def test_encrypted_entries_need_their_key(
    tmp_path: Path, key_file: Callable[..., Path]
) -> None:
    """Without encryption, or with another's key, their file waits aside until it is put back."""
    for name, cipher in (("none", None), ("other", Cipher(key_file(OTHER)))):
        folder, key = tmp_path / name, a_key()
        async with opened(Disk(folder, cipher=Cipher(key_file(OLD)))) as disk:
            disk.store.put(key, an_entry(SECRET))
        async with opened(Disk(folder, cipher=cipher)) as disk:
            assert disk.store.get(key, NOW) is None
            [note] = disk.said(StoreSetAside)
            assert isinstance(note, StoreSetAside)
            assert "encrypted" in note.why
        Path(note.file).rename(disk.data)
        async with opened(Disk(folder, cipher=Cipher(key_file(OLD)))) as disk:
            assert disk.store.get(key, NOW) == as_stored(an_entry(SECRET))


async def test_a_guess_finds_nothing_in_the_file(
    tmp_path: Path, key_file: Callable[..., Path]
) -> None:
    """Who has the file alone can't see whether a question was asked, nor by which tenant."""
    key, cipher = a_key(), Cipher(key_file(OLD))
    for name, its, shown in (("plain", None, True), ("a", cipher, False), ("b", cipher, False)):
        async with opened(Disk(tmp_path / name, cipher=its)) as disk:
            disk.store.put(key, an_entry(SECRET, tenant="acme"))
        data = disk.data.read_bytes()
        assert (key in data, Names().tag("acme") in data) == (shown, shown)
    assert _tags(tmp_path / "a") != _tags(tmp_path / "b")


def _tags(folder: Path) -> set[bytes]:
    """Return what the tenants of all entries are called in a file."""
    shelf = Shelf(folder, map_bytes=4 << 20)
    with shelf.begin() as txn, txn.cursor(shelf.trees.info) as cursor:
        found = {info.tenant for key, data in cursor.iternext() if (info := info_of(key, data))}
    shelf.close()
    return found


async def test_a_rotation_without_a_restart_outlives_one(
    tmp_path: Path, key_file: Callable[..., Path]
) -> None:
    """What was written under the new key is found by a daemon that never saw the old one."""
    key, path = a_key(), key_file(OLD)
    async with opened(Disk(tmp_path / "c", cipher=Cipher(path))) as disk:
        before = disk.store._codec.cipher
        assert before is not None
        old = before.key_id
        key_file(NEW)
        await disk.until(lambda: before.key_id != old)
        disk.store.put(key, an_entry(SECRET))
    async with opened(Disk(tmp_path / "c", cipher=Cipher(path))) as disk:
        assert disk.store.get(key, NOW) == as_stored(an_entry(SECRET))
        assert disk.said(StoreSetAside) == []


async def test_a_rotation_hides_nothing_from_a_purge(
    tmp_path: Path, key_file: Callable[..., Path]
) -> None:
    """Tenants are called in the file as before, also when the old key has gone."""
    async with opened(Disk(tmp_path / "c", cipher=Cipher(key_file(OLD)))) as disk:
        for tenant in ("acme", "acme", "globex"):
            disk.store.put(a_key(), an_entry(SECRET, tenant=tenant))
    for keys in ((NEW, OLD), (NEW,)):
        async with opened(Disk(tmp_path / "c", cipher=Cipher(key_file(*keys)))) as disk:
            assert disk.store.stats().entries == 3
    async with opened(Disk(tmp_path / "c", cipher=Cipher(key_file(NEW)))) as disk:
        assert await disk.store.purge(Purge(tenant="acme")) == 2
        assert disk.said(StoreSetAside) == []


async def test_what_was_in_the_clear_goes(tmp_path: Path, key_file: Callable[..., Path]) -> None:
    """Where entries are encrypted from now on, none of before is left to be read."""
    key = a_key()
    async with opened(Disk(tmp_path / "c")) as disk:
        disk.store.put(key, an_entry(SECRET))
        await disk.store.flush()
        await disk.store.purge(Purge(tenant="acme"))
        disk.store.put(key, an_entry(SECRET))
    async with opened(Disk(tmp_path / "c", cipher=Cipher(key_file(OLD)))) as disk:
        assert disk.store.get(key, NOW) is None
        assert not any(SECRET in file.read_bytes() for file in disk.folder.iterdir())
        disk.store.put(key, an_entry(SECRET))
        await disk.store.flush()
        assert disk.store.get(key, NOW) is not None


def test_an_entry_cant_pass_for_another(key_file: Callable[..., Path]) -> None:
    """Key and moments are authenticated: moved or redated, a record doesn't open."""
    cipher = Cipher(key_file(OLD))
    sealed = cipher.seal(b"payload", b"key and header")
    with pytest.raises(Unreadable):
        cipher.open(sealed, b"another's", cipher.key_id)
    with pytest.raises(Unreadable):
        cipher.open(sealed[:5], b"key and header", cipher.key_id)
