"""Opening the way to the upstream that the configuration and the environment mean."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sidecard.config.load import Loaded
from sidecard.config.schema import Config
from sidecard.config.simulate import KEY_VARIABLE
from sidecard.config.simulate import Upstream as Means
from sidecard.upstream.direct import Direct
from sidecard.upstream.keys import FileKey, FixedKey, KeySource
from sidecard.upstream.sdk import Sdk
from sidecard.upstream.transport import Transport

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_transport(
    loaded: Loaded, means: Means, env: Mapping[str, str]
) -> AsyncIterator[Transport]:
    """Open the way to the upstream that is meant, and close it at the end."""
    async with AsyncExitStack() as closing:
        if means == "simulated":
            # The simulator's web server is for laptops: a daemon with a key never loads it.
            from sidecard.simulator.server import Simulator  # noqa: PLC0415

            simulator = await closing.enter_async_context(Simulator())
            why = "no model is asked; set ANTHROPIC_API_KEY or upstream.api_key_file for real ones"
            _log.warning("SIMULATED ANSWERS", extra={"why": why})
            key = FixedKey("simulated", origin="the simulator's key")
            transport = _direct(loaded.config, simulator.base_url, key)
        elif means == "sdk":
            transport = _sdk(loaded)
        else:
            config = loaded.config
            transport = _direct(config, config.upstream.base_url, _key(config, env))
        closing.push_async_callback(transport.aclose)
        yield transport


def _direct(config: Config, base_url: str, key: KeySource) -> Transport:
    return Direct(base_url, key, connect_timeout_s=config.timeouts.connect_s)


def _sdk(loaded: Loaded) -> Transport:
    """Return the SDK's client; an address that nobody set is left to it, as clouds have theirs."""
    upstream = loaded.config.upstream
    return Sdk(
        upstream.sdk_client,
        base_url=upstream.base_url if "upstream.base_url" in loaded.given else "",
        connect_timeout_s=loaded.config.timeouts.connect_s,
    )


def _key(config: Config, env: Mapping[str, str]) -> KeySource:
    if (file := config.upstream.api_key_file) is not None:
        return FileKey(Path(file))
    return FixedKey(env[KEY_VARIABLE], origin=f"${KEY_VARIABLE}")
