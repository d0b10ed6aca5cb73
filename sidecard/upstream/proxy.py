"""The proxy that the environment asks for: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY."""

import base64
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from multidict import CIMultiDict

from sidecard.upstream.keys import Secret


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's URL without credentials, and the header that carries them."""

    url: str
    headers: CIMultiDict[str] | None = None


def proxy_for(base_url: str) -> Proxy | None:
    """Return the proxy for `base_url`, None to go there directly.

    Looked up once: aiohttp's own `trust_env` asks the environment at every request.
    """
    parts = urlsplit(base_url)
    proxies = getproxies_environment()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    host = parts.netloc.rpartition("@")[2]
    if not proxy or proxy_bypass(host):
        return None
    found = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    url = f"{found.scheme}://{found.netloc.rpartition('@')[2]}"
    if found.username is None:
        return Proxy(url)
    credentials = f"{unquote(found.username)}:{unquote(found.password or '')}".encode()
    basic = Secret("Basic " + base64.b64encode(credentials).decode("ascii"))
    return Proxy(url, CIMultiDict({"proxy-authorization": basic}))
