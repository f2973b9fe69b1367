"""Values to bytes and back."""
from __future__ import annotations

import gzip
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path, PurePosixPath

import cloudpickle
import pytest
from faults import few
from hypothesis import given
from hypothesis import strategies as st

from taskproc.store.codec import (
    FOOTER,
    comment_member,
    footer_member,
    loads,
    read_comment,
    record_length,
)
from tests.store.pickles import dumps

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


SAME = """
import hashlib
from pathlib import Path
from tests.store.pickles import dumps

values = [{"a": [1, 2.5, None], "b": {"c": (True, "text")}}, ["x" * 100, bytes(1000)], Path("/some/where"), len]
print([hashlib.sha256(dumps(value)).hexdigest() for value in values])
"""


def printed(program: str, seed: str = "0") -> str:
    """What a Python of its own prints."""
    path = os.pathsep.join(filter(None, [*sys.path, os.getcwd()]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_the_same_value_gives_the_same_bytes() -> None:
    """In every process, under every hash seed: equal stamps depend on it."""
    assert 1 == len({printed(SAME, seed) for seed in ("1", "2")})


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


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()


@few
@given(PLAIN | st.sampled_from([0, -1, 255, 65536, 1 << 31, 1 << 2100, "a" * 300, b"a" * 300, "a" * 5000, b"a" * 5000]))
def test_plain_values_take_a_shorter_way(value: object) -> None:
    """It gives the bytes that the longer one does, which asks no reducer about them either."""
    target = io.BytesIO()

    cloudpickle.CloudPickler(target, protocol=5).dump(value)

    assert target.getvalue() == dumps(value)


SCALARS = """
import sys
from taskproc.store.codec import loads
from tests.store.pickles import dumps

assert [loads(dumps(value)) for value in (1, 2.5, None, True, "text", b"bytes")]
print("cloudpickle" in sys.modules)
"""


@pytest.mark.slow
def test_plain_values_need_no_cloudpickle() -> None:
    """A worker that returns nothing else does without the time of importing it."""
    assert "False\n" == printed(SCALARS)
