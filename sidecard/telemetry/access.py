"""The access log: one line a call, with what is needed to explain it; content where asked for.

It is on every call's path, so the JSON form is written directly:
measured, 6 µs a line where the same through `logging` and structlog takes 69 µs.
"""

import json
import logging
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sidecard.core.call import Call
from sidecard.core.clock import Clock
from sidecard.core.errors import SidecardError
from sidecard.core.outcome import Ending, Outcome
from sidecard.core.ports import HitSink
from sidecard.core.reply import Head
from sidecard.core.trail import Attempt
from sidecard.telemetry.log import Stream

_log: Final = logging.getLogger("sidecard.access")
_quoted: Final = json.encoder.encode_basestring_ascii
"""A text as JSON, in ASCII: nothing can forge a line."""
_OWN: Final = ("request_id", "duration_ms", "age_s", "first_event_ms")
_EVENT: Final = '"level":"info","event":"call"'
_CUT: Final = "\0"
"""What no JSON has."""
_REASON_CHARS: Final = 64
_USUAL: Final = frozenset({"", "end_turn"})


def _no_content(_call: Call) -> Mapping[str, str]:
    return {}


class AccessLog:
    """A `CallSink` that writes to the root logger's stream. Safe to share.

    Of calls that went well `sample` is the share that gets a line, from 0 to 1;
    failed, abandoned and degraded calls, and those of `slow_s` seconds or more, always get one.
    Both may be set at any time. `content` gives what a line has of what the call says.
    `chance` gives a number from 0 to below 1.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        as_json: bool,
        redact: Callable[[str], str] = str,
        content: Callable[[Call], Mapping[str, str]] = _no_content,
        sample: float = 1.0,
        slow_s: float = 0.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._redact = redact
        self._content = content
        self._as_json = as_json
        self.sample = sample
        self.slow_s = slow_s
        self._chance = chance
        self._second = -1
        self._second_text = ""

    def __call__(self, call: Call, head: Head | None, outcome: Outcome, *, began: float) -> None:
        """Write the call's line, unless the level is above info, or it isn't in the sample."""
        good = outcome.ending is Ending.COMPLETED and not (head is not None and head.degraded)
        if self._leaves_out(outcome.ended_at - began, good=good):
            return
        content = self._content(call)
        if not self._as_json:
            _log.info("call", extra={**_facts(call, head, outcome, began), **content})
            return
        facts = {**_facts(call, head, outcome, began), **content}
        if "error_message" in facts:
            facts["error_message"] = self._redact(facts["error_message"])
        fields = ",".join([f'"{name}":{_json(value)}' for name, value in facts.items()])
        line = f'{{"timestamp":"{self._timestamp(self._clock.wall())}",{_EVENT},{fields}}}\n'
        for stream in _streams():
            stream.write(line)

    def alike(self, call: Call, head: Head, outcome: Outcome) -> HitSink | None:
        """Return what writes the lines of hits like this one, None where each needs one of its own.

        A hit takes so little else that its line would be a third of it. So what is the same from
        one to the next is put together once: measured, a line then takes a third of the time.
        """
        if not self._as_json or call.trail.trace is not None or self._content(call):
            return None
        first, second, third, fourth, last = _parts(_facts(call, head, outcome, 0.0))
        good, streams = not head.degraded, _streams()

        def write(request_id: str, age_s: float, began: float, ended: float, wall: float) -> None:
            if self._leaves_out(ended - began, good=good):
                return
            ms = f"{(ended - began) * 1000:.3f}"
            start = f'{{"timestamp":"{self._timestamp(wall)}",{_EVENT},{first}{_quoted(request_id)}'
            line = f"{start}{second}{ms}{third}{age_s:.3f}{fourth}{ms}{last}}}\n"
            for stream in streams:
                stream.write(line)

        return write

    def _leaves_out(self, took_s: float, *, good: bool) -> bool:
        """Whether a call has no line: it went well, as most do, and others are to speak for it."""
        if not _log.isEnabledFor(logging.INFO):
            return True
        return self.sample < 1.0 and good and took_s < self.slow_s and self._chance() >= self.sample

    def _timestamp(self, wall: float) -> str:
        """Return the time as the other lines have it; the text of a second is made once."""
        second = int(wall)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{int((wall - second) * 1e6):06d}Z"


def _streams() -> list[Stream]:
    """Return what the log is written to."""
    handlers = logging.getLogger().handlers
    return [handler.stream for handler in handlers if isinstance(handler, logging.StreamHandler)]


def _parts(facts: dict[str, Any]) -> list[str]:
    """Return a line's fields, cut where those of each call are."""
    fields = [f'"{name}":{_CUT if name in _OWN else _json(value)}' for name, value in facts.items()]
    return ",".join(fields).split(_CUT)


def _facts(call: Call, head: Head | None, outcome: Outcome, began: float) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "request_id": call.request_id,
        "tenant": call.tenant,
        "mode": call.mode.value,
        "route": call.route.name,
        "outcome": outcome.ending.value,
        "duration_ms": _ms(outcome.ended_at - began),
        "attempts": call.trail.sent,
    }
    if (trace := call.trail.trace) is not None:
        facts["trace_id"] = trace.trace_id
    trail = call.trail
    if len(trail) > 1 or (len(trail) == 1 and head is None):
        facts["tried"] = [_tried(attempt) for attempt in trail]
    if trail.queued_s:
        facts["queued_ms"] = _ms(trail.queued_s)
    if head is not None:
        _add_head(facts, head)
    if outcome.first_event_at is not None:
        facts["first_event_ms"] = _ms(outcome.first_event_at - began)
    if (usage := outcome.usage) is not None:
        facts["input_tokens"] = usage.input_tokens
        facts["output_tokens"] = usage.output_tokens
        facts["cache_read_tokens"] = usage.cache_read_tokens
        facts["cache_write_tokens"] = usage.cache_write_tokens
    if (cost := trail.cost_nano_usd) is not None:
        facts["cost_nano_usd"] = cost
    if outcome.ending is not Ending.COMPLETED:
        facts["deadline_ms"] = _ms(call.deadline - began)
        facts["priority"] = call.priority.value
    _add_end(facts, outcome)
    return facts


def _add_end(facts: dict[str, Any], outcome: Outcome) -> None:
    error = outcome.error
    if outcome.stop_reason not in _USUAL:
        facts["stop_reason"] = outcome.stop_reason[:_REASON_CHARS]
    if isinstance(error, SidecardError):
        facts["error"] = error.reason
        facts["error_message"] = error.message
    elif isinstance(error, Exception):  # Who left is no error, and has an outcome of its own.
        facts["error"] = type(error).__name__


def _tried(attempt: Attempt) -> str:
    """Return an attempt's target, its end, and how long it took up to that or to its commit."""
    end = attempt.error or "ANSWERED"
    took = f" {_ms(attempt.duration_s):.1f} ms" if attempt.sent else ""
    return f"{attempt.target} {end}{took}"


def _json(value: object) -> str:
    """Return a fact as JSON: measured, a line made so takes a third of what an encoder takes."""
    if type(value) is str:
        return _quoted(value)
    if type(value) is float or type(value) is int:
        return repr(value)
    return json.dumps(value, separators=(",", ":"))


def _add_head(facts: dict[str, Any], head: Head) -> None:
    facts["source"] = head.source.value
    facts["target"] = head.target
    if head.upstream_request_id:
        facts["upstream_request_id"] = head.upstream_request_id
    if head.degraded:
        facts["degraded"] = True
    if head.age_s is not None:
        facts["age_s"] = round(head.age_s, 3)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
