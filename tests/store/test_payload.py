"""Values to payloads and back."""
from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import random
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest
from faults import few
from hypothesis import given
from hypothesis import strategies as st

from taskproc.errors import CorruptedResult, MissingResult, UnstorableResult
from taskproc.store import payload
from taskproc.store.payload import Payload, compress, stored_value, write_value
from tests.store.pickles import dumps

NOISE = random.Random(0).randbytes(1 << 20)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes of a block that is small enough for tests, while few threads are there to take one."""
    monkeypatch.setattr(payload, "BLOCK", 1 << 16)
    monkeypatch.setattr(payload, "_MOST_THREADS", 2)
    return 1 << 16


def written(value: object, level: int | None = None) -> tuple[bytes, Payload]:
    """All bytes of a payload, and its description."""
    target = io.BytesIO()
    made = write_value(value, target.write, level)
    return target.getvalue() + made.rest, made


VALUES = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=20_000),
    lambda some: st.lists(some, max_size=5) | st.dictionaries(st.text(), some, max_size=4),
    max_leaves=12,
)


@few
@given(VALUES, st.none() | st.integers(0, 9), st.sampled_from([64, 1 << 12, 1 << 20]))
def test_a_value_comes_back(value: object, level: int | None, size: int) -> None:
    """In blocks of any size; gzip and pickle alone read it; the digests are those of the bytes and of the pickle."""
    before, payload.BLOCK = payload.BLOCK, size
    try:
        members, made = written(value, level)
    finally:
        payload.BLOCK = before

    plain = gzip.decompress(members)
    assert value == pickle.loads(plain) == stored_value(members, "", "result X", {})
    assert dumps(value) == plain
    assert (len(members), hashlib.sha256(members).hexdigest()) == (made.size, made.digest)
    assert hashlib.sha256(plain).hexdigest() == made.value


ARRAYS = {
    "noise": np.random.default_rng(0).random(40_000),
    "in the order of Fortran": np.asfortranarray(np.random.default_rng(0).random((100, 400))),
    "a part of another": np.random.default_rng(0).random((200, 1000))[::2, ::3],
    "read-only": np.frombuffer(NOISE[:320_000], dtype=np.uint16).reshape(400, 400),
    "of no dimension": np.array(3.5),
    "empty": np.empty((3, 0, 2)),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.usefixtures("blocks")
def test_an_array_comes_back(array: Any) -> None:
    """In whatever order its elements lie, beside another value."""
    members, _ = written([array, "text" * 5000, array[..., None]])

    first, text, second = stored_value(members, "", "result X", {})  # type: ignore[misc]  # it is object

    assert (array.dtype, array.shape, array.flags.f_contiguous) == (first.dtype, first.shape, first.flags.f_contiguous)
    assert np.array_equal(array, first)
    assert np.array_equal(array[..., None], second)
    assert "text" * 5000 == text
    assert dumps([array, "text" * 5000, array[..., None]]) == gzip.decompress(members)


def test_a_small_value_is_left_to_the_caller() -> None:
    """It is written by one call, together with what follows it; and no thread is started for it."""
    calls: list[bytes] = []

    made = write_value([1, 2.5, "text"], calls.append)

    assert ([], made.size) == (calls, len(made.rest))


def test_blocks_are_members_in_their_order(blocks: int) -> None:
    """Each as it was compressed, alone; one call writes one."""
    calls: list[bytes] = []
    value = b"".join(NOISE[: blocks * part // 10] + bytes(blocks) for part in range(10))

    made = write_value(value, calls.append)

    plain = dumps(value)
    assert [compress(plain[at : at + blocks]) for at in range(0, len(plain), blocks)] == calls
    assert b"" == made.rest


def test_the_last_block_may_be_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes behind it; if it is the first one too, no thread is needed."""
    size = 1 << 17  # larger than what a pickle puts into one frame
    monkeypatch.setattr(payload, "BLOCK", size)
    overhead = len(dumps(NOISE[:size])) - size
    calls: list[bytes] = []

    one, two = (write_value(NOISE[: times * size - overhead], calls.append) for times in (1, 2))

    assert (2, b"") == (len(calls), two.rest)
    assert one.size == len(one.rest)


def test_what_is_kept_is_a_copy() -> None:
    """The memory of a piece is good for the time of the call only."""
    writer, piece = payload._Writer(lambda member: None, 0), bytearray(b"piece")

    writer.write(piece)
    piece[:] = b"other"

    assert hashlib.sha256(b"piece").hexdigest() == writer.finish([]).value


@pytest.mark.parametrize("piece", [ARRAYS["read-only"], pickle.PickleBuffer(ARRAYS["in the order of Fortran"])])
def test_a_piece_may_have_any_form(piece: Any, blocks: int) -> None:
    """It is taken byte by byte, as it lies in memory: which form a pickler hands out is its own business."""
    writer = payload._Writer(lambda member: None, 0)

    writer.write(piece)

    assert hashlib.sha256(pickle.PickleBuffer(piece).raw()).hexdigest() == writer.finish([]).value
    writer.close()


@pytest.mark.usefixtures("blocks")
def test_the_stamp_does_not_depend_on_the_level() -> None:
    """Nor on whatever deflates: it is that of the pickle."""
    value = {"noise": NOISE[:100_000], "zeros": bytes(100_000)}

    made = [written(value, level)[1] for level in (None, 0, 1)]

    assert 1 == len({each.value for each in made})
    assert 3 == len({each.size for each in made})


def test_a_large_value_is_not_copied(blocks: int) -> None:
    """Nobody holds its pickle or its members as a whole, neither to write nor to read."""
    value = bytearray(NOISE * 4)
    members = bytearray()
    written(value)  # what is imported and made once
    members += written(value)[0]
    sizes: list[int] = []
    tracemalloc.start()
    try:
        write_value(value, lambda member: sizes.append(len(member)))
        _, most_to_write = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        again = stored_value(members, "", "result X", {})
        _, most_to_read = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert value == again
    assert most_to_write < 25 * blocks  # of 64; zlib has some, too
    assert most_to_read < len(value) + 5 * blocks
    assert len(members) == sum(sizes)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


class Full(Exception):
    """The disk is."""


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("at", [1, 3, 9])
def test_what_cannot_be_written(at: int) -> None:
    """The very error, at the block it hit, not as one of the value; no thread stays."""
    before, calls = threads(), []

    def append(member: bytes) -> None:
        calls.append(member)
        if len(calls) == at:
            raise Full

    with pytest.raises(Full):
        write_value([NOISE[: 65536 * 8]], append)

    assert (at, before) == (len(calls), threads())


@pytest.mark.usefixtures("blocks")
def test_what_cannot_be_pickled_far_behind() -> None:
    """The error names it, and no thread stays."""
    before, calls = threads(), []

    with pytest.raises(UnstorableResult, match=r"its result\[1\] \(a _thread.lock\) cannot be pickled"):
        write_value([NOISE[: 65536 * 8], threading.Lock()], calls.append)

    assert before == threads()
    assert calls


def test_no_thread_to_be_had(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system, as a full disk is."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(OSError, match="can't start new thread"):
        write_value(NOISE[: blocks * 4], lambda member: None)


class Broken:
    def __setstate__(self, state: object) -> None:
        raise KeyError("gone")

    def __getstate__(self) -> object:
        return 1


def test_what_does_not_load_is_missing() -> None:
    """The error names the result, the cause, and the versions it was written with."""
    with pytest.raises(MissingResult, match=r"result X is intact.*KeyError.*python 3\.1") as caught:
        stored_value(compress(dumps(Broken()), 9), "", "result X", {"python": "3.1"})

    assert not isinstance(caught.value, CorruptedResult)


@pytest.mark.parametrize("before", [b"", compress(b"\x80\x05"), compress(b"\x80\x05") * 2])
def test_what_is_not_gzip_is_corrupted(before: bytes) -> None:
    """Verified bytes were written here; if they are not gzip all the same, the error says so."""
    with pytest.raises(CorruptedResult, match="not gzip"):
        stored_value(before + b"not gzip at all", "", "result X", {})


class Unwilling:
    def __reduce__(self) -> Any:
        raise KeyError("not me")


@pytest.mark.parametrize("value", [Unwilling(), (n for n in ()), threading.Lock()])
def test_what_cannot_be_pickled_is_unstorable(value: object) -> None:
    """Whatever a class raises becomes one error, with what it was, its type and its cause."""
    with pytest.raises(UnstorableResult, match=f"its result .a .*{type(value).__qualname__}") as caught:
        write_value(value, lambda part: None)

    assert caught.value.__cause__ is not None
