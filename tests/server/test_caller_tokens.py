"""`CallerTokens`: who may call and for whom, from a file that is rotated."""

import logging
import os
from pathlib import Path

import pytest

from sidecard.core.errors import Unauthenticated
from sidecard.server.bad_files import BadTokens
from sidecard.server.caller_tokens import LOOK_EVERY_S, TELL_EVERY_S, CallerTokens

ONE, TWO, ANY = (f"token-of-{who}-0123456789" for who in ("one", "two", "anybody"))


class Tokens:
    """The tokens of a file, and a clock that the test turns."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path / "tokens"
        self.now = 0.0
        self.path.write_text(text)
        self.tokens = CallerTokens(self.path, now=lambda: self.now)

    def replace(self, text: str) -> None:
        """Put another file in its place, as mounted secrets are."""
        new = self.path.with_name("new")
        new.write_text(text)
        new.replace(self.path)
        self.now += LOOK_EVERY_S

    def tenant(self, token: str) -> str:
        return self.tokens.tenant(f"Bearer {token}")


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path, f"# who  token\n\n a {ONE}\r\na\t{TWO}\n* {ANY}")


def test_a_token_says_whose_it_is(tokens: Tokens) -> None:
    """Of one tenant, which may have several, or of anybody."""
    assert [tokens.tenant(token) for token in (ONE, TWO, ANY)] == ["a", "a", ""]
    assert tokens.tokens.tenant(f"bearer  {ONE} ") == "a"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        ONE,
        f"Basic {ONE}",
        f"Bearer {ONE}x",
        f"Bearer {ONE[:-1]}",
        "Bearer ü",
    ],
)
def test_anything_else_is_nobody(tokens: Tokens, given: str) -> None:
    """Without the scheme, a part of one, or more than one: and the error shows none of it."""
    with pytest.raises(Unauthenticated) as refused:
        tokens.tokens.tenant(given)
    assert ONE[:-1] not in str(refused.value)


def test_tokens_are_rotated(tokens: Tokens) -> None:
    """A new file is seen within a second, and the token that is gone from it is gone."""
    tokens.replace(f"b {TWO}")
    assert tokens.tenant(TWO) == "b"
    with pytest.raises(Unauthenticated):
        tokens.tenant(ONE)


@pytest.mark.parametrize("text", ["", "a", f"a {ONE} more", "a short", f"a/b {ONE}", None])
def test_a_bad_file_leaves_the_tokens_as_they_were(
    tokens: Tokens, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, with the line and no token; a good one is taken later."""
    if text is None:
        tokens.path.unlink()
        tokens.now += LOOK_EVERY_S
    else:
        tokens.replace(text)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert tokens.tenant(ONE) == "a"
            tokens.now += LOOK_EVERY_S
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert str(tokens.path) in str(vars(record)["why"])
    assert ONE not in str(vars(record))
    tokens.replace(f"b {ONE}")
    assert tokens.tenant(ONE) == "b"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no token"),
        (f"a {ONE}\nb", "line 2: expected a tenant and a token"),
        ("a 0123456789abcde", "line 1: a token has to be 16 to 512 visible ASCII characters"),
        (f"a {ONE}\na {TWO}\nb {ONE}", "line 3: the token is another tenant's, too"),
        (f"a {ONE}\n* {ONE}", "line 2: the token is another tenant's, too"),
        (f"a\x7f {ONE}", "line 1: a tenant has to be"),
        ("#" * 300_000, "is larger than 262,144 bytes"),
    ],
)
def test_a_bad_file_at_the_start(tmp_path: Path, text: str, why: str) -> None:
    """The daemon doesn't start, and says what is wrong where."""
    with pytest.raises(BadTokens, match=r"listen\.tokens_file") as refused:
        Tokens(tmp_path, text)
    assert why in str(refused.value)
    assert ONE not in str(refused.value)


def test_no_file_and_a_pipe(tmp_path: Path) -> None:
    """What is missing is said, and what would hang doesn't."""
    with pytest.raises(BadTokens, match="can't be read: No such file"):
        CallerTokens(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadTokens, match="no token"):
        CallerTokens(tmp_path / "pipe")


def test_who_is_refused_is_told_seldom(tokens: Tokens, caplog: pytest.LogCaptureFixture) -> None:
    """At once, then with how many were left out, so that no guesser fills the log."""
    for seconds in (0.0, 1.0, TELL_EVERY_S - 1):
        tokens.now += seconds
        with pytest.raises(Unauthenticated):
            tokens.tenant("a-guess-0123456789")
    with pytest.raises(Unauthenticated):
        tokens.tokens.tenant("")
    told = [(record.message, vars(record)["why"]) for record in caplog.records]
    assert told == [
        ("callers refused", "the token isn't known"),
        ("callers refused", "the token isn't known"),
    ]
    assert vars(caplog.records[1])["left_out"] == 1
    assert "a-guess" not in str([vars(record) for record in caplog.records])


def test_nothing_shows_a_token(tokens: Tokens) -> None:
    """Neither `repr` nor what is kept of them, which are digests."""
    assert repr(tokens.tokens) == f"<3 callers' tokens of {tokens.path}>"
    assert ONE not in str(vars(tokens.tokens))
