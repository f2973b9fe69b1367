"""Laws of the closure of needs."""
from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskproc.errors import CycleError
from taskproc.kernel.graph import closure

DIAMOND = {"d": ("b", "c"), "b": ("a",), "c": ("a",), "a": ()}


def test_needs_come_first():
    """Every key comes after all its needs, and otherwise in the order of its first use."""
    assert list(closure(["d"], DIAMOND.__getitem__)) == ["a", "b", "c", "d"]


def test_needs_are_kept_in_order_and_once():
    """A need named twice is one need, at its first position."""
    graph = {"c": ("b", "a", "b"), "b": (), "a": ()}

    assert closure(["c"], graph.__getitem__)["c"] == ("b", "a")


def test_only_what_the_roots_need():
    """Keys that no root needs are left out; a root given twice, or needed by another root, appears once."""
    assert list(closure(["b", "a", "b"], DIAMOND.__getitem__)) == ["a", "b"]
    assert closure([], DIAMOND.__getitem__) == {}


def test_each_key_is_asked_once():
    """`needs_of` is called once for each key, however many nodes need it, and may be a generator."""
    asked: Counter[str] = Counter()

    def needs_of(key):
        asked[key] += 1
        return (need for need in DIAMOND[key])

    closure(["d", "b"], needs_of)

    assert asked == dict.fromkeys("abcd", 1)


def test_a_long_chain_needs_no_recursion():
    """The depth of a graph is not bounded by the recursion limit."""
    length = 20_000

    order = list(closure([length], lambda key: (key - 1,) if key else ()))

    assert order == list(range(length + 1))


def test_many_needs_cost_no_more_than_few():
    """The cost grows with the edges: each key is hashed a few times, however many needs one key has."""
    hashed = 0

    class Key(int):
        def __hash__(self):
            nonlocal hashed
            hashed += 1
            return int(self)

    leaves = [Key(number) for number in range(1, 301)]

    closure([Key(0)], lambda key: () if key else leaves)

    assert hashed < 20 * len(leaves)


@pytest.mark.parametrize(
    ("graph", "path"),
    [
        ({"a": "b", "b": "c", "c": "b"}, "<b> needs itself: <b> -> <c> -> <b>"),
        ({"a": "a"}, "<a> needs itself: <a> -> <a>"),
        ({"a": "bc", "b": "", "c": "da", "d": "b"}, "<a> needs itself: <a> -> <c> -> <a>"),
    ],
)
def test_a_cycle_is_told_with_its_path(graph, path):
    """The message contains exactly the cycle, with the names of `name_of`."""
    with pytest.raises(CycleError) as caught:
        closure(["a"], graph.__getitem__, "<{}>".format)

    assert str(caught.value) == path


def test_names_are_reprs_by_default():
    """Without `name_of`, the message shows the repr of a key."""
    with pytest.raises(CycleError, match=r"^'a' needs itself: 'a' -> 'a'$"):
        closure(["a"], {"a": "a"}.__getitem__)


GRAPHS = st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(st.integers(0, n - 1)), min_size=n, max_size=n))


@settings(derandomize=True, deadline=None, max_examples=50)
@given(GRAPHS)
def test_an_order_or_a_cycle(graph):
    """Any graph gives an order of all reachable keys with needs first, or a cycle made of its edges."""
    try:
        order = closure([0], graph.__getitem__)
    except CycleError as error:
        steps = [int(step) for step in str(error).split(": ")[1].split(" -> ")]
        assert steps[0] == steps[-1]
        assert all(after in graph[before] for before, after in zip(steps, steps[1:], strict=False))
        return
    place = {key: number for number, key in enumerate(order)}
    assert all(place[need] < place[key] for key in order for need in graph[key])
    assert set(order) == {0, *(need for key in order for need in graph[key])}
