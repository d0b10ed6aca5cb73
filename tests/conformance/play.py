"""One vector played to one client, and what is wrong with what came of it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any, Final

from google.protobuf import json_format

from sidecard.v1 import generation_pb2 as pb
from sidecard.v1.stream_pb2 import StreamEvent
from tests.conformance.driver import Driver, packed, unpacked
from tests.conformance.judge import mismatches
from tests.conformance.said import Heard, as_json, saying
from tests.conformance.stage import Stage
from tests.conformance.vectors import Json, Step, Vector

CANNOT: Final = "cannot"


async def play(vector: Vector, driver: Driver, stage: Stage) -> list[str]:
    """Return what is wrong; nothing if the client keeps the vector's promise."""
    wrong = []
    earlier: Json = {}
    async with _behind(vector, stage) as (address, heard):
        for i, step in enumerate(vector.calls):
            told = stage.with_folder(vector.client)
            job = {"address": address, **told, **_job(step, earlier)}
            report = _readable(await driver.report(job))
            if CANNOT in report and "after_s" in (step.leave or {}):
                return []  # A call that blocks is left by nobody.
            earlier = report.get("response") or {}
            wrong += [f"call {i + 1}{line}" for line in _judged(step, report)]
        wrong += [line async for line in _around(vector, stage, heard)]
    return wrong


@asynccontextmanager
async def _behind(vector: Vector, stage: Stage) -> AsyncIterator[tuple[str, Heard | None]]:
    if vector.daemon_says is None:
        yield await stage.set(vector.daemon, vector.upstream), None
    else:
        async with saying(vector.daemon_says) as heard:
            yield heard.address, heard


def _job(step: Step, earlier: Json) -> Json:
    request = json_format.ParseDict(_filled(step.request, earlier), pb.GenerateRequest())
    said = {"request_id": step.request_id, "timeout_s": step.timeout_s, "leave": step.leave}
    job = {"method": step.method, "request": packed(request)}
    return {**job, **{key: value for key, value in said.items() if value}}


def _filled(value: Any, earlier: Json) -> Any:
    """Return a request with `{$earlier: path}` and `{$repeat: [text, times]}` put into it."""
    if isinstance(value, list):
        return [_filled(part, earlier) for part in value]
    if not isinstance(value, dict):
        return value
    if "$repeat" in value:
        text, times = value["$repeat"]
        return text * times
    if "$earlier" in value:
        found: Any = earlier
        for key in value["$earlier"].split("."):
            found = found[int(key) if key.isdigit() else key]
        return found
    return {key: _filled(part, earlier) for key, part in value.items()}


def _readable(report: Json) -> Json:
    """Return a report with its messages of the contract as the vectors write them."""
    if report.get("response") is not None:
        report["response"] = as_json(unpacked(pb.GenerateResponse, report["response"]))
    if "events" in report:
        events = [unpacked(StreamEvent, event) for event in report["events"]]
        kinds = [event.WhichOneof("event") or "unknown" for event in events]
        report["events"] = [kind for kind, _ in groupby(kinds)]
        report["pieces"] = [event.text_delta for event in events if event.text_delta]
    return report


def _judged(step: Step, report: Json) -> Iterator[str]:
    for end in ("error", "left"):
        if report.get(end) and end not in step.expect:
            yield f": {end}, which wasn't expected: {report[end]}"
            return
    yield from mismatches(step.expect, report)
    error = step.expect.get("error")
    if error is not None and report.get("error") and not error.keys() <= report["error"].keys():
        yield f": the report of an error lacks {sorted(error.keys() - report['error'].keys())}"


async def _around(vector: Vector, stage: Stage, heard: Heard | None) -> AsyncIterator[str]:
    """Say what is wrong with what the daemon and the upstream saw."""
    seen: Json = {}
    if heard is not None:
        seen |= {"daemon_calls": heard.calls, "daemon_heard": heard.heard}
    else:
        abandoned = await stage.upstream_abandoned(vector.upstream_abandoned or 0)
        seen |= {"upstream_abandoned": abandoned, "upstream_requests": stage.upstream_requests}
        if vector.upstream_got is not None:
            seen["upstream_got"] = stage.upstream_got
    for name in seen:
        expected = getattr(vector, name)
        if expected is not None:
            for line in mismatches(expected, seen[name]):
                yield f"{name}{line}"
