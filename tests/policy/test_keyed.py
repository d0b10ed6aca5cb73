"""`Keyed`: state for each target, bounded."""

from sidecard.policy.keyed import Keyed


def test_state_is_made_once_and_kept() -> None:
    """A name has the same state each time, other names others."""
    keyed = Keyed[list[str]](lambda name: [name])
    first = keyed("a")
    assert first == ["a"]
    assert keyed("a") is first
    assert keyed("b") == ["b"]


def test_what_was_not_used_for_longest_is_forgotten() -> None:
    """Names beyond the limit push out the least recently used one, and no other."""
    keyed = Keyed[list[str]](lambda name: [name], limit=2)
    a, b = keyed("a"), keyed("b")
    assert keyed("a") is a
    keyed("c")
    assert keyed("a") is a
    assert keyed("b") is not b


def test_what_is_configured_stays() -> None:
    """Any number of passing names forgets no configured one; the configured come first."""
    keyed = Keyed[list[str]](lambda name: [name], kept=["main"], limit=3)
    main = keyed("main")
    for number in range(100):
        keyed(f"model-{number}")
    assert keyed("main") is main
    assert [name for name, _ in keyed] == ["main", "model-97", "model-98", "model-99"]
    assert repr(keyed) == "<Keyed, 1 configured, 3 others>"


def test_what_holds_calls_back_is_forgotten_last() -> None:
    """Names that nobody has heard of push out no open breaker, unless there is nothing else."""
    held = {"a", "b"}
    keyed = Keyed[str](str, limit=3, holds=held.__contains__)
    for number in range(100):
        keyed("a" if number < 1 else "b" if number < 2 else f"model-{number}")
    assert [name for name, _ in keyed] == ["a", "b", "model-99"]
    held.add("model-99")
    keyed("model-100")
    assert [name for name, _ in keyed] == ["b", "model-99", "model-100"]
