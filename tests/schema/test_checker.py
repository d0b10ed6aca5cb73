"""`Checker`: the worker answers, is ended when it takes too long, and comes back."""

import asyncio
import io
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sidecard.core.errors import InvalidCall, Overloaded
from sidecard.core.verdict import How
from sidecard.schema.checker import Checker
from sidecard.schema.frames import LENGTH, frame
from sidecard.schema.judge import Judge
from sidecard.schema.worker import serve

SCHEMA = json.dumps({"type": "object", "required": ["a"]})
LIMIT_S = 20.0


def branching(levels: int) -> dict[str, Any]:
    """Return a schema that takes twice as long with each level."""
    two = [[{"$ref": f"#/$defs/a{n + 1}"}] * 2 for n in range(levels)]
    defs: dict[str, Any] = {f"a{n}": {"anyOf": both} for n, both in enumerate(two)}
    return {"$defs": {**defs, f"a{levels}": {"const": 1}}, "$ref": "#/$defs/a0"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def checker() -> AsyncIterator[Checker]:
    made = Checker()
    yield made
    await made.aclose()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_it_answers(checker: Checker) -> None:
    """One worker serves all, one after the other."""
    assert await checker.problem(SCHEMA, LIMIT_S) == ""
    found = await asyncio.gather(
        *[checker.verdict(SCHEMA, f'Yes: {{"a": {n}}}', LIMIT_S) for n in range(20)]
    )
    assert [verdict.output_json for verdict in found] == [f'{{"a":{n}}}' for n in range(20)]
    assert {verdict.how for verdict in found} == {How.EXTRACTED}
    bad = await checker.verdict(SCHEMA, "{}", LIMIT_S)
    assert not bad.valid
    assert "required" in bad.violations[0].description
    assert checker.started == 1


async def test_a_bad_schema_is_told(checker: Checker) -> None:
    """And remembered, so that it is told again without a worker."""
    problem = await checker.problem('{"type": 5}', LIMIT_S)
    assert "at /type" in problem
    assert await checker.problem('{"type": 5}', LIMIT_S) == problem


async def test_an_explosive_schema_is_ended_and_refused() -> None:
    """The loop goes on meanwhile; from then on the schema is refused before anything is asked."""
    checker = Checker()
    schema = json.dumps(branching(40))
    try:
        assert await checker.problem(schema, LIMIT_S) == ""
        ticks = 0
        question = asyncio.ensure_future(checker.verdict(schema, "2", 0.2))
        while not question.done():
            await asyncio.sleep(0.005)
            ticks += 1
        with pytest.raises(InvalidCall, match=r"output_schema: takes more than 0.2 s"):
            question.result()
        assert ticks > 5
        assert "takes more" in await checker.problem(schema, LIMIT_S)
        assert (await checker.verdict(SCHEMA, '{"a":1}', LIMIT_S)).valid
        assert checker.started == 2
    finally:
        await checker.aclose()


async def test_faults_that_take_too_long_to_list_are_told_in_one() -> None:
    """The verdict stands all the same: the list alone explodes."""
    checker = Checker()
    try:
        found = await checker.verdict(json.dumps(branching(16)), "2", LIMIT_S)
        assert [v.description for v in found.violations] == [
            "the answer doesn't satisfy the schema"
        ]
    finally:
        await checker.aclose()


async def test_a_caller_who_leaves_takes_no_other_answer_along(checker: Checker) -> None:
    """The next question gets its own answer."""
    await checker.problem(SCHEMA, LIMIT_S)
    left = asyncio.ensure_future(checker.verdict(SCHEMA, '{"a":"left"}', LIMIT_S))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    left.cancel()
    found = await checker.verdict(SCHEMA, '{"a":"stayed"}', LIMIT_S)
    assert found.output_json == '{"a":"stayed"}'


async def test_a_tenant_that_floods_it_leaves_the_others_their_turn(checker: Checker) -> None:
    """Its schemas cost it nothing, and each may take its second."""
    ended: list[str] = []

    async def ask(whose: str, number: int) -> None:
        await checker.problem(json.dumps({"const": f"{whose} {number}"}), LIMIT_S, whose)
        ended.append(whose)

    await checker.problem(SCHEMA, LIMIT_S)
    flood = [asyncio.ensure_future(ask("flood", number)) for number in range(30)]
    await asyncio.gather(*flood, ask("other", 1))
    assert ended.index("other") <= 2


async def test_a_worker_that_was_killed_is_replaced(checker: Checker) -> None:
    """Between two questions nobody notices."""
    await checker.problem(SCHEMA, LIMIT_S)
    await checker.verdict(SCHEMA, "{}", LIMIT_S)
    worker = checker._worker
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    await worker.wait()
    assert (await checker.verdict(SCHEMA, '{"a":1}', LIMIT_S)).valid


async def test_a_worker_that_stands_still_is_nobodys_fault() -> None:
    """Of a node that has no time for it, say: the call may come again, and finds another."""
    checker = Checker(patience_s=0.2)
    try:
        await checker.problem(SCHEMA, LIMIT_S)
        assert checker._worker is not None
        os.kill(checker._worker.pid, signal.SIGSTOP)
        with pytest.raises(Overloaded, match="no CPU time"):
            await checker.verdict(SCHEMA, "{}", 0.1)
        assert (await checker.verdict(SCHEMA, '{"a":1}', LIMIT_S)).valid
    finally:
        await checker.aclose()


BOUNDED: dict[str, tuple[dict[str, Any], str]] = {
    "a catastrophic pattern": ({"pattern": "^(a+)+$"}, json.dumps("a" * 100_000 + "b")),
    "another": ({"pattern": "^(a|aa)*$"}, json.dumps("a" * 100_000 + "b")),
    "many patterns": ({"patternProperties": {f"^x{n}": {} for n in range(900)}}, '{"x1":1}'),
    "itself": ({"$ref": "#"}, "1"),
    "each other": ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
                    "$ref": "#/$defs/a"}, "1"),
    "itself, deeply": ({"items": {"$ref": "#"}}, "[" * 190 + "]" * 190),
    "all different": ({"uniqueItems": True}, json.dumps([{"a": n} for n in range(5_000)])),
    "a long list": ({"enum": [f"{n}" for n in range(20_000)]}, '"no"'),
    "far away": ({"$dynamicRef": "#a", "$defs": {"x": {"$dynamicAnchor": "a"}}}, "1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUNDED)
async def test_what_looks_explosive_has_its_verdict_in_time(checker: Checker, name: str) -> None:
    """By one second of CPU time: a verdict, or the refusal of the schema."""
    schema, answer = BOUNDED[name]
    text = json.dumps(schema)
    if not await checker.problem(text, 1.0):
        try:
            found = await checker.verdict(text, answer, 1.0)
        except InvalidCall as error:
            assert error.violations[0].field == "output_schema"  # noqa: PT017
        else:
            assert found.valid != bool(found.violations)
    assert (await checker.verdict(SCHEMA, '{"a":1}', LIMIT_S)).valid


@pytest.mark.parametrize("levels", [300, 3_000])
async def test_a_schema_as_deep_as_that_is_looked_at_or_refused(
    checker: Checker, levels: int
) -> None:
    """Nothing breaks, here or in the worker."""
    text = '{"not":' * levels + "true" + "}" * levels
    problem = await checker.problem(text, 1.0)
    if not problem:
        assert (await checker.verdict(text, "1", 1.0)).valid is (levels % 2 == 0)


async def test_the_worker_gets_no_key(checker: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment holds what Python needs, and ends with the daemon's end of the pipe."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret")
    other = Checker()
    try:
        await other.problem(SCHEMA, LIMIT_S)
        worker = other._worker
        assert worker is not None
        with open(f"/proc/{worker.pid}/environ", "rb") as environ:  # noqa: ASYNC230, PTH123
            assert b"sk-ant" not in environ.read()
        worker.close()
        assert await worker.wait() == 0
    finally:
        await other.aclose()
    del checker


async def test_a_bug_is_told_as_one(checker: Checker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as the schema's fault: where it is, without a word of the answer; the next is served."""

    def broken(*_: object) -> object:
        msg = "of the answer"
        raise IndexError(msg)

    monkeypatch.setattr(Judge, "answers", broken)
    question, told = frame({"schema": "{}", "answer": "x", "limit_s": LIMIT_S}), io.BytesIO()
    serve(io.BytesIO(question * 2), told)
    ready = frame({"ready": True})
    bug = json.loads(told.getvalue()[len(ready) + LENGTH.size :])
    assert bug["bug"].startswith("IndexError at test_checker.py:")
    assert (told.getvalue().count(b"bug"), b"of the answer" in told.getvalue()) == (1, False)

    await checker.verdict(SCHEMA, "{}", LIMIT_S)
    before = checker.started

    async def read(*_: object) -> object:
        return bug

    with monkeypatch.context() as patch:
        patch.setattr(checker, "_read", read)
        with pytest.raises(RuntimeError, match=r"test_checker\.py"):
            await checker.verdict(SCHEMA, "{}", LIMIT_S)
    assert (await checker.verdict(SCHEMA, '{"a":1}', LIMIT_S)).valid
    assert checker.started == before + 1
