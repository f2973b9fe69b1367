"""Laws over random nested values: one key exactly for equal values of equal types, and the same value back."""
from __future__ import annotations

import collections
import datetime as dt
import json
import random
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskproc.values.encode import canonical_text, json_form, key_form, plain_text
from tests.identity.oracle import ARRAYS, ATOMS, MEMBERS, MUTABLE, faults, keys_of, near, rebuilt, same
from tests.identity.samples import WHERE, Box, Number, Pair, Point, Spot, full_text, key, there_and_back

ROOT = Path(__file__).parents[2]


def test_oracle_tells_types_apart() -> None:
    """The oracle distinguishes types, which plain equality does not."""
    assert same({1: [0.0, (1,)]}, {1: [0.0, (1,)]})
    numbers = [(1, True), (1, 1.0), (0.0, -0.0), (Number.ONE, 1)]
    for left, right in (*numbers, ((1,), [1]), ({1}, {1.0}), ({1: 2}, {True: 2})):
        assert not same(left, right)
        assert not same({"a": [left]}, {"a": [right]})


# ---------------------------------------------------------------- random values

scalars = st.one_of(
    st.sampled_from(MEMBERS),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(), max_size=5),
    st.binary(max_size=80),
    st.fractions(),
    st.uuids(),
    st.timedeltas(),
    st.times(timezones=st.sampled_from([None, dt.timezone.utc])),
    st.decimals(allow_nan=False),
    st.datetimes(timezones=st.sampled_from([None, dt.timezone.utc])),
)


def containers(inner: st.SearchStrategy[typing.Any]) -> st.SearchStrategy[typing.Any]:
    few = st.lists(inner, max_size=3)
    return st.one_of(
        few.map(tuple),
        few.map(frozenset),
        st.builds(Point, inner, inner),
        st.builds(Spot, inner, inner),
        st.builds(Pair, inner, inner),
    )


hashables = st.recursive(scalars, containers, max_leaves=3)


def mutables(inner: st.SearchStrategy[typing.Any]) -> st.SearchStrategy[typing.Any]:
    return st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashables, inner, max_size=3),
        st.dictionaries(st.text(max_size=3) | st.just("__dict__"), inner, max_size=3),
        st.dictionaries(hashables, inner, max_size=3).map(collections.OrderedDict),
        st.sets(hashables, max_size=3),
        st.lists(inner, max_size=3).map(collections.deque),
        st.builds(Point, inner, inner),
        st.builds(Pair, inner, inner),
        st.builds(Box, inner, inner),
    )


values = st.recursive(hashables | st.sampled_from([*ATOMS, *ARRAYS, *MUTABLE]), mutables, max_leaves=6)


# Making a nested value costs hypothesis some 10 ms; the ten thousand below cost less.
few = settings(max_examples=60, derandomize=True, database=None, deadline=None)


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=5)))
@example(-(1 << 63))
@example(1 << 63)
@example(10**5000)
@example("\ud800")
@example("é\x00\"\\")
def test_the_short_way_to_a_plain_text_is_the_long_one(value: object) -> None:
    """The fast path for plain values gives the same bytes as the general one."""
    assert plain_text(value) == canonical_text(key_form(value, WHERE))


def test_only_plain_values_have_a_short_way() -> None:
    """Subclasses and containers do not take the fast path."""
    for value in (Number.ONE, (), [1], b"", 1j, type("Text", (str,), {})("a")):
        assert plain_text(value) is None


@pytest.mark.slow
@few
@given(values, values)
def test_one_key_if_and_only_if_equal(left: object, right: object) -> None:
    """Two values have one key exactly if they and their types are equal."""
    assert same(left, right) == (key(left) == key(right))


@pytest.mark.slow
@few
@given(values, st.integers())
def test_neighbours_have_other_keys(value: object, seed: int) -> None:
    """A value that differs in one place, even if only in a type, has another key."""
    other = near(value, random.Random(seed))

    assert same(value, other) == (key(value) == key(other))


@pytest.mark.slow
@few
@given(values)
def test_order_of_making_does_not_count(value: object) -> None:
    """A value made again in another order has the same key and the same JSON."""
    again = rebuilt(value)

    assert key(value) == key(again)
    assert full_text(value) == full_text(again)


@pytest.mark.slow
@few
@given(values)
def test_there_and_back(value: object) -> None:
    """Through JSON text and back, a value is the same, with the same types and key."""
    back = there_and_back(value)

    assert same(value, back)
    assert key(value) == key(back)


@pytest.mark.slow
@few
@given(values)
def test_a_form_is_not_what_it_stands_for(value: object) -> None:
    """A form passed as a value has the key of its value only if it is that value, plain JSON."""
    form = json_form(value, "x")

    assert same(value, form) == (key(value) == key(form))


@pytest.mark.slow
def test_no_collision_among_many() -> None:
    """Among many values, one key means equal with types, and equal means one key."""
    assert [] == list(faults(20, 1500))


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "1", "4294967295"])
def test_keys_under_any_hash_seed(seed: str, environ: dict[str, str]) -> None:
    """A process in which sets have another order gives random values the same keys."""
    command = [sys.executable, "-m", "tests.identity.oracle", "7", "300"]
    done = subprocess.run(
        command, env={**environ, "PYTHONHASHSEED": seed}, cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert keys_of(7, 300) == json.loads(done.stdout)
