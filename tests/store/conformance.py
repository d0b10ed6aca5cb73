"""What every store must do, whatever it keeps its entries in: the suite that each is run through.

Subclass it, define `opened`, and pytest runs each promise.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from sidecard.core.store import KEY_BYTES, Entry, Purge, Store, Stored

NOW = 1_790_000_000.0
MAX_BYTES = 4 * 1024 * 1024


def a_key() -> bytes:
    return os.urandom(KEY_BYTES)


def an_entry(
    value: bytes = b"an answer",
    *,
    tenant: str = "acme",
    route: str = "default",
    created_at: float = NOW,
    expires_at: float = NOW + 3600,
) -> Entry:
    return Entry(value, tenant, route, created_at, expires_at)


def as_stored(entry: Entry) -> Stored:
    return Stored(entry.value, entry.created_at, entry.expires_at)


class StoreConformance:
    """The promises of the port. `keep_expired_s` of the store under test is an hour."""

    def opened(self, folder: Path) -> AbstractAsyncContextManager[Store]:
        """Return an empty store of `MAX_BYTES`, which is closed in the end."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Have the store under test open."""
        async with self.opened(tmp_path) as store:
            yield store

    async def test_what_was_put_is_found(self, store: Store) -> None:
        """An entry comes back whole, at once and after it was written."""
        key, entry = a_key(), an_entry(os.urandom(500))
        store.put(key, entry)
        assert store.get(key, NOW) == as_stored(entry)
        await store.flush()
        assert store.get(key, NOW) == as_stored(entry)

    async def test_nothing_is_found_under_another_key(self, store: Store) -> None:
        """A key that nothing was put under is a miss."""
        store.put(a_key(), an_entry())
        await store.flush()
        assert store.get(a_key(), NOW) is None

    @pytest.mark.parametrize("size", [0, 1, 100, 2_030, 4_096, 8_192, 50_000, 200_000])
    async def test_values_of_any_size_come_back(self, store: Store, size: int) -> None:
        """Neither compression nor the pages of a file show in a value."""
        for value in (os.urandom(size), b"to and fro, " * (size // 12)):
            key = a_key()
            store.put(key, an_entry(value))
            await store.flush()
            assert store.get(key, NOW) == as_stored(an_entry(value))

    async def test_the_last_one_put_holds(self, store: Store) -> None:
        """A second entry replaces the first, waiting or written, and counts once."""
        key = a_key()
        for value in (b"first", b"second"):
            store.put(key, an_entry(value))
        assert store.get(key, NOW) == as_stored(an_entry(b"second"))
        await store.flush()
        store.put(key, an_entry(b"third", expires_at=NOW + 7))
        await store.flush()
        assert store.get(key, NOW) == as_stored(an_entry(b"third", expires_at=NOW + 7))
        assert store.stats().entries == 1

    async def test_an_expired_entry_is_still_found(self, store: Store) -> None:
        """It may stand in for a failure: the reader sees when it expired."""
        key, entry = a_key(), an_entry(expires_at=NOW - 60, created_at=NOW - 120)
        store.put(key, entry)
        await store.flush()
        assert store.get(key, NOW) == as_stored(entry)

    async def test_an_entry_from_the_future_is_kept(self, store: Store) -> None:
        """A clock that stepped back makes no entry invalid, and odd moments break nothing."""
        for created_at, expires_at in ((NOW + 86_400, NOW + 90_000), (0.0, 1e18)):
            key = a_key()
            entry = an_entry(created_at=created_at, expires_at=expires_at)
            store.put(key, entry)
            await store.flush()
            assert store.get(key, NOW) == as_stored(entry)

    async def test_a_tenant_is_purged(self, store: Store) -> None:
        """Its entries go, written or waiting; another's stay."""
        ours, ours_too, theirs = a_key(), a_key(), a_key()
        store.put(ours, an_entry(tenant="acme"))
        await store.flush()
        store.put(ours_too, an_entry(tenant="acme"))
        store.put(theirs, an_entry(tenant="globex"))
        assert await store.purge(Purge(tenant="acme")) == 2
        assert store.get(ours, NOW) is None
        assert store.get(ours_too, NOW) is None
        assert store.get(theirs, NOW) is not None

    async def test_a_purge_means_all_that_it_says(self, store: Store) -> None:
        """Tenant, route and age together leave what differs in one of them."""
        meant = a_key()
        store.put(meant, an_entry(tenant="a", route="r", created_at=NOW - 10))
        others = {
            a_key(): an_entry(tenant="b", route="r", created_at=NOW - 10),
            a_key(): an_entry(tenant="a", route="s", created_at=NOW - 10),
            a_key(): an_entry(tenant="a", route="r", created_at=NOW - 5),
        }
        for key, entry in others.items():
            store.put(key, entry)
        assert await store.purge(Purge(tenant="a", route="r", created_before=NOW - 5)) == 1
        assert store.get(meant, NOW) is None
        assert all(store.get(key, NOW) for key in others)

    async def test_everything_is_purged(self, store: Store) -> None:
        """A purge that says nothing leaves nothing, and the store goes on."""
        keys = [a_key() for _ in range(100)]
        for key in keys:
            store.put(key, an_entry())
        await store.flush()
        assert await store.purge(Purge()) == 100
        assert not any(store.get(key, NOW) for key in keys)
        assert store.stats().entries == 0
        store.put(keys[0], an_entry())
        await store.flush()
        assert store.get(keys[0], NOW) is not None

    async def test_a_purge_of_many_ends(self, store: Store) -> None:
        """Thousands of entries go in one purge, and every one of the others stays."""
        keys = [a_key() for _ in range(3_000)]
        for number, key in enumerate(keys):
            store.put(key, an_entry(tenant="ab"[number % 2]))
            if number % 500 == 0:
                await store.flush()
        assert await store.purge(Purge(tenant="a")) == 1_500
        assert [store.get(key, NOW) is None for key in keys] == [True, False] * 1_500

    async def test_it_stays_within_its_bytes(self, store: Store) -> None:
        """Four times what fits is put: the newest are there, and the bytes are kept to."""
        keys = [a_key() for _ in range(340)]
        for key in keys:
            store.put(key, an_entry(os.urandom(50_000)))
            if store.stats().queued > 4:
                await store.flush()
        await store.flush()
        stats = store.stats()
        assert stats.bytes <= stats.max_bytes
        assert stats.evicted > 0
        assert stats.entries > 25
        assert store.get(keys[-1], NOW) is not None

    async def test_too_large_a_value_is_dropped(self, store: Store) -> None:
        """What would throw out half of the others isn't kept, and is counted."""
        key = a_key()
        store.put(key, an_entry(bytes(MAX_BYTES)))
        await store.flush()
        assert store.get(key, NOW) is None
        assert store.stats().dropped == 1

    async def test_a_flood_is_taken_or_dropped(self, store: Store) -> None:
        """`put` never waits: what it can't take it drops, and the numbers add up."""
        for _ in range(20_000):
            store.put(a_key(), an_entry(b"x" * 1_000))
        await store.flush()
        stats = store.stats()
        assert stats.written + stats.dropped == 20_000
        assert stats.queued == 0

    async def test_closing_leaves_nothing_running(self, store: Store) -> None:
        """It ends with what waits unasked for, and can be asked to twice."""
        store.put(a_key(), an_entry())
        before = asyncio.all_tasks()
        await store.aclose()
        await store.aclose()
        assert asyncio.all_tasks() == before

    async def test_what_is_dropped_takes_the_older_with_it(self, store: Store) -> None:
        """A newer answer that can't be kept doesn't leave the one before it to be given again."""
        key = a_key()
        store.put(key, an_entry(b"old"))
        await store.flush()
        store.put(key, an_entry(bytes(MAX_BYTES)))
        assert store.get(key, NOW) is None
        await store.flush()
        assert store.get(key, NOW) is None
