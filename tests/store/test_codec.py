"""How entries lie on disk."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecard.core.store import Entry
from sidecard.store.codec import COMPRESSED_FROM_BYTES, Codec, Damaged
from tests.store.conformance import a_key, an_entry, as_stored

MOMENTS = st.floats(allow_nan=False)


@given(st.binary(max_size=20_000), st.integers(0, 20_000), MOMENTS, MOMENTS)
def test_what_is_packed_comes_back(value: bytes, zeros: int, created: float, ends: float) -> None:
    """Any bytes and any moments do, compressed or not."""
    entry, key, codec = Entry(value + bytes(zeros), "t", "r", created, ends), a_key(), Codec()
    assert codec.unpack(key, codec.pack(key, entry)) == as_stored(entry)


@given(st.binary(max_size=300), st.data())
def test_a_flipped_bit_is_found(value: bytes, data: st.DataObject) -> None:
    """No bit of a record can change, and no record be taken for another's."""
    key, codec = a_key(), Codec()
    record = bytearray(codec.pack(key, an_entry(value)))
    bit = data.draw(st.integers(0, len(record) * 8 - 1))
    record[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Damaged):
        codec.unpack(key, bytes(record))


def test_a_record_under_another_key_is_damaged() -> None:
    """The checksum covers the key."""
    codec = Codec()
    with pytest.raises(Damaged):
        codec.unpack(a_key(), codec.pack(a_key(), an_entry()))


@given(st.binary(max_size=100))
def test_anything_else_is_damaged(record: bytes) -> None:
    """Bytes that never were a record raise nothing but that."""
    with pytest.raises(Damaged):
        Codec().unpack(a_key(), record)


def test_large_values_are_compressed_if_that_pays() -> None:
    """Text of 8 KiB and more shrinks; what is short or random stays as it is."""
    codec, key = Codec(), a_key()
    words = [random.Random(n).randbytes(4).hex() for n in range(60)]  # noqa: S311
    text = " ".join(random.Random(1).choices(words, k=2_000)).encode()  # noqa: S311
    assert len(codec.pack(key, an_entry(text))) < len(text) * 0.6
    for value in (text[: COMPRESSED_FROM_BYTES - 1], os.urandom(20_000)):
        assert len(value) < len(codec.pack(key, an_entry(value))) < len(value) + 50
