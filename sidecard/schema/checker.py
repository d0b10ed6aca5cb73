"""The checker: the daemon's end of the worker that holds answers against schemas.

One worker, started with the first call that has a schema: it takes 15 MB.
A question that takes too much CPU time ends it, the next question starts another, and the schema
is refused from then on, before anything is paid for. So no schema can hold up the event loop.
"""

import asyncio
import hashlib
import signal
from collections import OrderedDict
from typing import Any, Final

from sidecard.core.errors import InvalidCall, Overloaded, SidecardError, Violation
from sidecard.core.event import OutputViolation
from sidecard.core.verdict import How, Verdict, invalid
from sidecard.schema.process import WorkerProcess
from sidecard.schema.turns import Turns

_START_S: Final = 30.0
_DETAILS_S: Final = 0.25
_PATIENCE_S: Final = 30.0
"""How much longer than its CPU time a question may take, on a node that is busy."""

_MOST_SCHEMA: Final = 256 * 1024
_MOST_ANSWER: Final = 4 * 1024 * 1024
"""In characters: more than any model writes, and little enough for the worker's memory."""

_REMEMBERED: Final = 512
_GONE: Final = (TimeoutError, EOFError, OSError)
"""How a worker is missed that took too long, or ended itself for lack of memory."""


class Checker:
    """An `OutputJudge`. Shared by all tasks of one event loop.

    The worker serves one at a time, of those who wait each tenant in its turn.
    """

    def __init__(self, *, patience_s: float = _PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._turns = Turns()
        self._worker: WorkerProcess | None = None
        self._problems: OrderedDict[bytes, str] = OrderedDict()
        self.started = 0

    async def problem(self, schema: str, limit_s: float, whose: str = "") -> str:
        """Return why a schema can't be used; remembered for the next call that has it."""
        if len(schema) > _MOST_SCHEMA:
            return f"is {len(schema):,} characters of JSON; at most {_MOST_SCHEMA:,} are taken"
        key = _key(schema)
        known = self._problems.get(key)
        if known is not None:
            self._problems.move_to_end(key)
            return known
        async with self._turns.of(whose):
            if key in self._problems:  # Somebody asked meanwhile.
                return self._problems[key]
            worker = await self._ready()
            try:
                answer = await self._ask(worker, schema, None, limit_s)
            except _GONE as error:
                raise await self._gone(worker, key, limit_s, error) from None
        return self._remember(key, str(answer["problem"]))

    async def verdict(self, schema: str, answer: str, limit_s: float, whose: str = "") -> Verdict:
        """Return the verdict; of an answer whose faults take too long to list, it names one."""
        if len(answer) > _MOST_ANSWER:
            return invalid(f"the answer is longer than {_MOST_ANSWER:,} characters")
        async with self._turns.of(whose):
            worker = await self._ready()
            try:
                found = await self._ask(worker, schema, answer, limit_s)
            except _GONE as error:
                raise await self._gone(worker, _key(schema), limit_s, error) from None
            if found.get("valid"):
                return Verdict(found["output_json"], How(found["how"]))
            if "problem" in found:
                raise InvalidCall(Violation("output_schema", found["problem"]))
            try:
                details = await self._read(worker, _DETAILS_S)
            except _GONE:
                return invalid("the answer doesn't satisfy the schema")
        violations = [OutputViolation(path, told) for path, told in details["violations"]]
        return Verdict(violations=tuple(violations)) if violations else invalid("no such answer")

    async def aclose(self) -> None:
        """End the worker."""
        async with self._turns.of(""):
            if (worker := self._worker) is not None:
                self._drop(worker)
                await worker.wait()

    async def _ask(
        self, worker: WorkerProcess, schema: str, answer: str | None, limit_s: float
    ) -> dict[str, Any]:
        worker.send({"schema": schema, "answer": answer, "limit_s": limit_s})
        found = await self._read(worker, limit_s + self._patience_s)
        if "bug" in found:
            self._drop(worker)
            raise RuntimeError(found["bug"])
        return found

    async def _read(self, worker: WorkerProcess, limit_s: float) -> dict[str, Any]:
        """Return the next answer; without one, whatever the reason, the worker is of no more use.

        A caller who leaves in the middle ends it too: its answer would be taken for the next one's.
        """
        try:
            async with asyncio.timeout(limit_s):
                return await worker.read()
        except BaseException:
            self._drop(worker)
            raise

    async def _ready(self) -> WorkerProcess:
        """Return the worker, started if there is none."""
        if (worker := self._worker) is not None:
            if worker.runs:
                return worker
            self._drop(worker)
        try:
            worker = self._worker = await WorkerProcess.start()
            await self._read(worker, _START_S)
        except _GONE as error:
            msg = f"the process that checks answers can't be started: {type(error).__name__}"
            raise Overloaded(msg, retry_after_s=1.0) from error
        self.started += 1
        return worker

    def _drop(self, worker: WorkerProcess) -> None:
        if self._worker is worker:
            self._worker = None
        worker.kill()

    async def _gone(
        self, worker: WorkerProcess, key: bytes, limit_s: float, error: Exception
    ) -> SidecardError:
        """Return why there is no answer; what is the schema's fault is remembered."""
        status = await worker.wait()
        if isinstance(error, TimeoutError):
            msg = "the process that checks answers got no CPU time"
            return Overloaded(msg, retry_after_s=1.0)
        if status != -signal.SIGPROF:
            told = "takes too much memory to compile, or to hold this answer against"
            return InvalidCall(Violation("output_schema", told))
        told = (
            f"takes more than {limit_s:g} s of CPU time to compile, or to hold an answer against "
            "(structured.check_s); simplify what branches and recurs in it"
        )
        self._remember(key, told)
        return InvalidCall(Violation("output_schema", told))

    def _remember(self, key: bytes, problem: str) -> str:
        self._problems[key] = problem
        if len(self._problems) > _REMEMBERED:
            self._problems.popitem(last=False)
        return problem

    def __repr__(self) -> str:
        state = "no worker" if self._worker is None else f"worker {self._worker.pid}"
        return f"<Checker, {state}, {self.started} started, {len(self._problems)} schemas known>"


def _key(schema: str) -> bytes:
    return hashlib.blake2b(schema.encode("utf-8", "surrogatepass"), digest_size=32).digest()
