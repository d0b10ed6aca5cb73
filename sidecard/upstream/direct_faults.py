"""What aiohttp's failures mean, for both transports: the SDK's clients send over aiohttp, too."""

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import aiohttp

from sidecard.upstream.transport import OutOfResources, Phase, TransportFault

NETWORK: Final = (
    aiohttp.ClientError,
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    ssl.SSLError,
)

_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What a machine lacks that can't open a socket, or a file to find a name's address."""


def before_answer(error: BaseException, *, connect_timeout_s: float) -> TransportFault:
    """Return the fault of a request that got no answer."""
    if (want := _want(error)) is not None:
        return OutOfResources(f"no connection can be opened: {os.strerror(want)}")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        waited = f"no connection within {connect_timeout_s:g} s (timeouts.connect_s)"
        return TransportFault(Phase.CONNECT, waited)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return TransportFault(Phase.CONNECT, f"no connection: the proxy answered {error.status}")
    if isinstance(error, aiohttp.ClientConnectorError):
        proxy = "the proxy " if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
        where = f"{proxy}{error.host}:{error.port}"
        return TransportFault(Phase.CONNECT, f"no connection to {where}: {_reason(error)}")
    if isinstance(error, aiohttp.ClientResponseError):
        return TransportFault(Phase.SEND, "the answer is no HTTP")
    lost = f"the connection was lost before the answer: {_reason(error)}"
    return TransportFault(Phase.SEND, lost)


def in_answer(error: BaseException) -> TransportFault:
    """Return the fault of an answer that broke off."""
    reason = f"the connection was lost in the answer: {_reason(error)}"
    return TransportFault(Phase.READ, reason)


def network_error_in(
    error: BaseException, kinds: tuple[type[BaseException], ...] = NETWORK
) -> BaseException | None:
    """Return what the network did, where `error` or what led to it is of one of these kinds."""
    return next((cause for cause in _causes(error) if isinstance(cause, kinds)), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _want(error: BaseException) -> int | None:
    """Return the number of what this machine lacks, where that is why there is no connection."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        # Without a descriptor for its files the C library may say that there is no such name.
        try:
            os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as own:
            error = own
    return error.errno if isinstance(error, OSError) and error.errno in _OURS else None


def _reason(error: BaseException) -> str:
    """Return a few words that an operator can act on; an exception's own, or its kind."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name can't be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"TLS: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it ended early"
    if isinstance(error, aiohttp.ClientOSError) and error.errno is None and error.__cause__:
        return _reason(error.__cause__)
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
