"""Requests: what the caller asked for, of the model that the target names."""

from sidecard.upstream.wire.request import count_tokens_body, request_body
from tests.support.script import TARGET, a_call


def test_a_request_is_the_call() -> None:
    """Messages and parameters go as they are, with the target's model."""
    call = a_call(parameters={"max_tokens": 5, "future": {"x": [1]}})
    assert request_body(call, stream=False) == {
        "model": TARGET.model,
        "messages": call.messages,
        "max_tokens": 5,
        "future": {"x": [1]},
    }
    assert request_body(call, stream=True) == {**request_body(call, stream=False), "stream": True}


def test_a_parameter_names_no_other_model() -> None:
    """What was routed, priced and admitted is what is sent."""
    call = a_call(parameters={"model": "dearer", "messages": [], "stream": False})
    for body in (request_body(call, stream=True), count_tokens_body(call)):
        assert (body["model"], body["messages"]) == (TARGET.model, call.messages)
    assert request_body(call, stream=True)["stream"] is True


def test_bodies_leave_the_call_as_it_is() -> None:
    """A call is sent more than once, so that nothing is written into it."""
    call = a_call(parameters={"max_tokens": 5})
    request_body(call, stream=True)
    count_tokens_body(call)
    assert call.parameters == {"max_tokens": 5}
