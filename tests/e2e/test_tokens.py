"""Callers' tokens, through the real daemon, over gRPC and HTTP."""

import asyncio
import sys
from pathlib import Path

import anthropic
import pytest

from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from sidecard_client import AsyncClient, PermissionDenied, Unauthenticated
from tests.support.daemon import environment, running, settings
from tests.support.rpc import connected, fails, read

A, B, ANY = (f"token-of-{who}-0123456789" for who in ("a", "b", "anybody"))
QUESTION = pb.GenerateRequest(prompt="who am I?")


def with_tokens(folder: Path, sim: Simulator, **more: str) -> dict[str, str]:
    file = folder / "tokens"
    file.write_text(f"team-a {A}\nteam-b {B}\n* {ANY}\n")
    return settings(sim.base_url) | {
        "SIDECARD_LISTEN__TOKENS_FILE": str(file),
        "SIDECARD_LISTEN__HTTP": "127.0.0.1:0",
        **more,
    }


async def test_a_call_needs_a_token_and_its_tenant(tmp_path: Path) -> None:
    """Each method; nothing is sent for who has none, or names another's tenant."""
    async with (
        Simulator() as sim,
        running(with_tokens(tmp_path, sim)) as daemon,
        connected(daemon.address) as caller,
    ):
        count = pb.CountTokensRequest(request=QUESTION)
        for metadata in ((), (("authorization", "Bearer wrong-wrong-wrong"),)):
            failures = [
                await fails(caller.Generate(QUESTION, metadata=metadata)),
                (await read(caller.StreamGenerate(QUESTION, metadata=metadata))).failure,
                await fails(caller.CountTokens(count, metadata=metadata)),
            ]
            for failure in failures:
                assert failure is not None
                assert (failure.code, failure.reason) == ("UNAUTHENTICATED",) * 2
        async with AsyncClient(daemon.address, token=A) as own:
            with pytest.raises(PermissionDenied, match="the token is for tenant team-a"):
                await own.generate("who am I?", tenant="team-b")
            assert sim.books.requests == 0
            await daemon.logged("callers refused", level="warning", why="a token is needed")
            await daemon.logged("call refused", fields=["tenant"])
            await own.generate("who am I?")
        async with AsyncClient(daemon.address, token=ANY) as anybody:
            await anybody.generate("who am I?", tenant="team-c")
        async with AsyncClient(daemon.address, token="") as nobody:
            with pytest.raises(Unauthenticated, match="set SIDECARD_TOKEN"):
                await nobody.generate("who am I?")
        for tenant in ("team-a", "team-c"):
            await daemon.logged("call", tenant=tenant)
        assert not any(token in str(daemon.lines) for token in (A, B, ANY))


async def test_the_same_bytes_of_two_callers_are_two_questions(tmp_path: Path) -> None:
    """What is remembered of a request is remembered of its caller."""
    env = {"SIDECARD_CACHE__ENABLED": "true", "SIDECARD_CACHE__COALESCE": "true"}
    async with (
        Simulator() as sim,
        running(with_tokens(tmp_path, sim, **env)) as daemon,
        connected(daemon.address) as caller,
    ):
        sources = []
        for token in (A, A, B, A, B):
            metadata = (("authorization", f"Bearer {token}"),)
            sources.append((await caller.Generate(QUESTION, metadata=metadata)).source)
        hit, asked = pb.SOURCE_CACHE_EXACT, pb.SOURCE_UPSTREAM
        assert sources == [asked, hit, asked, hit, hit]
        denied = await fails(
            caller.Generate(
                pb.GenerateRequest(prompt="who am I?", tenant="team-a"),
                metadata=(("authorization", f"Bearer {B}"),),
            )
        )
        assert denied.reason == "PERMISSION_DENIED"


async def test_the_drop_in_endpoint_takes_a_token_for_its_key(tmp_path: Path) -> None:
    """Anthropic's SDK sends it as its key, or as a bearer token."""
    async with Simulator() as sim, running(with_tokens(tmp_path, sim)) as daemon:
        base_url = f"http://{(await daemon.logged('serving'))['http']}"
        asked = {
            "model": "claude-sonnet-5-5",
            "max_tokens": 10,
            "messages": [{"role": "user", "content": "hi"}],
        }
        for how in ({"api_key": A}, {"auth_token": A, "api_key": None}):
            async with anthropic.AsyncAnthropic(base_url=base_url, **how) as client:
                await client.messages.create(**asked)  # type: ignore[call-overload]
                with pytest.raises(anthropic.PermissionDeniedError):
                    await client.messages.create(  # type: ignore[call-overload]
                        **asked, extra_headers={"x-sidecard-tenant": "team-b"}
                    )
        async with anthropic.AsyncAnthropic(base_url=base_url, api_key="wrong") as client:
            with pytest.raises(anthropic.AuthenticationError):
                await client.messages.create(**asked)  # type: ignore[call-overload]
        await daemon.logged("callers refused", why="the token isn't known")
        await daemon.logged("call refused", fields=["tenant"])
        await daemon.logged("call", tenant="team-a")


@pytest.mark.parametrize("command", ["check", "serve"])
async def test_a_file_that_is_no_good_is_told_before_anything_starts(
    command: str, tmp_path: Path
) -> None:
    """By the check, too; and none of its tokens is shown."""
    file = tmp_path / "tokens"
    file.write_text(f"team-a {A}\nteam b {B}\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecard", command),
        env=environment(SIDECARD_LISTEN__TOKENS_FILE=str(file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == 2
    assert f"{file}, line 2: expected a tenant and a token".encode() in told
    assert A.encode() not in told
    assert B.encode() not in told
