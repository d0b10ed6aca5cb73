"""Files that the daemon can't start with; `str()` names the file, what is wrong, and the fix."""


class BadTokens(Exception):
    """Callers' tokens that are none; no token is shown."""


class BadCertificates(Exception):
    """Certificates or keys that can't be used, or don't fit together."""
