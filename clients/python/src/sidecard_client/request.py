"""From keywords to a `GenerateRequest`, and what goes with it; the same for both clients."""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict, TypeVar

import grpc

from sidecard.v1 import content_pb2, generation_pb2
from sidecard_client.build import Fields, build
from sidecard_client.errors import InvalidCall, SidecardError, Unavailable, Violation
from sidecard_client.options import OPTIONS
from sidecard_client.status import absent, typed
from sidecard_client.tls import Secured, Tls, from_environment, secured

DEFAULT_ADDRESS: Final = "127.0.0.1:7411"

_T = TypeVar("_T")


class Options(TypedDict, total=False):
    """What a call may say besides its prompt: the fields of `GenerateRequest`, and how to call.

    Messages are given as in the contract or as dicts; `content` may be a text or a list:
    `{"role": "user", "content": "hi"}`. None leaves a field to the daemon.
    Values of enums have their names, long or short: `priority="batch"`, `cache={"mode": "ONLY"}`.
    `timeout_s`: most seconds the call may take, None for the daemon's own limit.
    `request_id`: 1 to 128 of a-z, A-Z, 0-9 and ._:/+=@-; one is made if left out.
    """

    model: str | None
    messages: Sequence[content_pb2.Message | Fields]
    system: str | None
    system_blocks: Sequence[content_pb2.ContentBlock | Fields]
    max_tokens: int | None
    stop_sequences: Sequence[str]
    tools: Sequence[generation_pb2.Tool | Fields]
    tool_choice: generation_pb2.ToolChoice | Fields | None
    thinking: generation_pb2.Thinking | Fields | None
    output_schema: Fields | None
    cache: generation_pb2.CachePolicy | Fields | None
    fallback: generation_pb2.FallbackPolicy | Fields | None
    priority: generation_pb2.Priority | str
    max_cost_nano_usd: int | None
    max_input_tokens: int | None
    tenant: str | None
    labels: Mapping[str, str]
    extra: Fields | None
    timeout_s: float | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """A request that is ready to be sent to `address`; `in_clear`: over TCP, not encrypted."""

    request: generation_pb2.GenerateRequest
    address: str
    request_id: str
    timeout_s: float | None
    token: str = field(default="", repr=False)
    in_clear: bool = False

    def send(self, method: Callable[..., _T], request: object = None) -> _T:
        """Start the RPC of a stub, of either of gRPC's APIs."""
        for name, text in (("request_id", self.request_id), ("token", self.token)):
            if not (text.isascii() and text.isprintable()):
                raise self.invalid(name, "has characters that no header can hold")
        metadata = [("x-request-id", self.request_id)]
        if self.token:
            metadata.append(("authorization", f"Bearer {self.token}"))
        return method(request or self.request, timeout=self.timeout_s, metadata=metadata)

    def error(self, error: grpc.RpcError, partial_text: str = "") -> SidecardError:
        """Return what gRPC's error means."""
        about = (self.address, self.request_id, partial_text)
        return typed(error, *about, in_clear=self.in_clear)

    def unready(self, waited_s: float) -> SidecardError:
        """Return the error for a daemon that didn't take connections in time."""
        details = f"waited {waited_s:g} s"
        told = absent(self.address, details, wants_tls=self.in_clear)
        return Unavailable(told, request_id=self.request_id)

    def invalid(self, name: str, why: str) -> SidecardError:
        """Return the error for what can't even be sent."""
        wrong = (Violation(name, why),)
        code, about = grpc.StatusCode.INVALID_ARGUMENT, self.request_id
        return InvalidCall(f"{name}: {why}", code=code, request_id=about, violations=wrong)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise gRPC's errors as `SidecardError`s."""
        try:
            yield
        except grpc.RpcError as error:
            raise self.error(error) from error


class Caller:
    """What both clients are told once, for all their calls.

    `address` is `host:port` or `unix:///path`; by default $SIDECARD_ADDRESS, or 127.0.0.1:7411.
    `timeout_s` and `tenant` hold for calls that don't say.
    `token` is shown to a daemon that wants one; by default $SIDECARD_TOKEN.
    `tls` encrypts; by default as $SIDECARD_TLS_CA and the like say, without them nothing is.
    `credentials` are instead of `tls`, for what only `grpc.ssl_channel_credentials(…)` can say.
    `wait_for_ready_s`: how long the first call waits for a daemon that is still starting.
    Raises ValueError for another kind of address, for both `tls` and `credentials`, and for
    either with a socket's file.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        timeout_s: float | None = None,
        tenant: str = "",
        token: str | None = None,
        tls: Tls | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        wait_for_ready_s: float = 0,
    ) -> None:
        self.address = address or os.environ.get("SIDECARD_ADDRESS") or DEFAULT_ADDRESS
        if "://" in self.address and not self.address.startswith("unix:///"):
            raise ValueError(f"{self.address!r} is neither host:port nor unix:///path")
        if tls is not None and credentials is not None:
            raise ValueError("tls and credentials say the same; give one of them")
        on_socket = self.address.startswith("unix:")
        if on_socket and (tls is not None or credentials is not None):
            raise ValueError(f"{self.address!r} is a socket's file, which nothing encrypts")
        self._tls = None if on_socket else tls or from_environment(os.environ)
        self.timeout_s = timeout_s
        self.tenant = tenant
        self._credentials = credentials
        self._in_clear = not on_socket and self._tls is None and credentials is None
        given = os.environ.get("SIDECARD_TOKEN", "") if token is None else token
        self._token = given.strip()  # A file that holds it ends in a newline.
        self._wait_for_ready_s = wait_for_ready_s

    def _secured(self) -> Secured | None:
        """Return what a secure channel takes, None for one in clear; raises ValueError."""
        if self._credentials is not None:
            return self._credentials, OPTIONS
        return None if self._tls is None else secured(self._tls)

    def _ask(self, prompt: str | None, options: Options) -> Question:
        fields: dict[str, Any] = {"tenant": self.tenant, **options}
        timeout_s = fields.pop("timeout_s", self.timeout_s)
        request_id = fields.pop("request_id", None) or secrets.token_hex(8)
        about = (self.address, request_id, timeout_s, self._token, self._in_clear)
        return Question(build(prompt, fields), *about)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.address}>"
