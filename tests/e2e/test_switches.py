"""What isn't wanted isn't there: reflection, orders, the admin server."""

from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from sidecard.simulator.server import Simulator
from sidecard_client import SidecardError
from sidecard_client.operator import Operator
from tests.support.daemon import running, settings


def _listed(address: str) -> list[str]:
    """Return the services that reflection tells; raises RpcError where there is none."""
    with grpc.insecure_channel(address) as channel:
        asked = iter([ServerReflectionRequest(list_services="")])
        answer = next(ServerReflectionStub(channel).ServerReflectionInfo(asked, timeout=5))  # type: ignore[operator]
    return [service.name for service in answer.list_services_response.service]


def _purge(address: str) -> str:
    """Return why an order without the token isn't carried out."""
    with Operator(address, token="none") as operator, pytest.raises(SidecardError) as caught:
        operator.purge_cache(everything=True)
    return caught.value.reason


@pytest.mark.parametrize("there", [True, False])
async def test_what_is_not_wanted_is_not_there(there: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """By default it is; switched off, it is as if it had never been made."""
    env = {"SIDECARD_DATA_DIR": str(tmp_path)}
    if not there:
        off = dict.fromkeys(("REFLECTION", "ORDERS"), "false") | {"ADMIN": "null"}
        env |= {f"SIDECARD_LISTEN__{name}": value for name, value in off.items()}
    async with Simulator() as sim, running(settings(sim.base_url) | env) as daemon:
        assert bool(daemon.admin) is there
        assert (tmp_path / "admin-token").exists() is there
        assert _purge(daemon.address) == ("UNAUTHENTICATED" if there else "UNIMPLEMENTED")
        if there:
            assert "sidecard.v1.AdminService" in _listed(daemon.address)
        else:
            with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
                _listed(daemon.address)
