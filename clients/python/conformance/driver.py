"""The conformance driver of the Python client: makes calls as it is told, and reports them.

    python conformance/driver.py [--blocking]

Without the flag the awaiting client is driven. `clients/conformance/README.md` has the protocol.
"""

# ruff: noqa: INP001  # a program, not a module

import asyncio
import base64
import json
import sys
from typing import Any, TypeVar, cast

from google.protobuf.message import Message

from sidecard.v1 import generation_pb2 as pb
from sidecard.v1.stream_pb2 import StreamEvent
from sidecard_client import AsyncClient, Client, Options, SidecardError, Tls
from sidecard_client.progress import Progress

Json = dict[str, Any]
_C = TypeVar("_C", Client, AsyncClient)
CLIENTS: dict[str, Client | AsyncClient] = {}


def main() -> None:
    """Do one job a line until the input ends."""
    blocking = "--blocking" in sys.argv
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            job = json.loads(line)
            report = block(job) if blocking else runner.run(wait(job))
            sys.stdout.write(json.dumps(report) + "\n")
            sys.stdout.flush()


def block(job: Json) -> Json:
    """Do a job with the client that blocks."""
    leave, options = job.get("leave") or {}, asked(job)
    if "after_s" in leave:
        return {"cannot": "a call that blocks has no handle to be left by"}
    client = client_of(Client, job)
    if job["method"] == "stream":
        return block_stream(client, options, leave)
    try:
        if job["method"] == "count_tokens":
            return {"input_tokens": client.count_tokens(**options)}
        return {"response": packed(client.generate(**options).raw)}
    except SidecardError as error:
        return {"error": told(error)}


def block_stream(client: Client, options: Options, leave: Json) -> Json:
    """Read a stream to its end, or to where it is to be left."""
    report: Json = {"events": []}
    with client.stream(**options) as stream:
        try:
            if leave.get("after_pieces") != 0:
                for event in stream:
                    report["events"].append(packed(event))
                    if pieces(report, event) == leave.get("after_pieces"):
                        break
        except SidecardError as error:
            report["error"] = told(error)
    return ended(report, stream, leave)


async def wait(job: Json) -> Json:
    """Do a job with the client that awaits."""
    leave, options = job.get("leave") or {}, asked(job)
    client = client_of(AsyncClient, job)
    if job["method"] == "stream":
        return await wait_stream(client, options, leave)
    try:
        if job["method"] == "count_tokens":
            return {"input_tokens": await client.count_tokens(**options)}
        call = asyncio.create_task(client.generate(**options))
        if "after_s" in leave:
            await asyncio.sleep(leave["after_s"])
            call.cancel()
        return {"response": packed((await call).raw)}
    except SidecardError as error:
        return {"error": told(error)}
    except asyncio.CancelledError:
        return {"left": True}


async def wait_stream(client: AsyncClient, options: Options, leave: Json) -> Json:
    """Read a stream to its end, or to where it is to be left."""
    report: Json = {"events": []}
    async with client.stream(**options) as stream:
        try:
            if leave.get("after_pieces") != 0:
                async for event in stream:
                    report["events"].append(packed(event))
                    if pieces(report, event) == leave.get("after_pieces"):
                        break
        except SidecardError as error:
            report["error"] = told(error)
    return ended(report, stream, leave)


def client_of(kind: type[_C], job: Json) -> _C:
    """Return the client that is told this, the same one each time."""
    said = {
        key: job[key] for key in ("address", "tenant", "token", "wait_for_ready_s") if key in job
    }
    if "client_timeout_s" in job:
        said["timeout_s"] = job["client_timeout_s"]
    key = json.dumps([said, job.get("tls")])
    if "tls" in job:
        said["tls"] = Tls(**job["tls"])
    if key not in CLIENTS:
        CLIENTS[key] = kind(**said)
    return cast("_C", CLIENTS[key])


def asked(job: Json) -> Options:
    """Return a job's request as the client's own keywords."""
    request = pb.GenerateRequest.FromString(base64.b64decode(job["request"]))
    options: Json = {field.name: value for field, value in request.ListFields()}
    options |= {key: job[key] for key in ("timeout_s", "request_id") if key in job}
    return cast("Options", options)


def pieces(report: Json, event: StreamEvent) -> int:
    """Count the pieces of text, this event's included."""
    report["count"] = report.get("count", 0) + bool(event.text_delta)
    return int(report["count"])


def ended(report: Json, stream: Progress, leave: Json) -> Json:
    """Add how the stream ended."""
    report["text"] = stream.text
    if "error" not in report:
        try:
            report["response"] = packed(stream.response.raw)
        except RuntimeError:
            report["left"] = bool(leave)
    return report


def told(error: SidecardError) -> Json:
    """Return all that an error says."""
    return {
        "reason": error.reason,
        "code": error.code.name,
        "message": error.message,
        "retry_after_s": error.retry_after_s,
        "request_id": error.request_id,
        "target": error.target,
        "attempts": error.attempts,
        "violations": [{"field": v.field, "description": v.description} for v in error.violations],
        "partial_text": error.partial_text,
    }


def packed(message: Message) -> str:
    """Return a message of the contract as a report holds it."""
    return base64.b64encode(message.SerializeToString()).decode()


if __name__ == "__main__":
    main()
