"""One soak: a daemon before the simulator, callers, and what disturbs them; a line now and then."""

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

from sidecard.simulator.pace import Pace
from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from tests.chaos.load import Lag, status
from tests.soak.judge import Ended, Left, Look, calls, growth, rest
from tests.soak.load import Callers
from tests.support.daemon import Daemon, running, settings
from tests.support.rpc import connected

HEAD: Final = (
    "|   s | calls | answered | unary p50 / p99 | first event p50 / p99 | RSS MiB | heap MiB "
    "| fds | tasks | threads | in flight | reloads | keys |\n"
    "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)
_LOOK_EVERY_S: Final = 0.5
_RELOAD_EVERY_S: Final = 4.0
_ROTATE_EVERY_S: Final = 7.0
_MARGIN_S: Final = 0.5
_GOOD: Final = {"fault": "none", "times": 18}
_FAULTS: Final = (
    {"fault": "status", "status": 529, "times": 3},
    {"fault": "reset"},
    {"fault": "truncate", "after_events": 6},
    {"fault": "stall", "after_events": 5},
    {"fault": "status", "status": 429, "headers": {"retry-after": "1"}},
    {"fault": "slow_first_event", "delay_s": 2.5, "preamble": True},
    {"fault": "error", "type": "overloaded_error", "after_events": 3},
    {"fault": "html", "status": 502},
    {"fault": "malformed", "after_events": 5},
    {"fault": "blackhole"},
    {"fault": "status", "status": 500, "times": 6},
)
_TARGETS: Final = [{"model": "claude-sonnet-5-5"}, {"model": "claude-haiku-5-5"}]
_ALL: Final = {"name": "all", "tokens": 1_000_000_000_000, "per": "month"}
_VARIANTS: Final[Sequence[dict[str, Any]]] = (
    {},
    {"admission": {"in_flight": 4}, "hedge": {"enabled": True}},
    {"limits": {"requests_per_minute": 100_000}, "breaker": {"window": "count"}},
    {"routes": {"default": {"targets": _TARGETS[::-1]}, "more": {"targets": _TARGETS}}},
    {"budgets": {"limits": [_ALL, {"name": "more", "calls": 10_000_000, "per": "day"}]}},
    {"retry": {"max_attempts": "many"}},
    {"cache": {"enabled": True, "ttl_s": 1}, "breaker": {"mode": "disabled"}},
    {"listen": {"reflection": False}, "log": {"level": "error"}},
)


class Soak:
    """State: what was seen so far."""

    def __init__(self, folder: Path, *, for_s: float, say: Callable[[str], object]) -> None:
        self.looks: list[Look] = []
        self.reloads = self.rotations = 0
        self._folder = folder
        self._for_s = for_s
        self._say = say
        self._told = 0
        self._began = time.monotonic()

    async def run(self, *, callers: int, seed: int = 1, line_every_s: float = 60.0) -> list[str]:
        """Run to the end; return what is wrong, in sentences."""
        script = [step for fault in _FAULTS for step in (_GOOD, fault)]
        async with Simulator(
            Script.of(*script, repeat=True), pace=Pace(first_event_s=0.02, delta_s=0.003)
        ) as sim:
            self._rotate(sim)
            self._write(_VARIANTS[0])
            async with self._daemon(sim) as daemon, connected(daemon.address) as caller:
                lag, load = Lag(), Callers(caller, number=callers, seed=seed)
                self._say(HEAD)
                others = [
                    asyncio.create_task(self._disturb(daemon)),
                    asyncio.create_task(self._rotates(sim)),
                ]
                await self._watch(daemon, load, line_every_s)
                for task in others:
                    task.cancel()
                await asyncio.wait(others)
                await load.stop()
                margin_s = _MARGIN_S + await lag.stop()
                left = await self._left(daemon, sim)
                return [
                    *calls(load.ended, margin_s=margin_s),
                    *growth(self.looks),
                    *rest(left),
                    *[str(e) for t in others if not t.cancelled() and (e := t.exception())],
                ]

    @asynccontextmanager
    async def _daemon(self, sim: Simulator) -> AsyncIterator[Daemon]:
        env = settings(sim.base_url) | {
            "SIDECARD_UPSTREAM__API_KEY_FILE": str(self._folder / "key"),
            "SIDECARD_DATA_DIR": str(self._folder / "data"),
        }
        for name in (
            "ANTHROPIC_API_KEY",
            "SIDECARD_CACHE__ENABLED",
            "SIDECARD_CACHE__COALESCE",
        ):
            del env[name]
        async with running(env, "--config", str(self._folder / "sidecard.yaml")) as daemon:
            yield daemon

    def _write(self, variant: dict[str, Any]) -> None:
        config: dict[str, Any] = {
            "routes": {"default": {"targets": _TARGETS}},
            "timeouts": {"first_event_s": 1.5, "idle_s": 1.0, "connect_s": 1.0},
            "cache": {"enabled": True, "ttl_s": 20, "max_bytes": 8_388_608},
            "breaker": {"minimum_calls": 5, "open_s": 0.5, "max_open_s": 2},
            "budgets": {"limits": [_ALL]},
            "log": {"sample": 0.0},
        }
        for section, fields in variant.items():
            config[section] = {**config.get(section, {}), **fields}
        beside = self._folder / "sidecard.new"
        beside.write_text(json.dumps(config))
        beside.replace(self._folder / "sidecard.yaml")

    def _rotate(self, sim: Simulator) -> None:
        """Put another key into the file, and withdraw the one before."""
        self.rotations += 1
        key, beside = f"sk-ant-soak-{self.rotations}", self._folder / "key.new"
        beside.write_text(key)
        beside.replace(self._folder / "key")
        sim.accept(key)

    async def _disturb(self, daemon: Daemon) -> None:
        for number in count(1):
            await asyncio.sleep(_RELOAD_EVERY_S)
            self._write(_VARIANTS[number % len(_VARIANTS)])
            if number % 3 == 0:
                daemon.signal(signal.SIGHUP)
            self.reloads += 1

    async def _rotates(self, sim: Simulator) -> None:
        while True:
            await asyncio.sleep(_ROTATE_EVERY_S)
            self._rotate(sim)

    async def _watch(self, daemon: Daemon, load: Callers, line_every_s: float) -> None:
        due = line_every_s
        while (at_s := time.monotonic() - self._began) < self._for_s:
            self.looks.append(await _look(daemon, at_s))
            if at_s >= due:
                self._line(load.ended)
                due += line_every_s
            await asyncio.sleep(_LOOK_EVERY_S)
        self._line(load.ended)

    def _line(self, ended: Sequence[Ended]) -> None:
        """Say how it stands, with the calls since the last line."""
        look, since, self._told = self.looks[-1], ended[self._told :], len(ended)
        unary = [call.took_s for call in since if call.kind == "unary" and not call.reason]
        first = [call.first_s for call in since if call.first_s is not None]
        answered = sum([not call.reason for call in since if not call.wanted])
        self._say(
            f"| {look.at_s:.0f} | {len(since)} | {answered} | {_quantiles(unary)} "
            f"| {_quantiles(first)} | {look.rss_bytes / 2**20:.1f} "
            f"| {look.heap_bytes / 2**20:.1f} | {look.files} | {look.tasks} | {look.threads} "
            f"| {look.in_flight} | {self.reloads} | {self.rotations} |"
        )

    async def _left(self, daemon: Daemon, sim: Simulator) -> Left:
        """Return what is left once it had some seconds to come to rest."""
        found, left = dict[str, Any](), None
        for _ in range(50):
            found = await status(daemon.admin)
            left = _read(found, sim, daemon)
            if not (left.in_flight or left.reserved or left.flights or left.upstream_open):
                break
            await asyncio.sleep(0.2)
        assert left is not None
        return left


async def _look(daemon: Daemon, at_s: float) -> Look:
    found = await status(daemon.admin)
    lines = Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return Look(
        at_s,
        rss_bytes=daemon.rss_bytes,
        heap_bytes=int(fields["RssAnon"].split()[0]) * 1024,
        files=daemon.open_files,
        tasks=found["tasks"],
        threads=int(fields["Threads"]),
        in_flight=_in_flight(found),
    )


def _in_flight(found: dict[str, Any]) -> int:
    return sum([places["in_flight"] for places in found["admission"].values()])


def _read(found: dict[str, Any], sim: Simulator, daemon: Daemon) -> Left:
    accounts = found["budgets"]["accounts"]
    [spent] = [account["spent"] for account in accounts if account["budget"] == "all"]
    return Left(
        in_flight=_in_flight(found),
        upstream_busy=sum([target["limits"]["in_flight"] for target in found["targets"]]),
        reserved=found["budgets"]["open"],
        flights=found["cache"]["flights"],
        upstream_open=sim.books.requests_open,
        spent_tokens=spent,
        billed_tokens=sum(sim.books.tokens.values()),
        errors=errors(daemon.lines),
    )


def errors(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Return what the daemon logged that it should never log, each once."""
    wrong: Counter[str] = Counter()
    for line in lines:
        event = str(line.get("event"))
        refused = event.startswith("configuration refused")
        if "exception" in line or (line.get("level") == "error" and not refused):
            wrong[event] += 1
    return [f"{event} ({times} times)" for event, times in wrong.items()]


def _quantiles(times_s: Sequence[float]) -> str:
    if not times_s:
        return "-"
    ordered = sorted(times_s)
    half, most = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    return f"{half * 1000:.0f} / {most * 1000:.0f} ms"
