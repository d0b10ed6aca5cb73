"""What an answer's headers say of the upstream's rate limits.

`anthropic-ratelimit-{requests,input-tokens,output-tokens}-{limit,remaining,reset}`,
as https://platform.claude.com/docs/en/api/rate-limits describes them; `reset` is RFC 3339.
`anthropic-ratelimit-tokens-…` is left out: it is about whichever limit is the tightest,
a workspace's among them, or about input and output together, and doesn't say which.
Where it alone is short the upstream answers 429, which is heeded in any case.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final

from sidecard.core.rate_limits import Allowance, RateLimits

_MOST_DIGITS: Final = 12
"""A longer number is nonsense."""

_Names = tuple[str, str, str]


def _names(limit: str) -> _Names:
    prefix = f"anthropic-ratelimit-{limit}-"
    return f"{prefix}limit", f"{prefix}remaining", f"{prefix}reset"


_REQUESTS: Final = _names("requests")
_INPUT_TOKENS: Final = _names("input-tokens")
_OUTPUT_TOKENS: Final = _names("output-tokens")


def rate_limits_of(headers: Mapping[str, str], wall: float) -> RateLimits | None:
    """Return what was said, None for nothing; `wall` is the time, for the moments of reset."""
    requests = _allowance(headers, _REQUESTS, wall)
    input_tokens = _allowance(headers, _INPUT_TOKENS, wall)
    output_tokens = _allowance(headers, _OUTPUT_TOKENS, wall)
    if requests is None and input_tokens is None and output_tokens is None:
        return None
    return RateLimits(requests, input_tokens, output_tokens)


def _allowance(headers: Mapping[str, str], names: _Names, wall: float) -> Allowance | None:
    """Return one limit; None without its size, as the rest means nothing then."""
    name, name_remaining, name_reset = names
    limit = _number(headers.get(name))
    if not limit:
        return None
    moment = _moment(headers.get(name_reset, ""))
    reset_s = None if moment is None else max(0.0, moment - wall)
    return Allowance(limit, _number(headers.get(name_remaining)), reset_s)


def _number(text: str | None) -> int | None:
    if text is None or not text.isdecimal() or len(text) > _MOST_DIGITS:
        return None
    return int(text)


@lru_cache(maxsize=64)
def _moment(text: str) -> float | None:
    """Return a moment as seconds since the epoch; answers of one second name the same ones."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
