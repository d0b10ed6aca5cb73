"""Reloading: a changed configuration takes effect while calls run, or is refused as a whole.

It is read again at a SIGHUP, at an order, and when its file has changed. That is looked for by
looking, once a second, as Kubernetes turns a link elsewhere where others would write a file, and
by what is in the file, as much else touches one. What changed is read when it has been the same
for two looks: the half of a file may be a configuration too, one without budgets.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Self

from sidecard.config.file import sha256
from sidecard.config.live import held
from sidecard.config.plan import Plan
from sidecard.config.problems import ConfigError
from sidecard.config.reloads import Reloads
from sidecard.config.schema import Config
from sidecard.core.clock import Clock

LOOK_EVERY_S: Final = 1.0

_log = logging.getLogger(__name__)


class Reloader:
    """Puts what `plan` reads into force by `adopt`, one at a time; entered, it watches.

    `plan` raises `ConfigError`, and is run in a thread, as calls go on meanwhile.
    """

    def __init__(
        self,
        plan: Callable[[], Plan],
        running: Plan,
        *,
        adopt: Callable[[Config], Awaitable[object]],
        clock: Clock,
        reloads: Reloads,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._plan = plan
        self._config = running.loaded.config
        self._upstream = running.upstream
        self._file = running.loaded.file
        self._tried = running.loaded.sha256
        self._adopt = adopt
        self._clock = clock
        self._look_every_s = look_every_s
        self._asked = asyncio.Event()
        self._one = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self.reloads = reloads

    async def reload(self, why: str) -> Reloads:
        """Read the configuration and put it into force; raises `ConfigError`, and changes nothing.

        `why` is who wants it, for the log.
        """
        async with self._one:
            try:
                plan = await asyncio.to_thread(self._plan)
                self._tried = plan.loaded.sha256
                await self._take(plan, why)
            except ConfigError as error:
                self._refuse([str(problem) for problem in error.problems], why)
                raise
            except Exception as error:
                self._refuse([f"it could not be put into force: {error}"], why)
                raise
            return self.reloads

    async def _take(self, plan: Plan, why: str) -> None:
        config, waiting = held(self._config, plan.loaded.config)
        if plan.upstream != self._upstream:
            waiting = (*waiting, "upstream")
        changed = config != self._config
        if changed:
            await self._adopt(config)
            self._config = config
        self.reloads.took(plan.loaded.sha256, waiting, self._clock.wall())
        facts = {"why": why, "sha256": plan.loaded.sha256, "changed": changed}
        _log.info("configuration reloaded", extra=facts)
        if waiting:
            facts = {"fields": list(waiting), "fix": "restart the daemon for them to take effect"}
            _log.warning("configuration fields wait for a restart", extra=facts)

    def _refuse(self, problems: list[str], why: str) -> None:
        self.reloads.refused(problems)
        facts = {"why": why, "mistakes": list(self.reloads.problems)}
        _log.error("configuration refused; the one before stays in force", extra=facts)

    async def __aenter__(self) -> Self:
        """Begin to watch."""
        with suppress(NotImplementedError):  # There is no SIGHUP.
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it. A SIGHUP is then without effect, and doesn't end a daemon that drains."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    async def _watch(self) -> None:
        seen, settled = self._stamp(), False  # It may have changed since it was first read.
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self._look_every_s)
            if self._asked.is_set():
                self._asked.clear()
                await self._try("SIGHUP")
                continue
            now = self._stamp()
            if now != seen:
                seen, settled = now, False
            elif self._file is not None and not (settled and self._tried):
                # One that can't be read is told once, and may be read later as it is.
                found, told = sha256(self._file), settled
                settled = True
                if found != self._tried or not (found or told):
                    self._tried = found
                    await self._try("the file changed")

    async def _try(self, why: str) -> None:
        """Reload; a mistake has been said."""
        try:
            await self.reload(why)
        except ConfigError:
            pass
        except Exception:  # noqa: BLE001  # the daemon goes on, and the log says what is wrong
            _log.exception("a bug")

    def _stamp(self) -> tuple[int, ...]:
        """Return what changes when the file is written, replaced, or its link is turned."""
        if self._file is None:
            return ()
        try:
            found = self._file.stat()
        except OSError:
            return ()
        return (
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )
