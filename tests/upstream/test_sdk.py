"""The sdk transport, beyond what every transport promises."""

import os
from pathlib import Path
from typing import get_args

import anthropic
import pytest

from sidecard.config.schema import SdkClient
from sidecard.core import jsonio
from sidecard.upstream import sdk_client
from sidecard.upstream.keys import FileKey, FixedKey
from sidecard.upstream.sdk import Sdk
from sidecard.upstream.transport import Misconfigured, TransportFault
from tests.support.eventstream import chunk, frame
from tests.support.rawserver import Connection, Handle, answers, raw_server
from tests.support.transports import BODY, PATH, opened, whole


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("ANTHROPIC_", "AWS_", "GOOGLE_", "CLOUD_ML_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_every_client_can_be_chosen() -> None:
    """The configuration offers each asynchronous client of the SDK, so a new one is noticed."""
    clients = {
        kind
        for name, kind in vars(anthropic).items()
        if name.startswith("AsyncAnthropic") and isinstance(kind, type)
    }
    assert set(sdk_client.CLIENTS.values()) == clients
    assert set(get_args(SdkClient)) == sdk_client.CLIENTS.keys()


@pytest.mark.parametrize("name", ["aws", "bedrock", "bedrock_mantle", "foundry", "vertex"])
async def test_a_client_says_what_it_lacks(name: str) -> None:
    """A cloud without its region or credentials is told when the transport is made."""
    with pytest.raises(Misconfigured, match=r"the SDK can't send: .*(region|credentials)"):
        Sdk(name, connect_timeout_s=1)


async def test_without_credentials_nothing_is_sent() -> None:
    """Where the SDK finds no credentials at all, the request fails with its own advice."""
    async with raw_server(answers) as server:
        transport = Sdk("anthropic", base_url=server.base_url, connect_timeout_s=1)
        try:
            with pytest.raises(Misconfigured, match="resolve authentication method"):
                await transport.send(PATH, BODY)
        finally:
            await transport.aclose()
    assert not server.accepted


async def test_credentials_that_cannot_be_fetched_are_the_networks_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A token endpoint that is down may be up soon: not the operator's mistake."""
    monkeypatch.setenv("ANTHROPIC_IDENTITY_TOKEN", "token")
    monkeypatch.setenv("ANTHROPIC_FEDERATION_RULE_ID", "rule")
    monkeypatch.setenv("ANTHROPIC_ORGANIZATION_ID", "organization")

    async def down(connection: Connection) -> None:
        await connection.head()
        connection.reset()

    async with raw_server(down) as server:
        transport = Sdk("anthropic", base_url=server.base_url, connect_timeout_s=1)
        try:
            with pytest.raises(TransportFault, match="credentials can't be had"):
                await transport.send(PATH, BODY)
        finally:
            await transport.aclose()


async def test_a_refused_key_is_read_again(tmp_path: Path) -> None:
    """A 401 is asked again, once, with what the key file holds by then; the old key's counts."""
    file = tmp_path / "key"
    file.write_text("old")
    sent: list[str] = []

    async def strict(connection: Connection) -> None:
        while True:
            request = await connection.request()
            sent.append(request.headers["authorization"])
            await connection.answer(200 if sent[-1] == "Bearer new" else 401)

    async with (
        raw_server(strict) as server,
        opened("sdk", server.base_url, key=FileKey(file)) as transport,
    ):
        assert (await transport.send(PATH, BODY)).status == 401
        assert sent == ["Bearer old"]
        file.write_text("new")
        assert (await transport.send(PATH, BODY)).status == 200
    assert sent[-1] == "Bearer new"
    assert len(sent) <= 3


async def test_another_clouds_client_does_not_get_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anthropic's key goes to Anthropic alone; Bedrock is addressed and signed to by its own."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-token")
    async with raw_server(_streaming(b"")) as server:
        content = await _through_bedrock(server.base_url)
    (request,) = server.requests
    assert content == b""
    model = BODY["model"]
    assert request.line == f"POST /model/{model}/invoke-with-response-stream HTTP/1.1"
    assert request.headers["authorization"] == "Bearer bedrock-token"
    assert "model" not in request.json()


async def test_bedrocks_frames_become_server_sent_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events, and the exception that ends them, come as the API itself would have sent them."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-token")
    events = [{"type": "ping", "x": "ü"}, {"type": "message_stop", "x": ""}]
    said = {":message-type": "exception", ":exception-type": "throttlingException"}
    body = b"".join(map(chunk, events)) + frame(said, b'{"message":"slow down"}')
    async with raw_server(_streaming(body)) as server:
        content = await _through_bedrock(server.base_url)
    error = {"type": "throttlingException", "message": "slow down"}
    expected = [*events, {"type": "error", "error": error}]
    assert content.decode() == "".join([f"data: {jsonio.dumps(event)}\n\n" for event in expected])


async def test_broken_frames_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no frames end the answer as broken, never as complete."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-token")
    async with raw_server(_streaming(b"data: no frame at all\n\n")) as server:
        with pytest.raises(TransportFault, match="the answer is broken: no frame"):
            await _through_bedrock(server.base_url)


async def test_what_bedrock_cannot_do_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting tokens, which this client doesn't offer, fails with the SDK's own words."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-token")
    transport = Sdk("bedrock", base_url="http://127.0.0.1:1", connect_timeout_s=1)
    with pytest.raises(Misconfigured, match="Token counting is not supported in Bedrock"):
        await transport.send("/v1/messages/count_tokens", BODY)
    await transport.aclose()


def _streaming(body: bytes) -> Handle:
    async def handle(connection: Connection) -> None:
        await connection.request()
        await connection.answer(200, body, content_type="application/vnd.amazon.eventstream")

    return handle


async def _through_bedrock(base_url: str) -> bytes:
    key = FixedKey("sk-of-anthropic", origin="the test")
    transport = Sdk("bedrock", base_url=base_url, key=key, connect_timeout_s=1)
    try:
        response = await transport.send(PATH, BODY)
        assert response.headers["Content-Type"] == "text/event-stream"
        return await whole(response)
    finally:
        await transport.aclose()
