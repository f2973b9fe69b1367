"""Values to bytes and back."""
from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
import threading
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from faults import few
from hypothesis import given
from hypothesis import strategies as st

from taskproc.errors import CorruptedResult, MissingResult, UnstorableResult
from taskproc.store.codec import (
    FOOTER,
    comment_member,
    compress,
    decompress,
    dumps,
    footer_member,
    loads,
    read_comment,
    record_length,
    store_form,
    stored_value,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(), some, max_size=3),
    max_leaves=5,
)


@few
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_comment_comes_back(content: dict[str, object]) -> None:
    """Any JSON, with NUL and lone surrogates too, and for gzip it is nothing at all."""
    member = comment_member(content)

    assert content == read_comment(member)
    assert b"" == gzip.decompress(member)


@few
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda some: comment_member({})[:10] + some))
def test_other_bytes_are_no_comment(some: bytes) -> None:
    """ValueError, and nothing else, for bytes that were not written here."""
    if some != comment_member({}):
        with pytest.raises(ValueError):  # noqa: PT011  # the words differ, the kind is the promise
            read_comment(some)


def test_a_deep_comment_is_no_comment() -> None:
    """Bytes that would send the parser too deep are a ValueError too."""
    shell = comment_member({})
    deep = shell[:10] + b"[" * 100_000 + shell[12:]

    with pytest.raises(ValueError):  # noqa: PT011
        read_comment(deep)


@few
@given(st.binary(max_size=300))
def test_a_footer_knows_its_record(record: bytes) -> None:
    """Always 66 bytes, nothing for gzip, and with the length of the record."""
    footer = footer_member(record)

    assert (FOOTER, len(record), b"") == (len(footer), record_length(footer), gzip.decompress(footer))


@few
@given(st.binary(max_size=80))
def test_other_bytes_are_no_footer(some: bytes) -> None:
    """A length is read from what begins like a footer only."""
    with pytest.raises(ValueError, match="no footer"):
        record_length(some)


@few
@given(st.binary(max_size=2000), st.integers(0, 9))
def test_compressed_bytes_come_back(content: bytes, level: int) -> None:
    """At every level; the same bytes each time; and Python's gzip agrees."""
    member = compress(content, level)

    assert content == decompress(member) == gzip.decompress(member)
    assert member == compress(content, level)


def test_members_are_put_together() -> None:
    """A payload may be several members."""
    assert b"abc" == decompress(compress(b"a", 9) + compress(b"b", 0) + compress(b"c", 6))
    assert b"" == decompress(b"")


SAME = """
import hashlib
from pathlib import Path
from taskproc.store.codec import compress, dumps

values = [{"a": [1, 2.5, None], "b": {"c": (True, "text")}}, ["x" * 100, bytes(1000)], Path("/some/where"), len]
print([hashlib.sha256(compress(dumps(value), 9)).hexdigest() for value in values])
"""


@pytest.mark.slow
def test_the_same_value_gives_the_same_bytes() -> None:
    """In every process, under every hash seed: equal stamps depend on it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*sys.path, os.getcwd()]))}
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SAME],
            env={**environment, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert 1 == len(outputs)


def test_paths_below_the_root_are_seen_from_it() -> None:
    """They load below the root that is given then, also inside other values; a prefix of the name is not enough."""
    content = dumps([Path("/old/a/b"), {"k": Path("/old/c")}, Path("/older"), PurePosixPath("/old/p")], "/old")

    assert [Path("/new/a/b"), {"k": Path("/new/c")}, Path("/older"), PurePosixPath("/old/p")] == loads(content, "/new")
    assert b"/old/a" not in content
    assert Path("a/b") == pickle.loads(content)[0]


def test_a_root_is_forgotten_after_a_load() -> None:
    """Also if the load fails."""
    content = dumps(Path("/old/a"), "/old")
    for bad in (b"garbage", b""):
        with pytest.raises(Exception, match="."):
            loads(bad, "/new")

    assert Path("a") == pickle.loads(content)


def test_what_cannot_be_imported_goes_by_value() -> None:
    """Lambdas and local classes are stored as they are."""
    factor = 3

    class Local:
        size = 2

    function, cls = loads(dumps([lambda x: x * factor, Local]))  # type: ignore[misc]

    assert (12, 2) == (function(4), cls().size)


def test_a_reducer_answers_first() -> None:
    """What it answers is pickled instead; NotImplemented leaves it to the rest."""


    def reduce(some: object) -> object:
        return (str, ("a path",)) if isinstance(some, Path) else NotImplemented

    content = dumps([Path("/old/a"), {1}], "/old", reduce)

    assert ["a path", {1}] == loads(content)


class Unwilling:
    def __reduce__(self) -> Any:
        raise KeyError("not me")


@pytest.mark.parametrize("value", [Unwilling(), (n for n in ()), threading.Lock()])
def test_what_cannot_be_pickled_is_unstorable(value: object) -> None:
    """Whatever a class raises becomes one error, with what it was, its type and its cause."""
    with pytest.raises(UnstorableResult, match=f"its result .a .*{type(value).__qualname__}") as caught:
        store_form(value, "", "its result")

    assert caught.value.__cause__ is not None


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


def test_what_is_not_gzip_is_corrupted() -> None:
    """Bytes that verify were written here; that they are no gzip must not happen, and is said so if it does."""
    with pytest.raises(CorruptedResult, match="not gzip"):
        stored_value(b"not gzip at all", "", "result X", {})


def test_the_crc_is_checked_too() -> None:
    """zlib's own check stands behind the digest."""
    member = bytearray(compress(b"content", 0))
    member[-7] ^= 1

    with pytest.raises(zlib.error):
        decompress(bytes(member))
