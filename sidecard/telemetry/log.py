"""The log: one line a thing, JSON for machines or columns for people, on standard error.

Modules log through `logging`, with their facts in `extra`; structlog renders them.
Content is logged in calls' lines alone, and there only if asked for; keys never are.
What an upstream's message has of what is personal or secret is redacted.
JSON escapes what could forge a line; the console form has it escaped first.
"""

import logging
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any, Final, Literal, Protocol

import structlog

Format = Literal["auto", "json", "console"]
EventDict = MutableMapping[str, Any]


class Stream(Protocol):
    """What log lines are written to."""

    def write(self, text: str, /) -> object:
        """Take a piece of text."""
        ...

    def flush(self) -> object:
        """Have it written."""
        ...


def configure(
    level: str,
    form: Format,
    out: Stream,
    *,
    terminal: bool = False,
    redact: Callable[[str], str] = str,
) -> bool:
    """Send all logging to `out`; return whether as JSON.

    `auto` is the console form on a terminal. `redact` hides what is personal or secret in texts.
    """
    console = form == "console" or (form == "auto" and terminal)
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    hide = partial(_redacted, redact)
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, hide, _escape_controls, _console(colors=terminal)]
        if console
        else [_TRACEBACKS, hide, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    return not console


def set_level(level: str) -> None:
    """Write lines of this level and above from now on."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(max(root.level, logging.WARNING))


# Local variables hold prompts, answers and keys: structlog shows them unless told not to.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


_AS_IT_IS: Final = frozenset(
    {"answer", "of", "prompt", "request_id", "route", "target", "tenant", "timestamp"}
)
"""What calls, and accounts of budgets, are found by: names that operators and callers chose for it.
And content, which is redacted as it was asked to be before it comes here."""


def _redacted(
    redact: Callable[[str], str], _logger: object, _method: str, event: EventDict
) -> EventDict:
    """Hide what is personal or secret, wherever in a line's facts it is."""
    for key, value in event.items():
        if key not in _AS_IT_IS:
            event[key] = _hidden(redact, value)
    return event


def _hidden(redact: Callable[[str], str], value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_hidden(redact, item) for item in value]
    if isinstance(value, dict):
        return {key: _hidden(redact, item) for key, item in value.items()}
    return value


def _console(*, colors: bool) -> structlog.dev.ConsoleRenderer:
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)


def _escape_controls(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Make every control character visible, so that a value can't start a line of its own."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = value.encode("unicode_escape").decode("ascii")
    return event
