"""Opening what the configuration and the environment mean: the way to the upstream, the store."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecard.config import merged
from sidecard.config.load import Loaded
from sidecard.config.schema import Config
from sidecard.config.simulate import KEY_VARIABLE
from sidecard.config.simulate import Upstream as Means
from sidecard.core.clock import Clock
from sidecard.core.ledger import Balance, Book, LedgerFailed, LedgerNote
from sidecard.core.ports import NoteSink
from sidecard.core.store import Store, StoreNote
from sidecard.policy.ledger import Ledger
from sidecard.store.ledger_memory import MemoryBook
from sidecard.store.memory import MemoryStore
from sidecard.telemetry.content import Content
from sidecard.telemetry.sinks import Calls
from sidecard.upstream.direct import Direct
from sidecard.upstream.keys import FileKey, FixedKey, KeySource
from sidecard.upstream.sdk import Sdk
from sidecard.upstream.transport import Misconfigured, Transport

if TYPE_CHECKING:
    from sidecard.store.cipher import Cipher
    from sidecard.telemetry.otlp import Otlp

_MEMORY_BYTES: Final = 33_554_432
"""What a store in memory takes at most, as it adds to what the daemon itself takes."""

_OPEN_S: Final = 10.0
"""How long the daemon waits for its ledger before it serves without, as is configured for that."""

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


def keeps_expired_s(config: Config) -> float:
    """Return how long an answer may be of use after it has expired, in any route."""
    return max([merged.keeping_of(config, name).stale_if_error_s for name in config.routes])


def caches(config: Config) -> bool:
    """Whether answers are kept, of any route."""
    return any(merged.keeping_of(config, name).enabled for name in config.routes)


@asynccontextmanager
async def open_store(config: Config, *, notes: NoteSink, clock: Clock) -> AsyncIterator[Store]:
    """Open the store of answers, on disk where there is a `data_dir`, and close it at the end.

    Raises `Misconfigured` for encryption keys that are none. A disk that can't be used is said,
    and doesn't keep the daemon from serving.
    """
    keep_expired_s = keeps_expired_s(config)
    most = config.cache.max_bytes
    if config.data_dir is None or not caches(config):
        yield MemoryStore(max_bytes=min(most, _MEMORY_BYTES), keep_expired_s=keep_expired_s)
        return
    # lmdb and the compression are loaded where there is a disk to use them on.
    from sidecard.store.disk import DiskStore  # noqa: PLC0415

    loop = asyncio.get_running_loop()

    def say(note: StoreNote) -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed, and nobody listens.
            loop.call_soon_threadsafe(notes, note)

    store = DiskStore(
        Path(config.data_dir) / "cache",
        max_bytes=most,
        clock=clock,
        say=say,
        keep_expired_s=keep_expired_s,
        cipher=_cipher(config.cache.encryption_key_file),
    )
    try:
        yield store
    finally:
        await store.aclose()


@asynccontextmanager
async def open_book(
    config: Config, ledger: Ledger, *, notes: NoteSink, clock: Clock
) -> AsyncIterator[Book]:
    """Open the ledger's book, on disk where there is a `data_dir`, and close it at the end.

    A disk that can't be used is said, and what becomes then of calls that budgets count
    is configured.
    """
    if config.data_dir is None:
        yield MemoryBook(clock)
        return
    # As above: lmdb, and all that goes with it.
    from sidecard.store.ledger import DiskBook  # noqa: PLC0415

    loop = asyncio.get_running_loop()

    def say(note: LedgerNote) -> None:
        with contextlib.suppress(RuntimeError):  # The loop is closed, and nobody listens.
            loop.call_soon_threadsafe(notes, note)

    def merge(kept: Sequence[Balance]) -> list[Balance]:
        ledger.load(kept, clock.wall())
        return [*ledger.balances(), *ledger.foreign]

    book = DiskBook(
        Path(config.data_dir) / "ledger",
        merge=merge,
        clock=clock,
        say=say,
        keep_usage_s=config.budgets.usage_days * 86_400.0,
    )
    try:
        await opened_for(config, book)
        yield book
    finally:
        await book.aclose()


async def opened_for(config: Config, book: Book) -> None:
    """Wait for the book where budgets need it: nobody is to be refused while it is opened."""
    if config.budgets.limits:
        with contextlib.suppress(LedgerFailed, TimeoutError):
            await asyncio.wait_for(book.flush(), _OPEN_S)


def tell_of_memory(config: Config) -> None:
    """Say so where budgets begin anew with each process."""
    if config.budgets.limits and config.data_dir is None:
        why = "with a data_dir, what was spent would outlive the daemon"
        _log.warning("budgets are kept in memory", extra={"why": why})


def _cipher(file: str | None) -> "Cipher | None":
    if file is None:
        return None
    from sidecard.store.cipher import BadKeyFile, Cipher  # noqa: PLC0415  # as above

    try:
        return Cipher(Path(file))
    except BadKeyFile as error:
        raise Misconfigured(f"cache.encryption_key_file: {error}") from None


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


def open_spans(
    config: Config,
    content: Content,
    calls: Calls,
    *,
    clock: Clock,
    count: Callable[..., object],
) -> "Otlp | None":
    """Have spans made of `calls`, and return who sends them; None where nobody wants any.

    Raises `Misconfigured` without what that needs.
    """
    settings = config.traces
    if settings.endpoint is None:
        return None
    try:
        # What costs memory and time to load, and may not be there, is loaded where it is wanted.
        from sidecard.telemetry.otlp import Otlp  # noqa: PLC0415
        from sidecard.telemetry.tracing import Tracer  # noqa: PLC0415
    except ModuleNotFoundError as error:
        msg = f"traces.endpoint needs the extra otel ({error}): pip install 'sidecard[otel]'"
        raise Misconfigured(msg) from error

    otlp = Otlp(
        settings.endpoint,
        service=settings.service,
        queue=settings.queue,
        every_s=settings.every_s,
        timeout_s=settings.timeout_s,
        count=count,
    )
    calls.add(Tracer(otlp, clock=clock, content=content))
    return otlp
