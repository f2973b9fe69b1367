"""A map over a cache: stored values are not computed again."""
from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from workers import Counter, add, leaves_line, odd_fails, square

from taskproc import Cache, ItemErrors, NoCacheError, OptionError, Pool, is_exception
from taskproc.maps.cached_map import MapItem
from taskproc.maps.map_options import ArgumentPassing


@pytest.fixture(params=["threads", pytest.param("processes", marks=pytest.mark.slow)])
def kind(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The option for one kind of worker."""
    return {"use_threads": request.param == "threads"}


def test_items_in_the_cache_are_not_computed_again(cache: Cache, kind: dict[str, Any], tmp_path: Path) -> None:
    """Only those that are new; equal items are one."""
    file = tmp_path / "calls"
    pool = Pool(leaves_line, 2, "args", **kind)

    first = pool.map([(x, str(file)) for x in (1, 2, 2)], cache=True)
    assert (3, [1, 4, 4]) == (len(first), list(first))  # type: ignore[arg-type]
    assert [4, 9, 1] == list(pool.map(iter([(x, str(file)) for x in (2, 3, 1)]), cache=True))

    assert ["1", "2", "3"] == sorted(file.read_text().split())


def test_little_is_read_ahead(cache: Cache) -> None:
    """Also of an endless input."""
    numbers = itertools.count()

    values = Pool(square, 1, use_threads=True).map(numbers, cache=True)

    assert [0, 1, 4] == list(itertools.islice(values, 3))
    assert next(numbers) < 100


def test_exceptions_as_in_other_maps(cache: Cache, kind: dict[str, Any]) -> None:
    """In place of the value, in its place, or all at the end."""
    ignored = list(Pool(odd_fails, 2, exception_behaviour="ignore", **kind).map(range(4), cache=True))
    assert [0, True, 2, True] == [is_exception(value) or value for value in ignored]
    given: list[Any] = []
    with pytest.raises(ValueError, match="odd: 1"):
        give_into(given, Pool(odd_fails, 1, **kind).map(range(4), cache=True))
    assert [0] == given
    with pytest.raises(ItemErrors) as caught:
        list(Pool(odd_fails, 2, exception_behaviour="deferred", **kind).map(range(4), cache=True))
    assert ["odd: 1", "odd: 3"] == [str(error) for error in caught.value.exceptions]


def give_into(target: list[Any], values: Any) -> None:
    """Append one by one, so that the values before an exception are there."""
    for value in values:
        target.append(value)  # noqa: PERF402


def test_without_a_cache_it_is_a_map_as_any_other() -> None:
    """And with one asked for there must be one."""
    assert [11, 12] == list(Pool(add, 1, use_threads=True).map([1, 2]))
    with pytest.raises(NoCacheError):
        list(Pool(add, 1, use_threads=True).map([1, 2], cache=True))


@pytest.mark.parametrize("wrong", [Pool(Counter(), 1), Pool([square, add]), Pool(square, 1, task_timeout=1)])
def test_what_a_task_cannot_be_made_of_is_refused(wrong: Pool) -> None:
    """Objects with a state, several functions, and a timeout."""
    with pytest.raises(OptionError):
        wrong.map([1], cache=True)


def test_the_order_of_keywords_does_not_count(cache: Cache) -> None:
    """An item that is passed on by name is a call: however its keywords are written, it is one; a dict is two."""
    named, single = (
        [MapItem.of(len, item, passing) for item in ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
        for passing in (ArgumentPassing.AS_KWARGS, ArgumentPassing.AS_SINGLE_ARG)
    )

    assert named[0] is named[1]
    assert single[0] is not single[1]
