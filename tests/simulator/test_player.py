"""Which request gets which step."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.simulator.player import Player
from sidecard.simulator.script import Script


def taken(
    player: Player,
    now: float = 0.0,
    *,
    model: str = "m",
    path: str = "/v1/messages",
    stream: bool = False,
) -> str | None:
    """Return the fault that a request meets, None for normal service."""
    step = player.take(model=model, path=path, stream=stream, now=now)
    return None if step is None else step.fault


def player(*steps: dict[str, Any], repeat: bool = False) -> Player:
    """Return a player of those steps."""
    return Player(Script.of(*steps, repeat=repeat))


def test_steps_are_used_up_in_order_and_then_service_is_normal() -> None:
    """Each request takes one of a step's times."""
    it = player({"fault": "reset", "times": 2}, {"fault": "stall"})
    assert [taken(it) for _ in range(5)] == ["reset", "reset", "stall", None, None]


def test_a_step_lasts_its_time_from_its_first_request() -> None:
    """A time window serves any number of requests, and begins with the first."""
    it = player({"fault": "reset", "for_s": 60})
    assert [taken(it, now) for now in (100.0, 100.5, 159.9, 160.0)] == ["reset"] * 3 + [None]


def test_a_window_that_begins_at_zero_ends() -> None:
    """The moment 0.0 is a moment like any other."""
    it = player({"fault": "reset", "for_s": 60})
    assert [taken(it, now) for now in (0.0, 30.0, 60.0, 61.0)] == ["reset", "reset", None, None]


def test_a_window_with_times_ends_with_whichever_is_first() -> None:
    """Both limits hold."""
    it = player({"fault": "reset", "for_s": 60, "times": 2})
    assert [taken(it, now) for now in (0.0, 1.0, 2.0)] == ["reset", "reset", None]


def test_a_step_can_be_for_ever() -> None:
    """`times: always` is never used up."""
    it = player({"fault": "reset", "times": "always"}, {"fault": "stall"})
    assert {taken(it, now=float(n)) for n in range(100)} == {"reset"}


def test_a_repeated_script_starts_over() -> None:
    """After the last step comes the first."""
    it = player({"fault": "reset"}, {"fault": "none", "times": 2}, repeat=True)
    assert [taken(it) for _ in range(6)] == ["reset", "none", "none"] * 2


@pytest.mark.parametrize(
    ("match", "request_", "met"),
    [
        ({"model": "big-*"}, {"model": "big-one"}, True),
        ({"model": "big-*"}, {"model": "small"}, False),
        ({"stream": True}, {"stream": True}, True),
        ({"stream": True}, {"stream": False}, False),
        ({}, {"path": "/v1/messages/count_tokens"}, False),
        ({"path": "*/count_tokens"}, {"path": "/v1/messages/count_tokens"}, True),
    ],
)
def test_a_step_is_for_the_requests_that_match(
    match: dict[str, Any], request_: dict[str, Any], *, met: bool
) -> None:
    """A request that doesn't match takes the next step that it matches."""
    it = player({"fault": "reset", "match": match}, {"fault": "stall", "match": {"path": "*"}})
    assert taken(it, **request_) == ("reset" if met else "stall")


def test_a_refusal_is_taken_when_it_is_next_and_by_no_request() -> None:
    """`refuse` waits for the steps before it, and lets requests pass."""
    it = player({"fault": "reset"}, {"fault": "refuse", "down_s": 1}, {"fault": "stall"})
    assert it.take_refusal(0.0) is None
    assert taken(it) == "reset"
    assert it.take_refusal(0.0) is not None
    assert it.take_refusal(0.0) is None
    assert taken(it) == "stall"


@given(times=st.lists(st.integers(min_value=1, max_value=5), max_size=5), repeat=st.booleans())
def test_no_step_is_used_more_often_than_it_says(*, times: list[int], repeat: bool) -> None:
    """In each round, a step serves exactly its times."""
    it = player(*({"fault": "reset", "times": n} for n in times), repeat=repeat)
    met = [taken(it) for _ in range(sum(times) + 1)]
    again = "reset" if repeat and times else None
    assert met == ["reset"] * sum(times) + [again]
