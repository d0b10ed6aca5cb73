"""The secret that an encrypted file's names are made with, which lies in the file itself.

It is sealed with the encryption key, and sealed anew when that is rotated:
the names stay as they are, and so all entries are found that one of the keys opens.
"""

import os
from pathlib import Path
from typing import Final

from sidecard.store.cipher import Cipher, Unreadable
from sidecard.store.environment import DATA, LOCKS
from sidecard.store.names import SECRET_BYTES, Names
from sidecard.store.shelf import Shelf
from sidecard.store.trees import Foreign

_ABOUT: Final = b"sidecard names"
_ID_BYTES: Final = 4


def open_shelf(folder: Path, map_bytes: int, cipher: Cipher | None) -> Shelf:
    """Open or create a shelf; a file in the clear is removed where one is to be encrypted.

    Raises `lmdb.Error`, `OSError`, or `Foreign`, that also for a file that another key encrypts.
    """
    held = (folder / DATA).exists()
    shelf = Shelf(folder, map_bytes=map_bytes)
    try:
        if cipher is not None and shelf.sealed is None and held:
            shelf.close()
            for name in (DATA, LOCKS):
                (folder / name).unlink(missing_ok=True)
            shelf = Shelf(folder, map_bytes=map_bytes)
        shelf.trees.names = _names(shelf, cipher)
    except BaseException:
        shelf.close()
        raise
    return shelf


def renew(shelf: Shelf, cipher: Cipher | None) -> None:
    """Seal the secret with the key that encrypts now, if another did; raises `lmdb.Error`."""
    if cipher is None or (shelf.sealed or b"")[:_ID_BYTES] == cipher.key_id:
        return
    shelf.seal(_sealed(shelf.trees.names.secret, cipher))


def _names(shelf: Shelf, cipher: Cipher | None) -> Names:
    sealed = shelf.sealed
    if cipher is None:
        if sealed is not None:
            raise Foreign("it is encrypted, and there is no key")
        return Names()
    if sealed is None:
        secret = os.urandom(SECRET_BYTES)
        shelf.seal(_sealed(secret, cipher))
        return Names(secret)
    key_id, data = sealed[:_ID_BYTES], sealed[_ID_BYTES:]
    try:
        return Names(cipher.open(data, _ABOUT, key_id))
    except Unreadable as error:
        raise Foreign(str(error)) from None


def _sealed(secret: bytes, cipher: Cipher) -> bytes:
    return cipher.key_id + cipher.seal(secret, _ABOUT)
