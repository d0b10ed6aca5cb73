"""Files that the daemon can't start with; `str()` names the file, what is wrong, and the fix."""


class BadTokens(Exception):
    """Callers' tokens that are none; no token is shown."""
