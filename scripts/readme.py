"""Write the README's tables from the code, between their marks, or (--check) say if they are stale.

    python -m scripts.readme [--check]

What a configuration's section or a family of metrics is for is said once, where it is defined;
here is only which families belong together.
"""

import sys
from pathlib import Path
from typing import Final

from sidecard.config import docs
from sidecard.telemetry.metrics import Metrics

README: Final = Path(__file__).resolve().parent.parent / "README.md"
PREFIX: Final = "sidecard_"

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "Calls and RPCs": ("calls_", "call_", "first_event_", "output_token_", "rpc"),
    "Attempts and retries": ("attempt", "retries_", "retry_", "hedges_", "moves_", "streams_"),
    "Targets": ("breaker_", "limit_", "rate_limit_", "misconfigured_", "upstream_"),
    "Places and queues": ("in_flight", "queued", "shed_"),
    "Cache": ("cache_", "flights"),
    "Money and tokens": ("cost_", "tokens_", "budget_", "ledger_", "prices_"),
    "Outputs with a schema": ("outputs_",),
    "Configuration": ("config_",),
    "The daemon": ("event_loop_", "spans_", "info"),
    "The same, by OpenTelemetry's names": ("gen_ai_",),
}
"""What operators look for together, by how the names of its families begin."""


def group(family: str) -> str:
    """Return the group of a family of metrics; raises ValueError unless it is in just one."""
    name = family.removeprefix(PREFIX)
    found = [title for title, beginnings in GROUPS.items() if name.startswith(beginnings)]
    if len(found) != 1:
        raise ValueError(f"{family} is in {found or 'no group'}; see GROUPS in scripts/readme.py")
    return found[0]


def metrics() -> str:
    """Return a table of the families, group by group."""
    families: dict[str, list[str]] = {title: [] for title in GROUPS}
    for family in Metrics(lambda: ()).families:
        families[group(family.name)].append(f"`{family.name.removeprefix(PREFIX)}`")
    rows = [f"| {title} | {', '.join(names)} |" for title, names in families.items()]
    return "\n".join((f"| About | Families (`{PREFIX}…`) |", "|---|---|", *rows))


def written(text: str) -> str:
    """Return a README's text with its tables made anew; raises ValueError if a mark is missing."""
    for name, table in (("sections", docs.contents()), ("metrics", metrics())):
        opening, closing = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
        before, begun, rest = text.partition(opening)
        _, ended, after = rest.partition(closing)
        if not begun or not ended:
            raise ValueError(f"the README has no {opening.strip()} … {closing.strip()}")
        text = before + opening + table + closing + after
    return text


def main() -> int:
    """Write the README, or say whether that would change it; return 1 where it would."""
    old = README.read_text(encoding="utf-8")
    new = written(old)
    if "--check" not in sys.argv[1:]:
        README.write_text(new, encoding="utf-8")
    elif new != old:
        sys.stderr.write("README.md is stale: python -m scripts.readme\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
