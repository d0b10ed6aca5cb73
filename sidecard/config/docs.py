"""The page `docs/config.md`: `python -m sidecard.config.docs` makes it of the schema."""

import json
import sys
from collections.abc import Iterator
from inspect import getdoc
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sidecard.config.budgets import BudgetLimit, Budgets
from sidecard.config.listen import Listen, Tls
from sidecard.config.live import AT_START
from sidecard.config.prices import ModelPrice, PriceList
from sidecard.config.routes import Route, Target
from sidecard.config.schema import Config
from sidecard.core.jsonio import JsonValue

EXAMPLE: Final = """\
upstream:
  api_key_file: /run/secrets/anthropic/key
routes:
  default:
    targets: [{model: claude-sonnet-5-5}, {model: claude-haiku-5-5}]
  thorough:
    max_tokens: 32000
    targets:
      - model: claude-opus-5-5
        max_output_tokens: 64000
        timeouts: {first_event_s: 120}
        limits: {output_tokens_per_minute: 20000}
    last_resorts: [stale, static]
    static_message: This takes longer than usual. Please ask again in a few minutes.
    retry: {max_attempts: 2}
    cache: {ttl_s: 600}
timeouts:
  total_s: 300
budgets:
  limits:
    - {name: all, dollars: 500, per: month, zone: Europe/Berlin}
    - {name: each-tenant, dollars: 20, per: day, tenant: "*", beyond: step_down}
    - {name: tests, calls: 1000, per: hour, window: rolling, labels: {env: test}}
prices:
  models:
    claude-internal-*: {input: 2.5, output: 12.5, cache_read: 0.25}
log:
  format: json
"""

WAITS: Final = " Changes at a restart."

_HEAD: Final = f"""\
# Configuration

<!-- Made from the schema in sidecard/config by `python -m sidecard.config.docs`. -->

With no configuration at all the daemon serves, and with no key either it simulates.
`sidecard check` lists every mistake in a configuration, and `sidecard serve` refuses to start
with the same list.

A value comes from the first of these that has it:

1. a flag of the command,
2. the environment: `SIDECARD_<SECTION>__<FIELD>`, as `SIDECARD_TIMEOUTS__IDLE_S=30`.
   Lists and mappings are written as in JSON: `SIDECARD_UPSTREAM__MODELS='["claude-*"]'`.
   A route is set by `SIDECARD_ROUTES__<NAME>` or a field of it by
   `SIDECARD_ROUTES__<NAME>__<FIELD>`, as `SIDECARD_ROUTES__DEFAULT__RETRY__MAX_ATTEMPTS=2`.
   What is no section's has no second part: `SIDECARD_DATA_DIR`.
   An empty variable counts as not set,
3. the YAML file at `--config`, or else at `$SIDECARD_CONFIG`,
4. the default.

`ANTHROPIC_BASE_URL` counts too: it is the default of `upstream.base_url`.

The sections `retry`, `hedge`, `admission`, `cache`, `input` and `structured` hold for all routes,
`breaker`, `limits` and `timeouts` for all targets. A route or a target may have a section of that
name with the fields in which it differs; only those replace the ones for all.

A changed file takes effect while the daemon runs, within two seconds: see [reload.md](reload.md).
What only a restart changes says so below; all else is live.

Unknown keys, keys that are given twice and unknown `SIDECARD_` variables are mistakes.
So is a file of no bytes, as it may be half written; `{{}}` or a comment stands for the defaults.
YAML is read as version 1.2 has it: `no` is a text, and so is `0600`.

```yaml
{EXAMPLE}```

## The key, and whether answers are real

The first of these that holds decides:

1. `upstream.simulate: always`: answers are simulated.
2. `upstream.transport: sdk`, or an `upstream.sdk_client` other than `anthropic`:
   the `anthropic` package finds its credentials.
3. `upstream.api_key_file`, else `$ANTHROPIC_API_KEY`: the API, with that key.
4. `upstream.transport: auto`, and the environment has credentials for the `anthropic` package:
   `ANTHROPIC_AUTH_TOKEN`, `ANTHROPIC_PROFILE`, `ANTHROPIC_CONFIG_DIR`,
   or workload identity (`ANTHROPIC_FEDERATION_RULE_ID`, `ANTHROPIC_ORGANIZATION_ID`
   and `ANTHROPIC_IDENTITY_TOKEN` or `ANTHROPIC_IDENTITY_TOKEN_FILE`).
5. `upstream.simulate: auto`, and nothing says that a real upstream is meant: no file,
   no other setting of `upstream`, no `ANTHROPIC_BASE_URL` and no variable of 3 and 4,
   no Kubernetes:
   answers are simulated.
6. Otherwise the missing key is a mistake.
"""


def page() -> str:
    """Return the page's text."""
    return "\n".join((_HEAD, *_sections()))


def contents() -> str:
    """Return a table of the sections, as the README has it."""
    rows = []
    for name, field in Config.model_fields.items():
        section, count, text = field.annotation, "-", field.description
        if isinstance(section, type) and issubclass(section, BaseModel):
            count, text = str(len(section.model_fields)), getdoc(section)
        [first, *_] = (text or "").split("\n\n")
        sentence = first.replace("\n", " ").split(". ")[0].rstrip(".")
        rows.append(f"| [`{name}`](docs/config.md#{name}) | {count} | {sentence} |")
    return "\n".join(("| Section | Fields | |", "|---|---:|---|", *rows))


def _sections() -> Iterator[str]:
    for name, field in Config.model_fields.items():
        section = field.annotation
        waits = "" if name not in AT_START or AT_START[name] else WAITS
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield f"## `{name}`\n\n{getdoc(section)}{waits}\n\n{_table(section, name)}"
            if section is Listen:
                yield f"### `listen.tls`\n\n{getdoc(Tls)}\n\n{_table(Tls)}"
            if section is Budgets:
                yield f"### A budget\n\n{getdoc(BudgetLimit)}\n\n{_table(BudgetLimit)}"
            if section is PriceList:
                yield f"### A model's price\n\n{getdoc(ModelPrice)}\n\n{_table(ModelPrice)}"
        elif name != "routes":
            yield f"## `{name}`\n\n{field.description}{waits}\nDefault: {_default(field)}\n"
        else:
            default = json.dumps({name: _set(route) for name, route in Config().routes.items()})
            yield f"## `{name}`\n\n{field.description}\nDefault: `{default}`\n"
            yield f"### A route\n\n{getdoc(Route)}\n\n{_table(Route)}"
            yield f"### A target\n\n{getdoc(Target)}\n\n{_table(Target)}"


def _table(section: type[BaseModel], of: str = "") -> str:
    fixed = AT_START.get(of, frozenset())
    rows = [
        f"| `{name}` | {_default(field)} | {field.description}{WAITS if name in fixed else ''} |"
        for name, field in section.model_fields.items()
    ]
    return "\n".join(("| Field | Default | Meaning |", "|---|---|---|", *rows, ""))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    return f"`{json.dumps(_set(default) if isinstance(default, BaseModel) else default)}`"


def _set(section: BaseModel) -> JsonValue:
    return section.model_dump(mode="json", exclude_unset=True)


if __name__ == "__main__":
    sys.stdout.write(page())
