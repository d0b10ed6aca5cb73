"""What models can write, by their names."""

import pytest

from sidecard.policy.models import max_output_tokens


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-opus-5-5", 128_000),
        ("claude-fable-5-2", 128_000),
        ("claude-mythos-5-1", 128_000),
        ("claude-sonnet-5", 128_000),
        ("claude-haiku-5-5", 128_000),
        ("claude-haiku-5-5-20260901", 128_000),
        ("claude-opus-4-8", 128_000),
        ("claude-sonnet-4-6", 128_000),
        ("claude-opus-4-5-20251101", 64_000),
        ("claude-sonnet-4-5-20250929", 64_000),
        ("claude-haiku-4-5", 64_000),
        ("claude-opus-4-1-20250805", 32_000),
        ("claude-opus-4-0", 32_000),
        ("claude-opus-4-20250514", 32_000),
        ("claude-sonnet-4-0", 64_000),
        ("claude-sonnet-4-20250514", 64_000),
    ],
)
def test_models_are_known_with_and_without_their_date(model: str, tokens: int) -> None:
    """A dated name has the limit of the undated one, and 4 isn't taken for 4.5."""
    assert max_output_tokens(model) == tokens


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", 64_000),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", 32_000),
        ("global.anthropic.claude-opus-5-5-v1", 128_000),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-opus-4-6-v1:0",
            128_000,
        ),
        ("claude-opus-4-5@20251101", 64_000),
        ("claude-opus-4@20250514", 32_000),
        ("claude-sonnet-5@default", 128_000),
    ],
)
def test_clouds_decorations_are_understood(model: str, tokens: int) -> None:
    """Bedrock's and Vertex AI's names of a model have that model's limit."""
    assert max_output_tokens(model) == tokens


@pytest.mark.parametrize(
    "model",
    [
        "",
        "gpt-5",
        "claude-opus-9",
        "claude-opus-4-9",
        "claude-opus-5-55",
        "my-claude-opus-5",
        "claude-opus-5-5x",
        "claude-opus-5-5\n",
    ],
)
def test_what_is_not_known_has_no_limit(model: str) -> None:
    """No limit is guessed for a model that isn't in the table."""
    assert max_output_tokens(model) is None
