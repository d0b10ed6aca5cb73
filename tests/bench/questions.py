"""What in-process measurements ask and are answered: values of the daemon's own types."""

from time import monotonic
from typing import Final

from sidecard.core.call import Call, Mode, Route, Target
from sidecard.core.event import Usage
from sidecard.core.message import Message
from sidecard.core.rate_limits import Allowance, RateLimits
from tests.bench import payload

_TARGETS: Final = (Target(payload.MODEL, 64_000), Target("claude-haiku-5-5", 64_000))
ROUTE: Final = Route("default", _TARGETS, 4_096)
CONTINUING: Final = Route("default", _TARGETS, 4_096, continue_stream=True)
USAGE: Final = Usage(25, 48)
MESSAGE: Final = Message(
    "msg_1", payload.MODEL, ({"type": "text", "text": payload.TEXT},), "end_turn", usage=USAGE
)
_DEADLINE_S: Final = 600.0
_PLENTY: Final = 10**9


def a_call(mode: Mode = Mode.UNARY, route: Route = ROUTE) -> Call:
    """Return a new call with the question of the load."""
    return Call(
        request_id="4b825dc6-42cb-4e8c-a6a4-d1b1b5a7e1a1",
        tenant="default",
        route=route,
        target=route.targets[0],
        messages=({"role": "user", "content": [{"type": "text", "text": payload.PLAIN}]},),
        parameters={"max_tokens": 4_096},
        deadline=monotonic() + _DEADLINE_S,
        mode=mode,
    )


def allowances() -> RateLimits:
    """Return what an answer says of the upstream's limits: that there is room."""
    told = Allowance(_PLENTY, _PLENTY - 1, 60.0)
    return RateLimits(told, told, told)
