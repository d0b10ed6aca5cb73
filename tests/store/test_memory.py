"""The store in memory."""

from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path

from sidecard.core.store import Store
from sidecard.store.memory import MemoryStore
from tests.store.conformance import MAX_BYTES, NOW, StoreConformance, a_key, an_entry


class TestMemoryStore(StoreConformance):
    """It keeps every promise of the port."""

    def opened(self, folder: Path) -> AbstractAsyncContextManager[Store]:  # noqa: ARG002
        return aclosing(MemoryStore(max_bytes=MAX_BYTES, keep_expired_s=3600))


def test_what_was_used_longest_ago_goes_first() -> None:
    """A read counts as a use."""
    store = MemoryStore(max_bytes=3_000)
    keys = [a_key() for _ in range(4)]
    for key in keys[:3]:
        store.put(key, an_entry(bytes(400)))
    store.get(keys[0], NOW)
    store.put(keys[3], an_entry(bytes(400)))
    assert [store.get(key, NOW) is not None for key in keys] == [True, False, True, True]


def test_what_expired_too_long_ago_is_gone() -> None:
    """It is kept as long as it was told, and no longer."""
    store = MemoryStore(max_bytes=3_000, keep_expired_s=60)
    key = a_key()
    store.put(key, an_entry(expires_at=NOW))
    assert store.get(key, NOW + 60) is not None
    assert store.get(key, NOW + 61) is None
    assert store.stats().expired == 1
