"""The operator's token: what an order has to carry, from a file.

Read at each order, which are few, so that it can be rotated without a restart.
"""

import contextlib
import errno
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Final

_MAX_BYTES: Final = 4096
_BYTES: Final = 32
_SCHEME: Final = "bearer"


class AdminToken:
    """The token in a file. Nothing here shows it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def made(cls, path: Path) -> "AdminToken":
        """Return the token in a file, which is made where it is missing, for its owner alone.

        Raises OSError where it can't be, or where others can read it or have put it there. Its
        group may: Kubernetes lets a volume's group in.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(_BYTES) + "\n")
            # Linked when it is whole, so that nobody ever finds half of it.
            with contextlib.suppress(FileExistsError):
                os.link(new, path)
        finally:
            new.unlink(missing_ok=True)
        found = path.lstat()
        own = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        if not own or found.st_mode & stat.S_IRWXO:
            raise PermissionError(
                errno.EPERM, f"{path} isn't the daemon's own file, or open to all"
            )
        return cls(path)

    def accepts(self, authorization: str) -> bool:
        """Whether the value of an `authorization` header has the token; raises OSError."""
        with self._path.open("rb") as file:
            token = file.read(_MAX_BYTES).strip()
        scheme, _, given = authorization.partition(" ")
        # An empty file is no token, and lets nobody in.
        same = hmac.compare_digest(token, given.strip().encode("utf-8", "replace"))
        return bool(token) and same and scheme.lower() == _SCHEME

    def __repr__(self) -> str:
        return f"<AdminToken in {self._path}>"
