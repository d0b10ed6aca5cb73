"""What is in force for one route or one model: what is set there, over what is set for all.

A model's breaker, limits and timeouts are the same in every route, so they are found by the model
alone; the rules refuse routes that would set them differently. Routes and models that no
configuration names have what is set for all.
"""

from collections.abc import Iterator
from typing import TypeVar

from sidecard.config.caching import Keeping
from sidecard.config.intake import Input
from sidecard.config.kinds import Section
from sidecard.config.resilience import Admission, Breaker, Hedge, Limits, Retry
from sidecard.config.routes import Target, Timeouts
from sidecard.config.schema import Config
from sidecard.config.structured import Structured

_AnySection = TypeVar("_AnySection", bound=Section)


def over(section: _AnySection, *own: _AnySection) -> _AnySection:
    """Return a section with the fields that are set in others in place of its own."""
    update = {name: getattr(one, name) for one in own for name in one.model_fields_set}
    return section.model_copy(update=update) if update else section


def retry_of(config: Config, route: str) -> Retry:
    """Return how the calls of a route are retried; the budget's fields are those of all."""
    found = config.routes.get(route)
    return over(config.retry, found.retry) if found else config.retry


def hedge_of(config: Config, route: str) -> Hedge:
    """Return how the calls of a route are hedged."""
    found = config.routes.get(route)
    return over(config.hedge, found.hedge) if found else config.hedge


def keeping_of(config: Config, route: str) -> Keeping:
    """Return how the answers of a route are cached."""
    found = config.routes.get(route)
    return over(config.cache, found.cache) if found else config.cache


def input_of(config: Config, route: str) -> Input:
    """Return what the calls of a route may ask."""
    found = config.routes.get(route)
    return over(config.input, found.input) if found else config.input


def structured_of(config: Config, route: str) -> Structured:
    """Return what is done for the answers of a route that are asked for with a schema."""
    found = config.routes.get(route)
    return over(config.structured, found.structured) if found else config.structured


def admission_of(config: Config, route: str) -> Admission | None:
    """Return the places that a route has of its own, None where it shares those of all."""
    found = config.routes.get(route)
    if found is None or not found.admission.model_fields_set:
        return None
    return over(config.admission, found.admission)


def breaker_of(config: Config, model: str) -> Breaker:
    """Return the breaker of a model."""
    return over(config.breaker, *[target.breaker for target in _targets(config, model)])


def limits_of(config: Config, model: str) -> Limits:
    """Return the limits of a model."""
    return over(config.limits, *[target.limits for target in _targets(config, model)])


def timeouts_of(config: Config, model: str) -> Timeouts:
    """Return the timeouts of a model; only `first_event_s` and `idle_s` may be its own."""
    return over(config.timeouts, *[target.timeouts for target in _targets(config, model)])


def _targets(config: Config, model: str) -> Iterator[Target]:
    for route in config.routes.values():
        yield from (target for target in route.targets if target.model == model)
