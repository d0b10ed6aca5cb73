"""The log: one line a thing, JSON for machines or columns for people, on standard error.

Modules log through `logging`, with their facts in `extra`; structlog renders them.
Content and keys are never logged.
JSON escapes what could forge a line; the console form has it escaped first.
"""

import logging
from collections.abc import MutableMapping
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


def configure(level: str, form: Format, out: Stream, *, terminal: bool = False) -> bool:
    """Send all logging to `out`; return whether as JSON.

    `auto` is the console form on a terminal.
    """
    console = form == "console" or (form == "auto" and terminal)
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [_escape_controls, _console(colors=terminal)]
        if console
        else [_TRACEBACKS, structlog.processors.JSONRenderer()]
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
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(max(root.level, logging.WARNING))
    return not console


# Local variables hold prompts, answers and keys: structlog shows them unless told not to.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def _console(*, colors: bool) -> structlog.dev.ConsoleRenderer:
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)


def _escape_controls(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Make every control character visible, so that a value can't start a line of its own."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = value.encode("unicode_escape").decode("ascii")
    return event
