"""What of a configuration takes effect in a running daemon, and what only when it starts.

Addresses, files that are open and the way to the upstream belong to the process.
A new configuration that changes one of them isn't refused for it: a limit that has to be lowered
now must not wait until somebody may restart the daemon. So what can't change stays as it is,
is named, and all the rest takes effect.
"""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel

from sidecard.config.schema import Config

AT_START: Final[Mapping[str, frozenset[str]]] = {
    "listen": frozenset(),
    "data_dir": frozenset(),
    "upstream": frozenset({"base_url", "api_key_file", "transport", "sdk_client", "simulate"}),
    "timeouts": frozenset({"connect_s"}),
    "cache": frozenset({"max_bytes", "encryption_key_file"}),
    "redaction": frozenset({"patterns"}),
    "budgets": frozenset({"usage_days"}),
    "log": frozenset({"format"}),
    "traces": frozenset(),
}
"""Sections and those of their fields that are read when the daemon starts; none named: all."""


def is_live(section: str, field: str) -> bool:
    """Whether a change of the field takes effect in a running daemon."""
    fixed = AT_START.get(section)
    return fixed is None or bool(fixed and field not in fixed)


def held(running: Config, wanted: Config) -> tuple[Config, tuple[str, ...]]:
    """Return what can be in force of `wanted`, and the dotted paths of what can't."""
    update: dict[str, object] = {}
    waiting: list[str] = []
    for name in AT_START:
        before, after = getattr(running, name), getattr(wanted, name)
        if not isinstance(after, BaseModel):
            if before != after:
                update[name] = before
                waiting.append(name)
            continue
        changed = [
            field
            for field in type(after).model_fields
            if not is_live(name, field) and getattr(before, field) != getattr(after, field)
        ]
        if changed:
            kept = {field: getattr(before, field) for field in changed}
            update[name] = after.model_copy(update=kept)
            waiting += [f"{name}.{field}" for field in changed]
    return (wanted.model_copy(update=update) if update else wanted), tuple(waiting)
