"""Callers' tokens: who may call, and for which tenant, from a file with a line for each.

    # tenant  token; * is any tenant
    team-a    7f3c9b1e0a6d4c58
    *         2b1d8e4f9a7c6053

Read again when it changes, so that tokens are rotated without a restart: a second line for a
tenant first, then the callers' own, then the first line goes. A new file that is no good is said
loudly, and the tokens before it hold.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sidecard.core.errors import Unauthenticated
from sidecard.core.names import TENANT, TENANT_RULE
from sidecard.server.bad_files import BadTokens

LOOK_EVERY_S: Final = 1.0
TELL_EVERY_S: Final = 10.0
"""Anybody can be refused: that mustn't fill the log."""
ANY: Final = "*"
_MAX_BYTES: Final = 262_144
_TOKEN: Final = re.compile(r"[!-~]{16,512}")
_RULE: Final = "16 to 512 visible ASCII characters"
_SCHEME: Final = "bearer "
_FIX: Final = "send `authorization: Bearer TOKEN` (sidecard's clients: set SIDECARD_TOKEN)"

_log = logging.getLogger(__name__)


Callers = Callable[[str], str]
"""Takes the value of an `authorization` header, and returns the one tenant that it is for, "" for
any; raises `Unauthenticated`."""


class CallerTokens:
    """The tokens as they are now. Safe to share within one event loop; nothing here shows one."""

    def __init__(self, path: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        """Read the file; raises `BadTokens`."""
        self._path = path
        self._now = now
        # What is compared are digests under a key that no caller knows, so that how long it
        # takes to find one tells nothing of a token.
        self._secret = secrets.token_bytes(32)
        self._told_at, self._left_out = float("-inf"), 0
        self._looked_at = now()
        self._stamp = self._looked()
        self._tenants = self._read()

    def tenant(self, authorization: str) -> str:
        """Return whose a token is, "" for anybody's; raises `Unauthenticated`."""
        self._look()
        if not authorization:
            raise self._refused("a token is needed", _FIX)
        given = authorization[len(_SCHEME) :] if authorization.lower().startswith(_SCHEME) else ""
        digest = self._digest(given.strip())
        tenant = self._tenants.get(digest)
        if tenant is None:
            raise self._refused("the token isn't known", f"{_FIX}, with one of this daemon's")
        return "" if tenant == ANY else tenant

    def _refused(self, why: str, mend: str) -> Unauthenticated:
        """Return the error, and tell the log of it, seldom."""
        now = self._now()
        if now - self._told_at < TELL_EVERY_S:
            self._left_out += 1
        else:
            more = {"left_out": self._left_out} if self._left_out else {}
            _log.warning("callers refused", extra={"why": why, **more})
            self._told_at, self._left_out = now, 0
        return Unauthenticated(f"{why}; {mend}")

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._secret, token.encode("utf-8", "replace"), hashlib.sha256)

    def _looked(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _look(self) -> None:
        """Read the file again if it has changed, looking once a second."""
        if self._now() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = self._now()
        stamp = self._looked()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._tenants = self._read()
        except BadTokens as error:
            told = {"why": str(error)}
            _log.error("the callers' tokens stay as they were", extra=told)
        else:
            _log.info("the callers' tokens were read anew", extra={"tokens": len(self._tenants)})

    def _read(self) -> dict[bytes, str]:
        """Return each token's digest and its tenant; raises `BadTokens`."""
        where = f"listen.tokens_file {self._path}"
        try:
            # Not blocking, as to open a pipe would hang the daemon.
            with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise BadTokens(f"{where} can't be read: {error.strerror}") from None
        if len(content) > _MAX_BYTES:
            raise BadTokens(f"{where} is larger than {_MAX_BYTES:,} bytes")
        found = dict[bytes, str]()
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            here = f"{where}, line {number}"
            if len(words) != 2:  # noqa: PLR2004  # a tenant and its token
                raise BadTokens(f"{here}: expected a tenant and a token")
            tenant, token = words
            if tenant != ANY and not TENANT.fullmatch(tenant):
                raise BadTokens(f"{here}: a tenant has to be {TENANT_RULE}, or {ANY}")
            if not _TOKEN.fullmatch(token):
                raise BadTokens(f"{here}: a token has to be {_RULE}")
            digest = self._digest(token)
            if found.setdefault(digest, tenant) != tenant:
                raise BadTokens(f"{here}: the token is another tenant's, too; give each its own")
        if not found:
            raise BadTokens(f"{where} has no token; expected a tenant and a token in each line")
        return found

    def __repr__(self) -> str:
        return f"<{len(self._tenants)} callers' tokens of {self._path}>"
