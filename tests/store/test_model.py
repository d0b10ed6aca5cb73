"""The disk store against the obvious model: a dict."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import integers, none, sampled_from, tuples

from sidecard.core.store import Entry, Purge
from tests.store.conformance import NOW, a_key, as_stored
from tests.store.disk import Disk

KEYS = [a_key() for _ in range(8)]
TENANTS = ["acme", "globex", ""]
ROUTES = ["default", "cheap"]
SIZES = [0, 10, 3_000, 9_000, 30_000]


class StoreMachine(RuleBasedStateMachine):
    """What fits is never lost, so the dict says exactly what must be found."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sidecard-test-"))
        self.loop = asyncio.new_event_loop()
        self.model: dict[bytes, Entry] = {}
        self.open()

    def open(self) -> None:
        self.disk = Disk(self.folder)
        self.loop.run_until_complete(self.disk.store.flush())

    @rule(
        key=sampled_from(KEYS),
        size=sampled_from(SIZES),
        tenant=sampled_from(TENANTS),
        route=sampled_from(ROUTES),
        moments=tuples(integers(-3, 0), integers(-1, 100)),
    )
    def put(self, key: bytes, size: int, tenant: str, route: str, moments: tuple[int, int]) -> None:
        value = key * (size // 32) + b"x" * (size % 32)
        entry = Entry(value, tenant, route, *(NOW + moment for moment in moments))
        self.disk.store.put(key, entry)
        self.model[key] = entry

    @rule()
    def flush(self) -> None:
        self.loop.run_until_complete(self.disk.store.flush())

    @rule(
        tenant=none() | sampled_from(TENANTS),
        route=none() | sampled_from(ROUTES),
        age=none() | integers(0, 3),
    )
    def purge(self, tenant: str | None, route: str | None, age: int | None) -> None:
        before = None if age is None else NOW - age
        meant = {
            key
            for key, entry in self.model.items()
            if tenant in (None, entry.tenant)
            and route in (None, entry.route)
            and (before is None or entry.created_at < before)
        }
        assert self.loop.run_until_complete(
            self.disk.store.purge(Purge(tenant, route, before))
        ) == len(meant)
        for key in meant:
            del self.model[key]

    @rule()
    def restart(self) -> None:
        self.loop.run_until_complete(self.disk.store.aclose())
        self.open()

    @invariant()
    def finds_what_the_model_has(self) -> None:
        for key in KEYS:
            entry = self.model.get(key)
            assert self.disk.store.get(key, NOW) == (entry and as_stored(entry))

    def teardown(self) -> None:
        self.loop.run_until_complete(self.disk.store.flush())
        assert self.disk.store.stats().entries == len(self.model)
        assert self.disk.notes[1:] == []
        self.loop.run_until_complete(self.disk.store.aclose())
        self.loop.close()
        shutil.rmtree(self.folder)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=8, stateful_step_count=20)
