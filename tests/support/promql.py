"""What a PromQL text names: the families of metrics in it."""

import re

_NAME = re.compile(r"\bsidecard_[a-z_]+\b")
_PARTS = ("_bucket", "_sum", "_count")


def families(expression: str) -> set[str]:
    """Return the families that an expression reads; a histogram's parts are its own."""
    found = set()
    for name in _NAME.findall(expression):
        part = next((part for part in _PARTS if name.endswith(f"_seconds{part}")), "")
        found.add(name.removesuffix(part))
    return found
