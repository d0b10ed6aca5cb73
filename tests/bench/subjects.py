"""What is measured: the daemon as a user gets it, and the floors."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.processes import Cores, Running, free_port, module, plain_environment, server

SIDECARD: Final = "sidecard"
RELAY: Final = "relay"
ECHO: Final = "echo"
FEW: Final = "few"
"""The floor of what is measured with many answers kept: the daemon with a thousand."""
BARE: Final = "bare"
"""The floor of what is measured within one process: the same without the layer or the decision."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a subject is to listen, and where its upstream does."""

    own: int
    upstream: int


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to be measured: how it is started so that it serves at a port."""

    name: str
    argv: Callable[[Ports], Sequence[str]]
    settings: Callable[[Ports], Mapping[str, str]] = field(default=lambda _: {})
    relays: bool = True

    def run(
        self, upstream: Running, cores: Cores, log: Path
    ) -> AbstractAsyncContextManager[Running]:
        """Start it, and kill it when the block ends. It doesn't listen yet."""
        ports = Ports(free_port(), upstream.port)
        env = plain_environment(**self.settings(ports))
        argv = self.argv(ports)
        return server(argv, env, port=ports.own, core=cores.subject, log=log)


def _serve(_: Ports) -> Sequence[str]:
    return [sys.executable, "-m", "sidecard", "serve"]


def _settings(ports: Ports) -> Mapping[str, str]:
    return {
        "ANTHROPIC_API_KEY": "sk-ant-bench-0000000000",
        "SIDECARD_UPSTREAM__BASE_URL": f"http://127.0.0.1:{ports.upstream}",
        "SIDECARD_LISTEN__GRPC": f"127.0.0.1:{ports.own}",
        "SIDECARD_ADMISSION__IN_FLIGHT": "4096",
        # All ask the same, and every one is to be asked.
        "SIDECARD_CACHE__ENABLED": "false",
        "SIDECARD_CACHE__COALESCE": "false",
    }


SUBJECTS: Final = (
    Subject(SIDECARD, _serve, _settings),
    Subject(RELAY, lambda ports: module("relay", ports.own, ports.upstream)),
    Subject(ECHO, lambda ports: module("echo", ports.own), relays=False),
)
