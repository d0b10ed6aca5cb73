"""What an upstream says of the limits it puts on us."""

from typing import NamedTuple


class Allowance(NamedTuple):
    """One limit a minute: all of it, what is left of it now, and seconds until it is whole again.

    Each is None where the upstream didn't say.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None


class RateLimits(NamedTuple):
    """The limits of one target, as one answer told them; None for those it didn't name."""

    requests: Allowance | None = None
    input_tokens: Allowance | None = None
    output_tokens: Allowance | None = None
