"""What an answer's headers say of the upstream's rate limits.

`anthropic-ratelimit-{requests,input-tokens,output-tokens}-{limit,remaining,reset}`,
as https://platform.claude.com/docs/en/api/rate-limits describes them; `reset` is RFC 3339.
`anthropic-ratelimit-tokens-…` repeats whichever of the token limits is the tightest,
so it tells nothing that the others don't.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sidecard.core.rate_limits import Allowance, RateLimits

_PREFIX: Final = "anthropic-ratelimit-"
_MOST: Final = 10**12
"""A larger number is nonsense."""


def rate_limits_of(headers: Mapping[str, str], wall: float) -> RateLimits | None:
    """Return what was said, None for nothing; `wall` is the time, for the moments of reset."""
    requests = _allowance(headers, "requests", wall)
    input_tokens = _allowance(headers, "input-tokens", wall)
    output_tokens = _allowance(headers, "output-tokens", wall)
    if requests is None and input_tokens is None and output_tokens is None:
        return None
    return RateLimits(requests, input_tokens, output_tokens)


def _allowance(headers: Mapping[str, str], name: str, wall: float) -> Allowance | None:
    """Return one limit; None without its size, as the rest means nothing then."""
    limit = _number(headers.get(f"{_PREFIX}{name}-limit"))
    if not limit:
        return None
    remaining = _number(headers.get(f"{_PREFIX}{name}-remaining"))
    return Allowance(limit, remaining, _until(headers.get(f"{_PREFIX}{name}-reset"), wall))


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > len(str(_MOST)):
        return None
    return min(int(text), _MOST)


def _until(text: str | None, wall: float) -> float | None:
    try:
        moment = datetime.fromisoformat(text or "")
        return max(0.0, moment.timestamp() - wall) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
