"""Content to gzip members and back."""
from __future__ import annotations

import gzip
import random
import zlib

import pytest
from faults import few
from hypothesis import given
from hypothesis import strategies as st

from taskproc.store import payload
from taskproc.store.payload import SMALL, TINY, NotGzip, compress, decompress

NOISE = random.Random(0).randbytes(SMALL * 2)
TEXT = b" ".join(b"%d" % (number * number) for number in range(20_000))
LEVELS = st.none() | st.integers(0, 9)


def expanded(members: bytes) -> bytes:
    return b"".join(decompress(members))


@few
@given(st.binary(max_size=100), st.integers(0, 3000), LEVELS)
def test_compressed_bytes_come_back(unit: bytes, times: int, level: int | None) -> None:
    """At every level; the same bytes each time; Python's gzip agrees; and hardly larger than before."""
    content = unit * times

    member = compress(content, level)

    assert content == expanded(member) == gzip.decompress(member)
    assert member == compress(content, level)
    assert len(member) <= len(content) + 18 + 5 * (1 + len(content) // 0xFFFF)


@pytest.mark.parametrize("size", [0, 1, 0xFFFE, 0xFFFF, 0x10000, 2 * 0xFFFF, 2 * 0xFFFF + 1])
def test_stored_bytes_come_back(size: int) -> None:
    """Where a stored block is full, too, of which a member holds as many as it takes."""
    member = compress(NOISE[:1] * size, 0)

    assert NOISE[:1] * size == expanded(member) == gzip.decompress(member)
    assert len(member) == 18 + size + 5 * max(1, -(-size // 0xFFFF))


@few
@given(st.lists(st.tuples(st.binary(max_size=5000), LEVELS), max_size=5))
def test_members_are_put_together(parts: list[tuple[bytes, int | None]]) -> None:
    """A payload may be several members, stored or not."""
    members = b"".join(compress(content, level) for content, level in parts)

    assert b"".join(content for content, _ in parts) == expanded(members)


def is_stored(content: bytes, level: int | None = None) -> bool:
    return len(compress(content, level)) > len(content)


def test_what_pays_is_done_where_no_level_is_asked_for() -> None:
    """Tiny content and noise are stored, small content is made as small as can be, the rest nearly so."""
    small, large = TEXT[:SMALL], TEXT[: SMALL + 1]

    assert (True, False) == (is_stored(TEXT[:TINY]), is_stored(TEXT[: TINY + 1]))
    assert (True, True) == (is_stored(NOISE), is_stored(NOISE[: TINY + 1]))
    assert compress(small, 9) == compress(small) != compress(small, 6)
    assert compress(large, 6) == compress(large) != compress(large, 9)


def test_a_level_that_was_asked_for_is_obeyed() -> None:
    """It is tried on what looks like noise, too; what does not shrink is stored all the same."""
    floats = bytes(8 if position % 8 == 7 else byte for position, byte in enumerate(NOISE))  # shrinks to 0.9

    assert (True, False) == (is_stored(floats), is_stored(floats, 6))
    assert compress(NOISE, 9) == compress(NOISE, 0)
    assert len(compress(TEXT, 9)) < len(compress(TEXT, 1)) < len(TEXT) < len(compress(TEXT, 0))


def test_rows_that_repeat_are_no_noise() -> None:
    """Of 8 kB, random each."""
    assert not is_stored(NOISE[:8000] * 16)


def test_what_was_stored_is_not_copied() -> None:
    """Its pieces are views."""
    member = compress(NOISE, 0)

    assert {id(member)} == {id(piece.obj) for piece in decompress(member) if isinstance(piece, memoryview)}


@pytest.mark.parametrize("content", [TEXT, NOISE, b"tiny"])
def test_what_is_cut_off_is_not_gzip(content: bytes) -> None:
    """Wherever, but at the end of a member."""
    member = compress(content)

    for length in [1, 5, 10, 12, 15, len(member) // 2, len(member) - 9, len(member) - 1]:
        with pytest.raises(NotGzip):
            expanded(member[:length])


def test_what_is_not_gzip() -> None:
    """Nothing else is raised; what lies before it comes first."""
    pieces = decompress(compress(b"before") + b"not gzip at all")

    assert b"before" == next(pieces)
    with pytest.raises(NotGzip):
        next(pieces)


def test_a_stored_block_that_lies_about_its_size_is_not_gzip() -> None:
    """Its size stands there twice."""
    member = bytearray(compress(b"content"))
    member[13] ^= 1

    with pytest.raises(NotGzip):
        expanded(bytes(member))


def test_members_of_others_are_read() -> None:
    """Stored by zlib, or with a name, as earlier versions and people write them; zlib's own check stands behind it."""
    squeezer = zlib.compressobj(0, zlib.DEFLATED, 31)
    member = squeezer.compress(b"content") + squeezer.flush()
    damaged = member[:-7] + bytes([member[-7] ^ 1]) + member[-6:]

    assert b"content" == expanded(member)
    with pytest.raises(NotGzip, match="check"):
        expanded(damaged)


def test_reading_costs_as_much_for_each_member(monkeypatch: pytest.MonkeyPatch) -> None:
    """zlib is given pieces, and copies what lies behind a member of one piece only."""
    sizes, original = [], zlib.decompressobj

    class Expander:
        def __init__(self, bits: int):
            self.expander = original(bits)

        def __getattr__(self, name: str) -> object:
            return getattr(self.expander, name)

        def decompress(self, part: memoryview) -> bytes:
            sizes.append(len(part))
            return self.expander.decompress(part)

    members = compress(TEXT) * 20
    monkeypatch.setattr(payload.zlib, "decompressobj", Expander)

    assert TEXT * 20 == expanded(members)
    assert max(sizes) <= 1 << 16
    assert sum(sizes) <= len(members) + 20 * (1 << 16)
