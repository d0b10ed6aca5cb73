"""The clients of the `anthropic` package: the one module that imports it.

That takes 1.6 s and 55 MB, so `sdk.py` imports this one when the transport is made, not before.
"""

import ssl
import warnings
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

import anthropic
import httpx2
from anthropic import APIRequest, AsyncCallNext
from anthropic._base_client import AsyncAPIClient
from anthropic._constants import RAW_RESPONSE_HEADER

from sidecard.core.jsonio import JsonObject
from sidecard.core.version import VERSION
from sidecard.upstream.direct_faults import before_answer, in_answer, network_error_in
from sidecard.upstream.keys import KeySource
from sidecard.upstream.transport import Misconfigured, Phase, TransportFault
from sidecard.upstream.wire.request import split

CLIENTS: Final = {
    "anthropic": anthropic.AsyncAnthropic,
    "aws": anthropic.AsyncAnthropicAWS,
    "bedrock": anthropic.AsyncAnthropicBedrock,
    "bedrock_mantle": anthropic.AsyncAnthropicBedrockMantle,
    "foundry": anthropic.AsyncAnthropicFoundry,
    "google_cloud": anthropic.AsyncAnthropicGoogleCloud,
    "vertex": anthropic.AsyncAnthropicVertex,
}

Client: TypeAlias = AsyncAPIClient
Answer: TypeAlias = httpx2.Response

# As `with_streaming_response` asks for it: the body is left for us to read.
_OPTIONS: Final[Any] = {"headers": {RAW_RESPONSE_HEADER: "stream"}}
_KEEPALIVE_S: Final = 30.0
_REASON_CHARS: Final = 300


def make(
    name: str,
    *,
    base_url: str,
    key: KeySource | None,
    connect_timeout_s: float,
    tls: ssl.SSLContext,
) -> Client:
    """Return a client that sends once, follows nothing and judges nothing.

    Raises `Misconfigured` where it lacks a region, a project or a package that it stands on.
    """
    # How the SDK uses aiohttp is nothing that we could change: these warnings are of that.
    warnings.filterwarnings("ignore", "Sending a large body", ResourceWarning)
    warnings.filterwarnings("ignore", "BasicAuth is|The 'proxy_auth'", DeprecationWarning)
    settings: dict[str, Any] = {
        "max_retries": 0,
        "timeout": httpx2.Timeout(None, connect=connect_timeout_s, pool=connect_timeout_s),
        "http_client": anthropic.DefaultAioHttpClient(
            # 0 is aiohttp's word for no cap.
            limits=httpx2.Limits(max_connections=0, keepalive_expiry=_KEEPALIVE_S),
            follow_redirects=False,
            verify=tls,
        ),
        "default_headers": {"accept-encoding": "identity", "user-agent": f"sidecard/{VERSION}"},
        "middleware": [_as_it_came],
    }
    if base_url:
        settings["base_url"] = base_url
    if key is not None:
        settings["api_key"] = key.current()
    try:
        return cast("Client", CLIENTS[name](**settings))
    except Exception as error:  # They raise what they like: ValueError, ImportError, their own.
        raise _misconfigured(error) from error


async def post(client: Client, path: str, body: JsonObject, headers: Mapping[str, str]) -> Answer:
    """Send one request; raises anything, which `failure` explains."""
    # Not `messages.create`: that warns of models, and knows the parameters of its version only.
    body, betas = split(body)
    if betas:
        headers = {**headers, "anthropic-beta": betas}
    options: Any = {"headers": {**_OPTIONS["headers"], **headers}} if headers else _OPTIONS
    answer = await client.post(path, cast_to=object, body=dict(body), options=options)
    return cast("Answer", answer)


async def _as_it_came(request: APIRequest, call_next: AsyncCallNext) -> Any:  # noqa: ANN401
    """Return the HTTP answer instead of the SDK's view of it, which raises for statuses."""
    return (await call_next(request)).http_response


def set_key(client: Client, key: str) -> None:
    """Have the next request sent with this key."""
    cast("anthropic.AsyncAnthropic", client).api_key = key


def forget_token(client: Client) -> None:
    """Have the next request fetch a new access token, where the client has such a thing.

    The SDK does it between its own retries, of which there are none here.
    """
    cache = getattr(client, "_token_cache", None)
    if cache is not None:
        cache.invalidate()


def sessions(client: Client) -> list[object]:
    """Return aiohttp's sessions, one for each of its proxies; None before the first use."""
    http = client._client  # noqa: SLF001  # nobody else knows
    transports = [http._transport, *http._mounts.values()]  # noqa: SLF001
    return [getattr(transport, "client", None) for transport in transports]


def failure(error: Exception, *, connect_timeout_s: float) -> TransportFault | Misconfigured:
    """Return what a failed `post` means."""
    network = network_error_in(error)
    if isinstance(error, anthropic.APIConnectionError):
        if network is not None:
            return before_answer(network, connect_timeout_s=connect_timeout_s)
        return TransportFault(Phase.SEND, f"the request failed: {_text(error.__cause__ or error)}")
    network = network or network_error_in(error, (httpx2.TransportError,))
    if network is not None:
        return TransportFault(Phase.CONNECT, f"credentials can't be had: {_text(network)}")
    return _misconfigured(error)


def failure_in_answer(error: Exception) -> TransportFault:
    """Return what an error while the body is read means."""
    return in_answer(network_error_in(error) or error)


def _misconfigured(error: Exception) -> Misconfigured:
    return Misconfigured(f"the SDK can't send: {_text(error)}")


def _text(error: BaseException) -> str:
    text = " ".join(str(error).split())[:_REASON_CHARS]
    return text or type(error).__name__
