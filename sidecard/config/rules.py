"""What fields must be to one another: the rules that no field can be checked against alone."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import combinations
from typing import TYPE_CHECKING, Final

from sidecard.config.budget_list import mistakes as of_budgets
from sidecard.config.kinds import is_loopback, split_address
from sidecard.config.price_list import prices_of
from sidecard.config.problems import Mistake, Path, may_be_secret
from sidecard.config.route_rules import mistakes as of_routes
from sidecard.config.routes import DEFAULT_ROUTE, Timeouts
from sidecard.config.schema import Config
from sidecard.policy.redaction import BUILT_IN

if TYPE_CHECKING:
    from sidecard.config.intake import Input
    from sidecard.config.listen import Listen

# Each pair's first is at most its second.
_IN_ORDER: Final = (
    ("connect_s", "first_event_s"),
    ("connect_s", "total_s"),
    ("first_event_s", "total_s"),
    ("idle_s", "total_s"),
)
_CALLED: Final = frozenset({"grpc", "http"})
"""Where calls come to."""
_TLS: Final = (("listen", "tls", "cert_file"), ("listen", "tls", "key_file"))
# gRPC takes both families for either.
_ANY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared, not listened on


def mistakes(config: Config, names: Iterable[str]) -> Iterator[Mistake]:
    """Yield what doesn't go together; `names` are those of all routes, the broken ones too."""
    yield from _listening(config)
    yield from _sending(config)
    yield from _keeping(config)
    yield from _naming(config, tuple(names))
    yield from _pricing(config)
    yield from _hiding(config)
    yield from of_budgets(config)
    yield from _order(config.timeouts)
    yield from of_routes(config, followed(config.timeouts))


def followed(timeouts: Timeouts) -> Timeouts:
    """Return the timeouts with the defaults moved to where those that were set leave room."""
    given = timeouts.model_fields_set
    values: dict[str, float] = timeouts.model_dump()
    for name in values.keys() - given:
        highest = [values[long] for short, long in _IN_ORDER if short == name and long in given]
        lowest = [values[short] for short, long in _IN_ORDER if long == name and short in given]
        values[name] = max([min([values[name], *highest]), *lowest])
    return timeouts.model_copy(update=values)


def _listening(config: Config) -> Iterator[Mistake]:
    listen = config.listen
    addresses: dict[str, tuple[str, int]] = {}
    named = ("grpc", "admin", "http", "health")
    for name, address in [(name, getattr(listen, name)) for name in named]:
        split = None if address is None or address.startswith("unix:") else split_address(address)
        if split is None:
            continue
        addresses[name] = split
        if not is_loopback(split[0]):
            yield from _reached(listen, name, split[0])
    if listen.tls is not None and not addresses.keys() & _CALLED:
        told = "encrypts TCP addresses, and calls come by a socket's file alone; drop it"
        yield Mistake(("listen", "tls"), told, (("listen", "grpc"), ("listen", "http")))
    for (first, taken), (second, own) in combinations(addresses.items(), 2):
        if _clash(taken, own):
            told = f"expected listen.{second} and listen.{first} to be two addresses; both take"
            yield Mistake(("listen", second), f"{told} port {own[1]}", (("listen", first),))


def _reached(listen: "Listen", name: str, host: str) -> Iterator[Mistake]:
    """Yield why an address that other machines reach is none to listen on."""
    allowed = ("tls", "insecure") if name in _CALLED else ("allow_remote",)
    if any(getattr(listen, field) for field in allowed):
        return
    shown = "the host" if may_be_secret(host) else host
    other = " or a unix:/// path" if name == "grpc" else ""
    if name in _CALLED:
        why = "what calls say would travel in clear"
        mend = "set listen.tls, or listen.insecure to true"
    else:
        why, mend = "there is no login", "set listen.allow_remote to true"
    told = f"{shown} can be reached from other machines, and {why}; listen on 127.0.0.1{other}"
    also = [("listen", field) for field in allowed]
    yield Mistake(("listen", name), f"{told}, or {mend}", (*also, *_TLS))


def _clash(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Whether two addresses can't be listened on both; port 0 is a free one each time."""
    if one[1] != other[1] or one[1] == 0:
        return False
    hosts = {one[0].lower(), other[0].lower()}
    local = "localhost" in hosts and all(map(is_loopback, hosts))
    return local or len(hosts) == 1 or bool(hosts & _ANY)


def _sending(config: Config) -> Iterator[Mistake]:
    upstream = config.upstream
    transport, client = ("upstream", "transport"), ("upstream", "sdk_client")
    named = upstream.sdk_client != "anthropic"
    if upstream.transport == "direct" and named:
        told = f"transport direct can't use sdk_client {upstream.sdk_client}"
        yield Mistake(transport, f"{told}; expected sdk or auto", (client,))
    elif upstream.api_key_file is not None and (upstream.transport == "sdk" or named):
        drop = "upstream.sdk_client" if named else "upstream.transport"
        told = (
            "the anthropic package finds its own credentials, and would not use this key; "
            f"drop upstream.api_key_file, or {drop} to send with the key"
        )
        yield Mistake(("upstream", "api_key_file"), told, (transport, client))


def _keeping(config: Config) -> Iterator[Mistake]:
    if config.cache.encryption_key_file is not None and config.data_dir is None:
        told = "encrypts what is on disk, and nothing is; expected data_dir to be set too"
        yield Mistake(("cache", "encryption_key_file"), told, (("data_dir",),))


def _pricing(config: Config) -> Iterator[Mistake]:
    if config.prices.unknown != "refuse":
        return
    prices = prices_of(config)
    for name, route in config.routes.items():
        for index, target in enumerate(route.targets):
            if prices.find(target.model) is None:
                told = (
                    "has no known price, which prices.unknown refuses; expected one in "
                    "prices.models, or prices.unknown: allow"
                )
                at = ("routes", name, "targets", index, "model")
                yield Mistake(at, told, (("prices", "unknown"), ("prices", "models")))


def _hiding(config: Config) -> Iterator[Mistake]:
    known = [*BUILT_IN, *config.redaction.patterns]
    sections: list[tuple[Path, Input]] = [(("input",), config.input)]
    sections += [(("routes", name, "input"), route.input) for name, route in config.routes.items()]
    for at, section in sections:
        for index, name in enumerate(section.redact):
            if name not in known:
                told = f"{name} is nothing that is known; expected one of {', '.join(known)}"
                yield Mistake((*at, "redact", index), told, (("redaction", "patterns"),))


def _naming(config: Config, names: tuple[str, ...]) -> Iterator[Mistake]:
    if DEFAULT_ROUTE not in names:
        told = "expected a route named default too: calls that name no model take it"
        yield Mistake(("routes",), told)
    for name in names:
        matching = (p for p in config.upstream.models if fnmatchcase(name, p))
        # A catch-all pattern must not forbid the route that has to be there.
        if name != DEFAULT_ROUTE and any(matching):
            told = (
                "is also the name of a model that upstream.models allows, so that a call could "
                "mean either; expected another name, narrower patterns, or upstream.models: []"
            )
            yield Mistake(("routes", name), told, (("upstream", "models"),))


def _order(timeouts: Timeouts) -> Iterator[Mistake]:
    given = timeouts.model_fields_set
    for shorter, longer in _IN_ORDER:
        if (shorter, longer) == ("connect_s", "total_s") and "first_event_s" in given:
            continue
        short, long = getattr(timeouts, shorter), getattr(timeouts, longer)
        if short > long and {shorter, longer} <= given:
            told = f"expected timeouts.{shorter} ({short:g}) to be at most "
            at, other = ("timeouts", shorter), ("timeouts", longer)
            yield Mistake(at, f"{told}timeouts.{longer} ({long:g})", (other,))
