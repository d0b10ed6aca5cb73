"""What is in force for one route or one model."""

import pytest

from sidecard.config import merged
from sidecard.config.schema import Config
from tests.config.conftest import Taken

TEXT = """\
retry: {max_attempts: 4, budget_ratio: 0.1}
breaker: {open_s: 20, probes: 1}
limits: {requests_per_minute: 50}
admission: {in_flight: 100, queue: 10}
timeouts: {first_event_s: 40}
routes:
  default:
    targets: [{model: a}, {model: b, breaker: {probes: 9}, timeouts: {idle_s: 7}}]
  fast:
    targets:
      - {model: b, breaker: {open_s: 5}, limits: {requests_per_minute: null}}
    retry: {max_attempts: 1}
    hedge: {enabled: true}
    admission: {in_flight: 3}
"""


@pytest.fixture
def config(taken: Taken) -> Config:
    """Return a configuration that sets things for all, for a route and for a model."""
    return taken(TEXT).config


def test_a_route_replaces_what_it_sets_alone(config: Config) -> None:
    """Fields that a route doesn't set are those for all, the budget's always."""
    retry, hedge = merged.retry_of(config, "fast"), merged.hedge_of(config, "fast")
    assert (retry.max_attempts, retry.budget_ratio, retry.base_s) == (1, 0.1, 0.25)
    assert (hedge.enabled, hedge.delay_s) == (True, None)
    assert merged.retry_of(config, "default") == config.retry
    assert merged.hedge_of(config, "default") == config.hedge


def test_only_a_route_that_asks_has_places_of_its_own(config: Config) -> None:
    """A route without an admission of its own shares the places of all."""
    own = merged.admission_of(config, "fast")
    assert own is not None
    assert (own.in_flight, own.queue) == (3, 10)
    assert merged.admission_of(config, "default") is None


def test_an_empty_admission_is_none(taken: Taken) -> None:
    """A section with nothing in it makes no places."""
    text = "routes: {default: {targets: [{model: a}], admission: {}}}"
    assert merged.admission_of(taken(text).config, "default") is None


def test_a_model_is_the_same_in_every_route(config: Config) -> None:
    """What routes set for one model is put together, over what is set for all."""
    breaker, limits = merged.breaker_of(config, "b"), merged.limits_of(config, "b")
    assert (breaker.probes, breaker.open_s, breaker.slow_s) == (9, 5, 30)
    assert (limits.requests_per_minute, limits.max_wait_s) == (None, 10)
    timeouts = merged.timeouts_of(config, "b")
    assert (timeouts.first_event_s, timeouts.idle_s, timeouts.total_s) == (40, 7, 600)


@pytest.mark.parametrize("model", ["a", "unlisted"])
def test_a_model_without_settings_has_those_of_all(model: str, config: Config) -> None:
    """So does one that no route lists."""
    assert merged.breaker_of(config, model) == config.breaker
    assert merged.limits_of(config, model) == config.limits
    assert merged.timeouts_of(config, model) == config.timeouts


def test_an_unlisted_route_has_what_is_set_for_all(config: Config) -> None:
    """A call may name a model in place of a route."""
    assert merged.retry_of(config, "claude-x") == config.retry
    assert merged.hedge_of(config, "claude-x") == config.hedge
    assert merged.admission_of(config, "claude-x") is None
