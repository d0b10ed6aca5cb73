"""Input tokens, and the prompt cache."""

from sidecard.simulator.prompt import Charge, PromptCache, read_prompt
from sidecard.simulator.server import Simulator
from tests.support.simulator import Json, ask, question


def marked(ttl: str | None = None, text: str = "a long preface " * 10) -> Json:
    """Return a request whose system prompt is to be cached."""
    control = {"type": "ephemeral"} | ({"ttl": ttl} if ttl else {})
    return question(system=[{"type": "text", "text": text, "cache_control": control}])


async def test_a_marked_prefix_is_written_then_read(sim: Simulator) -> None:
    """The second request with the same prefix reads from the cache what the first one wrote."""
    first = (await ask(sim, marked())).json()["usage"]
    second = (await ask(sim, marked())).json()["usage"]
    assert first["cache_creation_input_tokens"] > 0
    assert first["cache_read_input_tokens"] == 0
    assert second["cache_creation_input_tokens"] == 0
    assert second["cache_read_input_tokens"] == first["cache_creation_input_tokens"]
    assert second["input_tokens"] == first["input_tokens"]


def test_the_charge_adds_up_to_the_prompt() -> None:
    """What is read, written and fresh is the whole prompt, for each lifetime."""
    for ttl, field in ((None, "write_5m"), ("5m", "write_5m"), ("1h", "write_1h")):
        prompt = read_prompt(marked(ttl))
        charge = PromptCache().charge(prompt, now=0.0)
        assert sum(charge) == prompt.tokens
        assert getattr(charge, field) > 0


def test_a_prefix_expires() -> None:
    """A prefix is forgotten after its lifetime, unless it was read in between."""
    cache, prompt = PromptCache(), read_prompt(marked())
    charges = [cache.charge(prompt, now) for now in (0.0, 299.0, 598.0, 898.0)]
    assert [charge.read > 0 for charge in charges] == [False, True, True, False]


def test_another_prefix_or_model_is_not_read() -> None:
    """The cache is by exact content and model."""
    cache = PromptCache()
    cache.charge(read_prompt(marked()), now=0.0)
    assert cache.charge(read_prompt(marked(text="another")), now=1.0).read == 0
    assert cache.charge(read_prompt({**marked(), "model": "model-2"}), now=1.0).read == 0


def test_a_mark_at_the_top_level_covers_the_whole_prompt() -> None:
    """Top-level cache_control marks the last block."""
    prompt = read_prompt(question(cache_control={"type": "ephemeral", "ttl": "1h"}))
    assert PromptCache().charge(prompt, now=0.0) == Charge(write_1h=prompt.tokens)


def test_the_cache_is_bounded() -> None:
    """The oldest prefixes are forgotten when there are too many."""
    cache = PromptCache(size=2)
    prompts = [read_prompt(marked(text=f"preface {n}")) for n in range(3)]
    for prompt in prompts:
        cache.charge(prompt, now=0.0)
    assert cache.charge(prompts[2], now=1.0).read > 0
    assert cache.charge(prompts[0], now=1.0).read == 0
