"""Where the daemon listens: a loopback port, or a socket file that only its owner opens."""

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc

_UNIX = "unix://"
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class AddressError(Exception):
    """The address can't be listened on; `str()` says why and what to do."""


def bind(
    server: grpc.aio.Server,
    address: str,
    unix_mode: int,
    credentials: grpc.ServerCredentials | None = None,
) -> str:
    """Add `address` (`host:port` or `unix:///path`) to the server; return it as bound.

    With `credentials` a port is encrypted; a socket's file never is. Raises `AddressError`.
    """
    refuse_taken(address)
    if address.startswith(_UNIX):
        return _bind_unix(server, Path(address.removeprefix(_UNIX)), unix_mode)
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        msg = f"can't listen on {address}: it is in use, or not an address of this machine"
        raise AddressError(msg) from None
    return f"{address.rpartition(':')[0]}:{port}"


def refuse_taken(address: str) -> None:
    """Raise `AddressError` where others listen; remove the socket that a killed process left.

    gRPC, which finds that too, prints a line of its own.
    """
    if address.startswith(_UNIX):
        _clear_stale(Path(address.removeprefix(_UNIX)))
        return
    host, _, port = address.rpartition(":")
    if _taken(host.strip("[]"), int(port)):
        raise AddressError(f"can't listen on {address}: it is in use; does a daemon run already?")


def _taken(host: str, port: int) -> bool:
    if port == 0:
        return False
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return False  # gRPC says what is wrong with it.
    return all(_in_use(family, where) for family, _, _, _, where in found)


def _in_use(family: int, where: tuple[object, ...]) -> bool:
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def inode(address: str) -> tuple[int, int] | None:
    """Return what tells a socket's file from another of its name; None where there is none."""
    if not address.startswith(_UNIX):
        return None
    try:
        found = Path(address.removeprefix(_UNIX)).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def release(address: str, ours: tuple[int, int] | None) -> None:
    """Remove a socket's file, unless it is a successor's: that one may be serving already."""
    if ours is not None and inode(address) == ours:
        Path(address.removeprefix(_UNIX)).unlink(missing_ok=True)


def _bind_unix(server: grpc.aio.Server, path: Path, mode: int) -> str:
    try:
        with _umask(0o777 & ~mode):  # Never open to others, not even for a moment.
            server.add_insecure_port(f"unix:{path}")
        path.chmod(mode)
    except (RuntimeError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is the folder there?"
        msg = f"can't listen on {_UNIX}{path}: {reason}"
        raise AddressError(msg) from None
    return f"{_UNIX}{path}"


def _clear_stale(path: Path) -> None:
    """Remove the socket that a killed process left; refuse to take one that is in use."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            msg = f"can't listen on {_UNIX}{path}: there is something that is no socket"
            raise AddressError(msg)
    except FileNotFoundError:
        return
    except OSError as error:
        raise AddressError(f"can't listen on {_UNIX}{path}: {error.strerror}") from None
    try:
        _refuse_live(path)
    except OSError as error:
        raise AddressError(f"can't listen on {_UNIX}{path}: {error.strerror}") from None
    path.unlink()


def _refuse_live(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(ConnectionRefusedError):
        probe.settimeout(1)
        probe.connect(str(path))
        msg = f"can't listen on {_UNIX}{path}: another process does; a daemon that runs already?"
        raise AddressError(msg)


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def is_own_name(host: str, address: str, *, any_ip: bool) -> bool:
    """Whether a Host header names the server at `address`, not a name that somebody pointed at it.

    Else a web page that a browser here opens could speak to it (DNS rebinding).
    With `any_ip` every IP address is one: that can't be pointed elsewhere.
    """
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.strip("[]").lower()
    if name in _OWN_NAMES or name == address.rpartition(":")[0].strip("[]").lower():
        return True
    return any_ip and _is_ip(name)


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
