"""Plays a script: decides which request gets which step."""

from fnmatch import fnmatchcase

from sidecard.simulator.script import Script
from sidecard.simulator.steps import Match, Refuse, Step


class Player:
    """Hands out a script's steps. Sync, with the clock passed in; used by one event loop."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._used: list[int] = []
        self._began: list[float | None] = []
        self._rewind()

    def take(self, *, model: str, path: str, stream: bool, now: float) -> Step | None:
        """Return the step for a request, and use it up by one; None for normal service."""
        for _ in range(2 if self._script.repeat else 1):
            for index, step in enumerate(self._script.steps):
                if self._spent(index, now) or isinstance(step, Refuse):
                    continue
                if _matches(step.match, model, path, stream=stream):
                    self._used[index] += 1
                    if self._began[index] is None:
                        self._began[index] = now
                    return step
            if not all(self._spent(i, now) for i in range(len(self._used))):
                return None
            if self._script.repeat:
                self._rewind()
        return None

    def take_refusal(self, now: float) -> Refuse | None:
        """Return the `refuse` step that is next, if one is, and use it up by one."""
        for index, step in enumerate(self._script.steps):
            if not self._spent(index, now):
                if not isinstance(step, Refuse):
                    return None
                self._used[index] += 1
                return step
        return None

    def _spent(self, index: int, now: float) -> bool:
        step, began = self._script.steps[index], self._began[index]
        times = step.times or ("always" if step.for_s is not None else 1)
        if step.for_s is not None and began is not None and now >= began + step.for_s:
            return True
        return times != "always" and self._used[index] >= times

    def _rewind(self) -> None:
        self._used = [0] * len(self._script.steps)
        self._began = [None] * len(self._script.steps)

    def __repr__(self) -> str:
        return f"<Player {sum(self._used)} taken of {len(self._script.steps)} steps>"


def _matches(match: Match, model: str, path: str, *, stream: bool) -> bool:
    return (
        fnmatchcase(model, match.model)
        and fnmatchcase(path, match.path)
        and match.stream in {None, stream}
    )
