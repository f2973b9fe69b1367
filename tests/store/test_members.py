"""The gzip members around a payload."""
from __future__ import annotations

import gzip

import pytest
from faults import few
from hypothesis import given
from hypothesis import strategies as st

from taskproc.store.members import FOOTER, comment_member, footer_member, read_comment, record_length

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
