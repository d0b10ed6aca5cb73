"""What keys, tenants and routes are called in the file.

Where nothing is encrypted a key is called what it is, and a name by a hash.
But a fingerprint is what a question comes to: who guesses the question can work it out,
and would find in the file alone that it was asked, and by whom.
So where entries are encrypted, all of these are hashed with a secret of the file's own.
"""

from hashlib import blake2b
from typing import Final

from sidecard.core.store import KEY_BYTES

SECRET_BYTES: Final = 32
_TAG_BYTES: Final = 8


class Names:
    """Immutable, so safe to share between threads. Without a `secret` anybody can make the same."""

    __slots__ = ("secret",)

    def __init__(self, secret: bytes = b"") -> None:
        self.secret = secret

    def key(self, key: bytes) -> bytes:
        """Return the 32 bytes that an entry lies under."""
        if not self.secret:
            return key
        return blake2b(key, key=self.secret, digest_size=KEY_BYTES).digest()

    def tag(self, name: str) -> bytes:
        """Return 8 bytes that stand for a tenant's or a route's name: it stays out of the file."""
        data = name.encode("utf-8", "surrogatepass")
        return blake2b(data, key=self.secret, digest_size=_TAG_BYTES).digest()

    def __repr__(self) -> str:
        return f"<Names, {'of the file alone' if self.secret else 'plain'}>"
