"""Where the key comes from, and that it shows nowhere."""

import copy
import os
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecard.upstream.keys import LOOK_EVERY_S, MAX_FILE_BYTES, FileKey, FixedKey, Secret
from sidecard.upstream.transport import Misconfigured

SECRET = "sk-test-9876543210"


class Time:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    """Return the time that keys go by."""
    return Time()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with a key, and the newline that editors leave."""
    file = tmp_path / "key"
    file.write_text(f"  {SECRET}\r\n")
    return file


def rewrite(file: Path) -> None:
    file.write_text("another")


def replace(file: Path) -> None:
    new = file.with_name("new")
    new.write_text("another")
    new.replace(file)


def relink(file: Path) -> None:
    """Turn a link elsewhere, as Kubernetes does with a mounted secret."""
    data = file.with_name("..data")
    data.mkdir()
    (data / "key").write_text("another")
    link = file.with_name("link")
    link.symlink_to(data / "key")
    link.rename(file)


def test_white_space_around_a_key_is_no_part_of_it(file: Path) -> None:
    """A trailing newline in the file, or blanks in the environment, do no harm."""
    assert FileKey(file).current() == SECRET
    assert FixedKey(f" {SECRET}\n", origin="$KEY").current() == SECRET


@pytest.mark.parametrize("change", [rewrite, replace, relink])
def test_a_changed_file_is_read_again(
    file: Path, time: Time, change: Callable[[Path], None]
) -> None:
    """Within a second of a rotation, of whatever kind, the new key is used."""
    key = FileKey(file, now=time)
    change(file)
    assert key.current() == SECRET
    time.now += LOOK_EVERY_S
    assert key.current() == "another"


def test_a_rejected_key_is_looked_for_at_once(file: Path, time: Time) -> None:
    """After the upstream refused the key, the next request finds the new one."""
    key = FileKey(file, now=time)
    rewrite(file)
    key.rejected()
    assert key.current() == "another"


def test_an_unchanged_file_is_not_read_again(
    file: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the file stays as it is, a look at it costs one stat a second."""
    key = FileKey(file, now=time)
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("the file was read again"))
    time.now += LOOK_EVERY_S
    assert key.current() == SECRET


def test_a_fixed_key_stays() -> None:
    """A rejection changes nothing where there is no other key to be had."""
    key = FixedKey(SECRET, origin="$KEY")
    key.rejected()
    assert key.current() == SECRET


def test_a_withdrawn_key_is_not_used(file: Path, time: Time) -> None:
    """When the file is emptied or removed, calls fail until it holds a key again, then go on."""
    key = FileKey(file, now=time)
    file.write_text("")
    time.now += LOOK_EVERY_S
    with pytest.raises(Misconfigured, match="is empty"):
        key.current()
    file.unlink()
    with pytest.raises(Misconfigured, match="can't be read: No such file"):
        key.current()
    file.write_text("another")
    assert key.current() == "another"


def make_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "can't be read: No such file or directory"),
        (lambda file: file.write_text(" \n"), "is empty"),
        (make_fifo, "is no regular file"),
        (make_folder, "is no regular file"),
        (lambda file: file.write_text("k" * (MAX_FILE_BYTES + 1)), "too large for a key: 16,385 b"),
        (lambda file: file.write_text(f"{SECRET}\nand more"), "holds no key: more than one line"),
        (lambda file: file.write_bytes(b"\xff\xfe\x00"), "holds no key"),
        (lambda file: file.write_text(f"{SECRET}\0"), "holds no key"),
    ],
)
def test_a_file_without_a_key_is_named(
    file: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    """Path and reason are told, at once, and never what the file holds."""
    spoil(file)
    with pytest.raises(Misconfigured) as problem:
        FileKey(file)
    assert reason in str(problem.value)
    assert str(file) in str(problem.value)
    assert SECRET not in everything_of(problem.value)


def test_a_key_that_cannot_be_sent_is_not_echoed() -> None:
    """A key with a line break in it is refused in words that don't repeat it."""
    with pytest.raises(Misconfigured, match=r"\$KEY holds no key") as problem:
        FixedKey(f"{SECRET}\r\nx-injected: 1", origin="$KEY")
    assert "more than one line" in str(problem.value)
    # The test's own frame, which knows the key, is the outermost.
    inner = problem.value.with_traceback(problem.tb.tb_next)
    assert SECRET not in everything_of(inner)


def everything_of(error: BaseException) -> str:
    """Return all that a crash reporter would show of an error."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    chain = [error, error.__cause__, error.__context__]
    return "".join(report.format()) + repr([(e, vars(e), e.args) for e in chain if e])


def test_a_key_does_not_show(file: Path) -> None:
    """No `repr` or `str` of a source, nor a traceback with local variables, holds the key."""
    sources = FileKey(file), FixedKey(SECRET, origin="$KEY")
    assert [repr(source) for source in sources] == [f"<key from {file}>", "<key from $KEY>"]
    assert SECRET not in f"{sources} {[str(source) for source in sources]}"
    held = {"x-api-key": sources[0].current()}
    assert repr(held) == "{'x-api-key': <secret>}"


def test_a_key_is_not_pickled(file: Path) -> None:
    """Nothing that holds a key can be written down or copied by accident."""
    for holder in (FileKey(file), FixedKey(SECRET, origin="$KEY"), Secret(SECRET)):
        with pytest.raises(TypeError, match="stays in its process"):
            pickle.dumps(holder)
        with pytest.raises(TypeError, match="stays in its process"):
            copy.deepcopy(holder)
