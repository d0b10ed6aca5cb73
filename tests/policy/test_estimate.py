"""The guess at a question's tokens, and what it learns."""

from sidecard.core.jsonio import JsonObject
from sidecard.policy.estimate import Ratio, input_tokens


def user(*content: JsonObject) -> JsonObject:
    return {"role": "user", "content": list(content)}


def text(value: str) -> JsonObject:
    return {"type": "text", "text": value}


def image(data: str) -> JsonObject:
    source = {"type": "base64", "media_type": "image/png", "data": data}
    return {"type": "image", "source": source}


def document(data: str) -> JsonObject:
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    return {"type": "document", "source": source}


def test_a_long_text_is_guessed_well() -> None:
    """A long English text is guessed within a fifth of what the current models make of it."""
    words = "The quick brown fox jumps over the lazy dog. " * 100  # 18 tokens a sentence
    assert 1_800 * 0.8 <= input_tokens([user(text(words))], {}) <= 1_800 * 1.2


def test_other_scripts_take_more() -> None:
    """A character that isn't ASCII counts for more than one that is."""
    assert input_tokens([user(text("語" * 1_000))], {}) > 450


def test_all_of_the_question_counts() -> None:
    """Messages, system text and tools, plain strings and blocks, at any depth."""
    long = "x" * 3_500
    least = 900
    tool = {"name": "t", "input_schema": {"properties": {"a": {"description": long}}}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [text(long)]}
    assert input_tokens([{"role": "user", "content": long}], {}) > least
    assert input_tokens([user(result)], {}) > least
    assert input_tokens([user(text("a"))], {"system": long}) > least
    assert input_tokens([user(text("a"))], {"system": [text(long)]}) > least
    assert input_tokens([user(text("a"))], {"tools": [tool]}) > least + 500
    assert input_tokens([user(text("a"))], {"output_config": {"format": {"schema": long}}}) > least


def test_what_is_no_input_counts_nothing() -> None:
    """Parameters that aren't read by the model add nothing, however long."""
    question = [user(text("a"))]
    assert input_tokens(question, {"metadata": "x" * 9_999, "max_tokens": 8}) == input_tokens(
        question, {}
    )


def test_a_picture_has_one_price() -> None:
    """The bytes of a picture don't matter, as it is scaled down."""
    small, large = input_tokens([user(image("A" * 40))], {}), None
    large = input_tokens([user(image("A" * 4_000_000))], {})
    assert small == large
    assert 1_600 <= small < 1_700


def test_a_document_is_guessed_by_its_size() -> None:
    """A large document takes more than a small one, and far less than its characters as text."""
    small = input_tokens([user(document("A" * 10_000))], {})
    large = input_tokens([user(document("A" * 4_000_000))], {})
    assert 1_600 <= small < 1_700
    assert 50_000 < large < 200_000


def test_the_smallest_question_is_something() -> None:
    """A question is never guessed to be free."""
    assert input_tokens([{"role": "user", "content": ""}], {}) >= 1


def test_a_ratio_starts_at_one_and_comes_near_what_is() -> None:
    """One call moves it by its weight, and twenty bring it near."""
    ratio = Ratio(1_000)
    assert ratio.value == 1.0
    ratio.note(100, 1_000)
    assert 0.5 < ratio.value < 0.6
    for _ in range(40):
        ratio.note(100, 1_000)
    assert 0.1 < ratio.value < 0.2


def test_a_ratio_weighs_by_size() -> None:
    """Many small calls that come out high don't drown what large ones use."""
    ratio = Ratio(1_000)
    for _ in range(50):
        ratio.note(20, 10)
        ratio.note(20_000, 100_000)
    assert 0.15 < ratio.value < 0.25


def test_a_ratio_stays_within_bounds() -> None:
    """Nothing is ever expected to be free, nor to be more than ten times the guess."""
    low, high = Ratio(1_000), Ratio(1_000)
    for _ in range(300):
        low.note(0, 5_000)
        high.note(5_000_000, 1)
    assert low.value == 0.01
    assert high.value == 10.0
