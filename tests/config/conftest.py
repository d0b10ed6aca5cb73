"""What the tests of the configuration share."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sidecard.config.load import ConfigError, Loaded, load

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return what writes a configuration file."""

    def written(content: str | bytes) -> Path:
        path = tmp_path / "sidecard.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


Refused = Callable[..., list[str]]
Taken = Callable[..., Loaded]


@pytest.fixture
def taken(write: Write) -> Taken:
    """Return what loads a text, with an environment and flags.

    A target may be without a price, unless the text has something to say of prices.
    """

    def loaded(
        text: str | bytes | None = None,
        env: Mapping[str, str] | None = None,
        flags: Mapping[str, str] | None = None,
    ) -> Loaded:
        told = text.encode() if isinstance(text, str) else text or b""
        unpriced: dict[str, str] = {}
        if b"prices:" not in told and (b"model:" in told or b"sdk_client" in told):
            unpriced["SIDECARD_PRICES__UNKNOWN"] = "allow"
        file = None if text is None else write(text)
        return load(file, {**unpriced, **(env or {})}, flags or {})

    return loaded


@pytest.fixture
def refused(taken: Taken, tmp_path: Path) -> Refused:
    """Return what lists a text's problems, the folder of its file left out."""

    def problems(
        text: str | bytes | None = None,
        env: Mapping[str, str] | None = None,
        flags: Mapping[str, str] | None = None,
    ) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            taken(text, env, flags)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return problems
