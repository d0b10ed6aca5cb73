"""A judge without a process of its own, which judges as the worker does."""

import asyncio

from sidecard.core.event import OutputViolation
from sidecard.core.verdict import How, Verdict
from sidecard.schema.judge import Judge


class HereJudge:
    """An `OutputJudge` that notes what it was asked."""

    def __init__(self) -> None:
        self._judge = Judge()
        self.answers: list[str] = []

    async def problem(self, schema: str, limit_s: float, whose: str = "") -> str:
        assert limit_s > 0, whose
        (found,) = self._judge.answers(schema, None)
        return str(found["problem"])

    async def verdict(self, schema: str, answer: str, limit_s: float, whose: str = "") -> Verdict:
        assert limit_s > 0, whose
        await asyncio.sleep(0)
        self.answers.append(answer)
        found = {
            key: value
            for part in self._judge.answers(schema, answer)
            for key, value in part.items()
        }
        if found["valid"]:
            return Verdict(found["output_json"], How(found["how"]))
        violations = [OutputViolation(path, told) for path, told in found["violations"]]
        return Verdict(violations=tuple(violations))
