"""The kinds of values that the schema is made of; each says what it expects, in words."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Final, TypeAlias, TypeVar
from urllib.parse import SplitResult, urlsplit

from annotated_types import Ge, Gt, Le, Len
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    Strict,
)
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import CoreSchema, custom_error_schema

DAY_S: Final = 86_400
YEAR_S: Final = 366 * DAY_S
MAX_BYTES: Final = 536_870_912
MIN_STORE_BYTES: Final = 4_194_304
MAX_STORE_BYTES: Final = 1_099_511_627_776
MAX_TOKENS: Final = 10_000_000
MAX_COUNT: Final = 1_000_000
MAX_PER_MINUTE: Final = 10_000_000_000
MAX_FACTOR: Final = 100
MAX_CHARACTERS: Final = 10_000
_SOCKET_PATH_BYTES: Final = 103
"""The longest path of a socket that both Linux (107) and macOS (103) take."""

EXPECTED, TOLD = "expected", "told"
"""Types of the schema's own errors: what was expected; a whole sentence, to be told as it is."""


@dataclass(frozen=True, slots=True)
class Expect:
    """Replaces whatever the validators before it say by one phrase."""

    phrase: str

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Wrap what was validated so far."""
        return custom_error_schema(handler(source), EXPECTED, custom_error_message=self.phrase)


class Section(BaseModel):
    """Immutable, and what it doesn't know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def told(sentence: str) -> PydanticCustomError:
    """Return the error that says this sentence."""
    return PydanticCustomError(TOLD, "{sentence}", {"sentence": sentence})


def is_loopback(host: str) -> bool:
    """Whether a host, an address or a name, can only be this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def split_address(address: str) -> tuple[str, int] | None:
    """Return host and port of `host:port` or `[v6]:port`; None when it is neither."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    number = int(port) if re.fullmatch(r"[0-9]{1,5}", port) else -1
    return (host, number) if host and colon and 0 <= number < 1 << 16 else None


_Some = TypeVar("_Some")


def at_least_one(values: tuple[_Some, ...]) -> tuple[_Some, ...]:
    """Refuse an empty list."""
    if not values:
        raise told("expected at least one")
    return values


def each_once(values: tuple[_Some, ...]) -> tuple[_Some, ...]:
    """Refuse a list that has something twice."""
    if len(set(values)) < len(values):
        raise told("expected each at most once")
    return values


def _at_most_a_day(value: float) -> float:
    if value > DAY_S:
        raise told(f"expected at most {DAY_S} seconds, which is a day, got {value!r}")
    return value


def _at_most_a_year(value: float) -> float:
    if value > YEAR_S:
        raise told(f"expected at most {YEAR_S} seconds, which is a year, got {value!r}")
    return value


def _absolute_path(value: str) -> str:
    if not value.startswith("/") or not value.isprintable():
        raise told("expected an absolute path")
    return value


def _listen_address(value: str) -> str:
    expected = "expected host:port, as 127.0.0.1:7411, or unix:///path/of/the.sock"
    if not value.isprintable() or " " in value:
        raise told(f"{expected}, without spaces")
    if value.startswith("unix:"):
        path = value.removeprefix("unix://")
        if not path.startswith("/") or path.endswith("/"):
            raise told(f"{expected}; a socket's path is absolute")
        if len(path.encode()) > _SOCKET_PATH_BYTES:
            raise told(f"expected a socket's path of at most {_SOCKET_PATH_BYTES} bytes")
    elif split_address(value) is None:
        raise told(expected)
    return value


def _admin_address(value: str) -> str:
    if split_address(value) is None or not value.isprintable() or " " in value:
        raise told("expected host:port, as 127.0.0.1:7412, or null for none; no unix socket")
    return value


def _http_address(value: str) -> str:
    if split_address(value) is None or not value.isprintable() or " " in value:
        raise told("expected host:port, as 127.0.0.1:7413, or null for none; no unix socket")
    return value


def _base_url(value: str) -> str:
    expected = "expected a URL, as https://api.anthropic.com"
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        raise told(expected) from None
    if not (host and url.scheme in ("http", "https")) or not value.isprintable() or " " in value:
        raise told(expected)
    _check_parts(url)
    if url.scheme == "http" and not is_loopback(host):
        raise told("expected https, as http would send the key in clear; it is for loopback only")
    return value.rstrip("/")


def _check_parts(url: SplitResult) -> None:
    if url.username is not None or url.password is not None:
        raise told("expected a URL without a user and a password: the key goes into a file")
    if url.query or url.fragment:
        raise told("expected a URL without a query and a fragment")
    if url.path.rstrip("/").endswith("/v1"):
        raise told("expected the URL without /v1 at its end: that is added to it")


def _absolute(value: str) -> str:
    if value.lower().startswith("sk-ant-"):
        raise told("expected the path of a file that holds the key, got what looks like a key")
    if not value.startswith("/") or not value.isprintable():
        raise told("expected an absolute path of a file that holds the key")
    return value


_Number: TypeAlias = Annotated[float, Strict()]
_Whole: TypeAlias = Annotated[int, Strict()]
_Text: TypeAlias = Annotated[str, Strict(), Len(1, 4096)]

# NaN is not greater than 0; infinity is over a day.
Seconds: TypeAlias = Annotated[
    _Number, Gt(0), Expect("a number of seconds greater than 0"), AfterValidator(_at_most_a_day)
]
SecondsOrNone: TypeAlias = Annotated[
    _Number, Ge(0), Expect("a number of seconds, 0 or more"), AfterValidator(_at_most_a_day)
]
LongSeconds: TypeAlias = Annotated[
    _Number, Gt(0), Expect("a number of seconds greater than 0"), AfterValidator(_at_most_a_year)
]
LongSecondsOrNone: TypeAlias = Annotated[
    _Number, Ge(0), Expect("a number of seconds, 0 or more"), AfterValidator(_at_most_a_year)
]
StoreBytes: TypeAlias = Annotated[
    _Whole,
    Ge(MIN_STORE_BYTES),
    Le(MAX_STORE_BYTES),
    Expect(f"a whole number of bytes from {MIN_STORE_BYTES} to {MAX_STORE_BYTES}"),
]
Bytes: TypeAlias = Annotated[
    _Whole, Ge(1024), Le(MAX_BYTES), Expect(f"a whole number of bytes from 1024 to {MAX_BYTES}")
]
Tokens: TypeAlias = Annotated[
    _Whole, Ge(1), Le(MAX_TOKENS), Expect(f"a whole number of tokens from 1 to {MAX_TOKENS}")
]
TokensOrNone: TypeAlias = Annotated[
    _Whole, Ge(0), Le(MAX_TOKENS), Expect(f"a whole number of tokens from 0 to {MAX_TOKENS}")
]
Count: TypeAlias = Annotated[
    _Whole, Ge(1), Le(MAX_COUNT), Expect(f"a whole number from 1 to {MAX_COUNT}")
]
Reasks: TypeAlias = Annotated[_Whole, Ge(0), Le(5), Expect("a whole number from 0 to 5")]
PerMinute: TypeAlias = Annotated[
    _Whole, Ge(1), Le(MAX_PER_MINUTE), Expect(f"a whole number from 1 to {MAX_PER_MINUTE}, or null")
]
PerSecond: TypeAlias = Annotated[
    _Number, Ge(0), Le(MAX_COUNT), Expect(f"a number per second from 0 to {MAX_COUNT}")
]
Share: TypeAlias = Annotated[_Number, Ge(0), Le(1), Expect("a number from 0 to 1")]
Rate: TypeAlias = Annotated[_Number, Gt(0), Le(1), Expect("a number greater than 0 and at most 1")]
Factor: TypeAlias = Annotated[
    _Number, Ge(1), Le(MAX_FACTOR), Expect(f"a number from 1 to {MAX_FACTOR}")
]
Flag: TypeAlias = Annotated[bool, Strict(), Expect("true or false")]
ListenAddress: TypeAlias = Annotated[
    _Text, Expect("an address, as 127.0.0.1:7411"), AfterValidator(_listen_address)
]
AdminAddress: TypeAlias = Annotated[
    _Text, Expect("an address, as 127.0.0.1:7412, or null"), AfterValidator(_admin_address)
]
Words: TypeAlias = Annotated[
    str,
    Strict(),
    Len(0, MAX_CHARACTERS),
    Expect(f"a text of at most {MAX_CHARACTERS} characters"),
]
BaseUrl: TypeAlias = Annotated[_Text, Expect("a URL"), AfterValidator(_base_url)]
KeyFile: TypeAlias = Annotated[
    _Text, Expect("an absolute path of a file that holds the key"), AfterValidator(_absolute)
]
Folder: TypeAlias = Annotated[
    _Text, Expect("an absolute path of a folder"), AfterValidator(_absolute_path)
]
EncryptionKeyFile: TypeAlias = Annotated[
    _Text, Expect("an absolute path of a file that holds the key"), AfterValidator(_absolute_path)
]
StopReason: TypeAlias = Annotated[
    str,
    Strict(),
    Field(pattern=r"^[a-z][a-z_]{0,62}$"),
    Expect("a stop reason of the upstream, as end_turn"),
]
TokenFile: TypeAlias = Annotated[
    _Text, Expect("an absolute path of a file that holds a token"), AfterValidator(_absolute_path)
]
PemFile: TypeAlias = Annotated[
    _Text, Expect("an absolute path of a file in PEM form"), AfterValidator(_absolute_path)
]
HttpAddress: TypeAlias = Annotated[
    _Text, Expect("an address, as 127.0.0.1:7413, or null"), AfterValidator(_http_address)
]
