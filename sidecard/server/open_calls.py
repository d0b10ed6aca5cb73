"""The calls that are open, for a stop that lets them finish and tells those that can't."""

import asyncio


class OpenCalls:
    """Told of each call by its task. Not to be shared between event loops.

    `cut` turns true when the time to finish is over: from then on a call's cancellation is ours.
    """

    def __init__(self) -> None:
        self.cut = False
        self._tasks: set[asyncio.Task[object]] = set()

    def add(self) -> asyncio.Task[object]:
        """Count the running task's call until the task ends, which is when its end has been sent.

        Returns the task, since that takes a while to find out on Python 3.11.
        """
        if (task := asyncio.current_task()) is None:
            msg = "a call is answered by a task"
            raise RuntimeError(msg)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, grace_s: float, *, tell_s: float) -> int:
        """Return how many calls were cut, after `grace_s` and `tell_s` to tell them, at most."""
        await self._ended(grace_s)
        late = len(self._tasks)
        self.cut = True
        for task in tuple(self._tasks):
            task.cancel()
        await self._ended(tell_s)
        return late

    async def _ended(self, timeout_s: float) -> None:
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=timeout_s)

    def __len__(self) -> int:
        return len(self._tasks)

    def __repr__(self) -> str:
        return f"<OpenCalls, {len(self._tasks)} open{', cut' if self.cut else ''}>"
