"""The drop-in endpoint's events: every field where the API has it."""

from typing import Any

from sidecard.core import jsonio
from sidecard.core.event import Event, Finished, Started, Usage
from sidecard.core.trail import Trail
from sidecard.server.http.encode import StreamEncoder


def sent(*events: Event) -> list[dict[str, Any]]:
    """Return the data of what is sent for these."""
    lines = StreamEncoder(Trail()).part(events).splitlines()
    data = [jsonio.loads(line.removeprefix(b"data: ")) for line in lines if line[:5] == b"data:"]
    return [event for event in data if isinstance(event, dict)]


def test_fields_of_the_end_are_where_the_api_has_them() -> None:
    """Some are in the delta, `context_management` is beside it."""
    extra: dict[str, Any] = {"stop_details": {"type": "refusal"}, "context_management": {"a": []}}
    *_, delta, stop = sent(Started("m", "m"), Usage(), Finished("refusal", None, extra))
    assert delta["delta"]["stop_details"] == {"type": "refusal"}
    assert delta["context_management"] == {"a": []}
    assert "context_management" not in delta["delta"]
    assert stop == {"type": "message_stop", "sidecard": {"attempts": 0, "cost_nano_usd": 0}}
