"""The operator's orders to a daemon, each with the operator's token. Not for applications."""

import secrets
from typing import Self, TypeVar

import grpc

from sidecard.v1.admin_pb2 import (
    PurgeCacheRequest,
    ReleaseLeftOpenRequest,
    ReleaseLeftOpenResponse,
    ReloadRequest,
    ReloadResponse,
    ResetBreakerRequest,
)
from sidecard.v1.admin_pb2_grpc import AdminServiceStub
from sidecard_client.options import OPTIONS
from sidecard_client.request import Caller
from sidecard_client.status import typed
from sidecard_client.tls import Tls

_TIMEOUT_S = 60.0
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class Operator(Caller):
    """Orders over one connection; a context manager. `token` is never shown."""

    def __init__(self, address: str | None = None, *, token: str, tls: Tls | None = None) -> None:
        super().__init__(address, timeout_s=_TIMEOUT_S, tls=tls)
        self._token = token.strip()
        if (secured := self._secured()) is None:
            self._channel = grpc.insecure_channel(self.address, OPTIONS)
        else:
            self._channel = grpc.secure_channel(self.address, *secured)

    def purge_cache(
        self,
        *,
        tenant: str = "",
        route: str = "",
        older_than_s: float | None = None,
        everything: bool = False,
    ) -> int:
        """Remove the answers to which all that is said applies; return how many.

        Raises a `SidecardError`: `Unauthenticated` for another token, and one whose reason is
        UNIMPLEMENTED where the daemon takes no orders.
        """
        purge = PurgeCacheRequest(tenant=tenant, route=route, everything=everything)
        if older_than_s is not None:
            purge.older_than.FromNanoseconds(round(older_than_s * 1e9))
        return self._order(AdminServiceStub(self._channel).PurgeCache, purge).removed

    def reload(self) -> ReloadResponse:
        """Have the configuration read again; return what is in force then.

        Raises what `purge_cache` does, and `InvalidCall` for a configuration with mistakes,
        which has them: what was in force stays.
        """
        return self._order(AdminServiceStub(self._channel).Reload, ReloadRequest())

    def release_left_open(self) -> ReleaseLeftOpenResponse:
        """Give back what attempts reserved whose process died; return how much that was.

        Raises what `purge_cache` does.
        """
        method = AdminServiceStub(self._channel).ReleaseLeftOpen
        return self._order(method, ReleaseLeftOpenRequest())

    def reset_breaker(self, target: str = "", *, everything: bool = False) -> list[str]:
        """Close the breaker of a target, or all; return the targets whose weren't closed.

        Raises what `purge_cache` does, and `InvalidCall` for a target that there isn't,
        and for one whose breaker the configuration holds open or has disabled.
        """
        request = ResetBreakerRequest(target=target, everything=everything)
        return list(self._order(AdminServiceStub(self._channel).ResetBreaker, request).closed)

    def _order(
        self, method: "grpc.UnaryUnaryMultiCallable[_Request, _Response]", request: _Request
    ) -> _Response:
        request_id = secrets.token_hex(8)
        metadata = (("x-request-id", request_id), ("authorization", f"Bearer {self._token}"))
        try:
            return method(request, timeout=self.timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            about = (self.address, request_id, "")
            raise typed(error, *about, in_clear=self._in_clear) from error

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
