"""What fields of routes, of targets and of the sections that they override must be to one another.

A section is judged as it is in force: with what is set at a route or a target over what is set
for all, so that each of the two can be right and both together a mistake.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sidecard.config.caching import Keeping
from sidecard.config.kinds import Section
from sidecard.config.problems import Mistake, Path, dotted, shown
from sidecard.config.resilience import Admission, Breaker, Hedge, Retry
from sidecard.config.routes import Route, Target, Timeouts
from sidecard.config.schema import Config

_OF_ROUTES: Final = ("retry", "hedge", "admission", "cache", "structured")
_OF_MODELS: Final = ("breaker", "limits", "timeouts")
_TIMEOUTS_OF_MODELS: Final = frozenset({"first_event_s", "idle_s"})


@dataclass(slots=True)
class _Own:
    """What is set of one section elsewhere than for all: where, and the place of each field."""

    name: str
    around: Sequence[Path] = ()
    places: dict[str, Path] = field(default_factory=dict)
    values: dict[str, object] = field(default_factory=dict)

    def place(self, name: str) -> Path:
        """Return where the value of a field comes from."""
        return self.places.get(name, (self.name, name))


def mistakes(config: Config, timeouts: Timeouts) -> Iterator[Mistake]:
    """Yield what doesn't go together; `timeouts` are those for all that are in force."""
    for name in (*_OF_ROUTES, *_OF_MODELS):
        yield from _order(config, _Own(name))
    for name, route in config.routes.items():
        here: Path = ("routes", name)
        yield from _lengths(route, here)
        yield from _repeated(route, here)
        yield from _static(route, here)
        yield from _stale(config, route, here)
        yield from _budget(route, here)
        for section in _OF_ROUTES:
            own = _Own(section, [here])
            _collect(own, getattr(route, section), (*here, section))
            yield from _order(config, own)
    for places in _by_model(config).values():
        for section in _OF_MODELS:
            own = _Own(section, [path for path, _ in places])
            for path, target in places:
                yield from _collect(own, getattr(target, section), (*path, section))
            yield from _order(config, own)
            if section == "timeouts":
                yield from _waits(own, timeouts)


def _by_model(config: Config) -> Mapping[str, list[tuple[Path, Target]]]:
    found: dict[str, list[tuple[Path, Target]]] = {}
    for name, route in config.routes.items():
        for index, target in enumerate(route.targets):
            found.setdefault(target.model, []).append((("routes", name, "targets", index), target))
    return found


def _collect(own: _Own, section: Section, at: Path) -> list[Mistake]:
    """Add what is set in a section; return where it isn't what was set for the model before."""
    conflicts: list[Mistake] = []
    for name in type(section).model_fields:
        if name not in section.model_fields_set:
            continue
        value, place = getattr(section, name), (*at, name)
        if own.values.setdefault(name, value) != value:
            told = (
                f"expected {shown(own.values[name])}, as {dotted(own.places[name])} has it for "
                f"the same model, got {shown(value)}; what is set in one route holds in all"
            )
            conflicts.append(Mistake(place, told, (own.places[name],)))
        own.places.setdefault(name, place)
    return conflicts


def _pairs(section: Section) -> Iterator[tuple[str, str, str]]:
    """Yield fields of which the first is at most the second, and the one that makes it so."""
    match section:
        case Retry():
            yield "base_s", "max_delay_s", ""
            yield "max_attempts", "max_attempts_per_call", ""
        case Breaker():
            yield "open_s", "max_open_s", ""
            if section.window == "count":
                yield "minimum_calls", "window_calls", "window"
        case Admission(adaptive=True):
            yield "adaptive_min", "in_flight", "adaptive"
        case Hedge() if section.delay_s is not None:
            yield "min_delay_s", "delay_s", ""
        case Keeping():
            yield "stale_while_revalidate_s", "stale_if_error_s", ""


def _order(config: Config, own: _Own) -> Iterator[Mistake]:
    """Yield what is out of order in a section as it is in force, where that isn't all's."""
    if own.around and not own.values:
        return
    section: Section = getattr(config, own.name).model_copy(update=own.values)
    for shorter, longer, switch in _pairs(section):
        short, long = getattr(section, shorter), getattr(section, longer)
        if short <= long:
            continue
        names = (shorter, longer, switch) if switch else (shorter, longer)
        at, *others = map(own.place, names)
        told = _too_much(at, short, others[0], long)
        if switch:
            told += f", as {dotted(others[1])} is {shown(getattr(section, switch))}"
        # What failed at a route or a target isn't what the value for all stands for.
        meant = [(*path, own.name, name) for path in own.around for name in names]
        yield Mistake(at, told, (*others, *meant))


def _too_much(at: Path, value: float, other: Path, most: float) -> str:
    first, second = (f"{n:g}" if isinstance(n, float) else str(n) for n in (value, most))
    return f"expected {dotted(at)} ({first}) to be at most {dotted(other)} ({second})"


def _waits(own: _Own, timeouts: Timeouts) -> Iterator[Mistake]:
    for name, value in own.values.items():
        if name not in _TIMEOUTS_OF_MODELS:
            told = "can't be set for one target; expected first_event_s or idle_s, or"
            yield Mistake(own.places[name], f"{told} timeouts.{name} for all")
        elif isinstance(value, int | float) and value > timeouts.total_s:
            at, total = own.places[name], ("timeouts", "total_s")
            yield Mistake(at, _too_much(at, value, total, timeouts.total_s), (total,))


def _lengths(route: Route, here: Path) -> Iterator[Mistake]:
    most = route.targets[0].max_output_tokens
    if most is not None and route.max_tokens > most:
        told = (
            f"expected max_tokens ({route.max_tokens}) to be at most max_output_tokens of the "
            f"route's first target ({most}), which would refuse every call that doesn't say"
        )
        target = (*here, "targets", 0, "max_output_tokens")
        yield Mistake((*here, "max_tokens"), told, (target,))


def _repeated(route: Route, here: Path) -> Iterator[Mistake]:
    first: dict[str, int] = {}
    for index, target in enumerate(route.targets):
        before = first.setdefault(target.model, index)
        if before != index:
            one, other = ((*here, "targets", i, "model") for i in (before, index))
            told = f"is the model of {dotted(one[:-1])} too; expected each once in a route"
            yield Mistake(other, told, (one,))


def _static(route: Route, here: Path) -> Iterator[Mistake]:
    if "static" in route.last_resorts and not route.static_message:
        told = "static needs a text to answer with; expected static_message to be set too"
        yield Mistake((*here, "last_resorts"), told, ((*here, "static_message"),))


def _stale(config: Config, route: Route, here: Path) -> Iterator[Mistake]:
    if "stale" not in route.last_resorts:
        return
    for name, wanted in (("enabled", "true"), ("stale_if_error_s", "more than 0")):
        own = name in route.cache.model_fields_set
        if not getattr(route.cache if own else config.cache, name):
            at = (*here, "cache", name) if own else ("cache", name)
            told = f"stale answers come from the cache; expected {dotted(at)} to be {wanted}"
            yield Mistake((*here, "last_resorts"), told, (at,))


def _budget(route: Route, here: Path) -> Iterator[Mistake]:
    for name in type(route.retry).model_fields:
        if name.startswith("budget_") and name in route.retry.model_fields_set:
            told = "can't be set for one route, as the budget is one for the whole daemon"
            yield Mistake((*here, "retry", name), f"{told}; expected retry.{name}")
