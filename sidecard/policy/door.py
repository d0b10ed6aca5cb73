"""Door: closed by a 429's retry-after for everybody, and opened with care.

When its time is over one call tries, and another each second, until one is answered:
a crowd that rushes in at the moment that it opens would have it closed again.
"""

from typing import Final

_TRY_EVERY_S: Final = 1.0


class Door:
    """State: until when it is closed, and whether that it opens is still to be tried.

    `tried` says that nothing holds here.
    """

    __slots__ = ("_closed_until", "_longest_s", "_reopens_at", "_try_every_s", "tried")

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._closed_until = self._reopens_at = 0.0
        self._try_every_s = _TRY_EVERY_S
        self.tried = True

    def wait_s(self, now: float) -> float:
        """Return the seconds until somebody may pass, 0 for now."""
        return 0.0 if self.tried else max(self._closed_until - now, 0.0)

    def close(self, for_s: float, now: float) -> bool:
        """Let nobody through for `for_s` seconds, `longest_s` at most; return if it was open."""
        for_s = min(for_s, self._longest_s)
        if for_s <= 0.0:
            return False
        before = self._closed_until
        self._closed_until = self._reopens_at = max(before, now + for_s)
        self._try_every_s = min(_TRY_EVERY_S, for_s)
        self.tried = False
        return before <= now

    def configure(self, longest_s: float, now: float) -> None:
        """Close for `longest_s` at most from now on, also where it is closed already."""
        self._longest_s = longest_s
        self._closed_until = min(self._closed_until, now + longest_s)
        self._reopens_at = min(self._reopens_at, self._closed_until)

    def doubt(self, now: float) -> None:
        """Let one through now, and others at the pace of trying."""
        self._closed_until = self._reopens_at = now
        self._try_every_s = _TRY_EVERY_S
        self.tried = False

    def passed(self, now: float) -> None:
        """Note that a call goes through."""
        if not self.tried:
            self._closed_until = max(self._closed_until, now + self._try_every_s)

    def answered(self, passed_at: float) -> None:
        """Note that the upstream took a call; only one that passed since it closed tells."""
        if passed_at >= self._reopens_at:
            self.tried = True
            self._closed_until = 0.0

    def __repr__(self) -> str:
        return f"<Door {'open' if self.tried else 'closed or to be tried'}>"
