"""What lies between the event loop and the thread."""

import threading
import time

import pytest

from sidecard.store.desk import MAX_ENTRIES, MAX_TOUCHED, Desk, do
from tests.store.conformance import a_key, an_entry


def test_an_entry_is_found_until_it_is_written() -> None:
    """Waiting or being written, it is there; then it is the file's to find it."""
    desk, key, entry = Desk(10_000), a_key(), an_entry()
    assert desk.find(key) == (False, None)
    assert desk.put(key, entry)
    assert desk.find(key) == (True, entry)
    batch, jobs = desk.take()
    assert (batch, jobs) == ({key: entry}, [])
    assert desk.find(key) == (True, entry)
    desk.left()
    assert desk.find(key) == (False, None)
    assert len(desk) == 0


def test_the_newest_hides_what_is_being_written() -> None:
    """An entry put meanwhile is the one that is found, and stays to be written."""
    desk, key = Desk(10_000), a_key()
    desk.put(key, an_entry(b"old"))
    desk.take()
    desk.put(key, an_entry(b"new"))
    assert desk.find(key) == (True, an_entry(b"new"))
    desk.left()
    assert desk.take()[0] == {key: an_entry(b"new")}


def test_bytes_are_bounded() -> None:
    """What waits and what is being written count together, and a replaced entry once."""
    desk, key = Desk(10_000), a_key()
    for _ in range(50):
        assert desk.put(key, an_entry(bytes(4_000)))
    desk.take()
    assert desk.put(a_key(), an_entry(bytes(4_000)))
    assert not desk.put(a_key(), an_entry(bytes(4_000)))
    desk.left()
    assert desk.put(a_key(), an_entry(bytes(4_000)))


def test_entries_are_bounded() -> None:
    """However small they are; one that waits can always be replaced."""
    desk = Desk(1 << 30)
    keys = [a_key() for _ in range(MAX_ENTRIES)]
    assert all(desk.put(key, an_entry()) for key in keys)
    assert not desk.put(a_key(), an_entry())
    assert desk.put(keys[0], an_entry(b"another"))


def test_touches_are_bounded() -> None:
    """No more uses are noted than memory is given to."""
    desk = Desk(1_000)
    for number in range(MAX_TOUCHED + 10):
        desk.touch(number.to_bytes(32, "big"), 1)
    desk.touch(bytes(32), 2)
    touched = desk.take_touched()
    assert len(touched) == MAX_TOUCHED
    assert touched[bytes(32)] == 2
    assert desk.take_touched() == {}


def test_waiting_ends_with_work() -> None:
    """The thread wakes for an entry, and at once for a job."""
    desk, woken = Desk(1_000), threading.Event()

    def wait() -> None:
        desk.wait(60, 60)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    desk.put(a_key(), an_entry())
    assert not woken.wait(0.02)  # It gathers.
    desk.ask(lambda: 0)
    assert woken.wait(10)
    thread.join()


def test_waiting_ends_by_itself() -> None:
    """Without work it returns in time to look around."""
    began = time.monotonic()
    Desk(1_000).wait(0.01, 60)
    assert time.monotonic() - began < 30


def test_a_job_gives_what_it_returned_or_raised() -> None:
    """Also an error is for whoever asked; who has left gets nothing done."""
    desk = Desk(1_000)
    asked = [desk.ask(lambda: 7), desk.ask(lambda: 1 // 0), desk.ask(lambda: 8)]
    asked[2].cancel()
    for job in desk.take()[1]:
        do(job)
    assert asked[0].result(0) == 7
    with pytest.raises(ZeroDivisionError):
        asked[1].result(0)
    assert asked[2].cancelled()
