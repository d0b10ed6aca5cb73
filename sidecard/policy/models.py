"""What is known of models by their names: how much each can write."""

import functools
import re
from typing import Final

# https://platform.claude.com/docs/en/models and the pages it links to, November 2026.
_MAX_OUTPUT_TOKENS: Final = {
    **{
        f"{family}-{version}": 128_000
        for family in ("fable", "mythos", "opus", "sonnet", "haiku")
        for version in ("5", "5-1", "5-2", "5-5")
    },
    "opus-4-8": 128_000,
    "opus-4-7": 128_000,
    "opus-4-6": 128_000,
    "sonnet-4-6": 128_000,
    "opus-4-5": 64_000,
    "sonnet-4-5": 64_000,
    "haiku-4-5": 64_000,
    "sonnet-4": 64_000,
    "sonnet-4-0": 64_000,
    "opus-4-1": 32_000,
    "opus-4": 32_000,
    "opus-4-0": 32_000,
}

# Anthropic's own names end in a date or in none. Bedrock's are `us.anthropic.claude-…-v1:0`,
# or an ARN that ends so; Vertex AI's are `claude-…@20251101`.
_NAME: Final = re.compile(
    r"(?:.*[./])?claude-([a-z]+-\d(?:-\d)?)(?:-\d{8})?(?:-v\d+)?(?:[:@].*)?", re.ASCII
)


@functools.lru_cache(maxsize=256)
def max_output_tokens(model: str) -> int | None:
    """Return the most tokens that `model` writes in one answer, None when that isn't known.

    Names as Bedrock and Vertex AI decorate them are understood.
    """
    found = _NAME.fullmatch(model)
    return _MAX_OUTPUT_TOKENS.get(found[1]) if found else None
