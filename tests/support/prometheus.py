"""A real Prometheus that scrapes one daemon, with the labels that the PodMonitor would give it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.support.tools import tool

START_S = 15.0
EVERY_S = 0.25
LABELS = {"namespace": "test", "app": "ask", "pod": "ask-1", "container": "sidecard"}


class Prometheus:
    """Answers queries."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def get(self, path: str, **query: str) -> Any:
        """Return the data of an answer; raises AssertionError with what is wrong."""
        async with self._session.get(f"{self._url}/api/v1/{path}", params=query) as answer:
            body = await answer.json()
        assert body["status"] == "success", f"{query}: {body.get('error')}"
        return body["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now."""
        result: list[dict[str, Any]] = (await self.get("query", query=expression))["result"]
        return result

    async def until(self, expression: str) -> None:
        """Wait until an expression has a series; raises TimeoutError."""
        async with asyncio.timeout(START_S):
            while not await self.query(expression):  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(EVERY_S)


def settings(admin: str, rules: str) -> dict[str, Any]:
    """Return the configuration of a Prometheus that scrapes `admin` and evaluates `rules`."""
    target = {"targets": [admin], "labels": LABELS}
    return {
        "global": {"scrape_interval": "250ms", "evaluation_interval": "250ms"},
        "rule_files": [rules],
        "scrape_configs": [
            {"job_name": "test/sidecard", "scrape_timeout": "250ms", "static_configs": [target]}
        ],
    }


@asynccontextmanager
async def scraping(admin: str, rules: Path) -> AsyncIterator[Prometheus]:
    """Run a Prometheus in the folder of its rules until the block ends."""
    file = rules.with_name("prometheus.yaml")
    file.write_text(json.dumps(settings(admin, rules.name)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = rules.with_name("prometheus.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        tool("prometheus"),
        f"--config.file={file}",
        f"--web.listen-address={address}",
        f"--storage.tsdb.path={rules.parent}/data",
        "--log.level=warn",
        stdout=log,
        stderr=log,
    )
    try:
        async with aiohttp.ClientSession() as session:
            await _ready(session, f"http://{address}")
            yield Prometheus(f"http://{address}", session)
    finally:
        process.terminate()
        await process.wait()
        log.close()


async def _ready(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                async with session.get(f"{url}/-/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)


def rules_of(manifest: dict[str, Any], folder: Path) -> Path:
    """Write a PrometheusRule's groups as Prometheus reads them; return the file."""
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump(manifest["spec"]))
    return file
