"""Futures behave as the values and containers that they represent."""
from __future__ import annotations

import copy
import json
import threading
from typing import Any

import pytest

from taskproc.errors import UnnamableValue
from taskproc.run.pool import LocalExecutor
from taskproc.store.payload import loads
from taskproc.tasks.future import Const, FutureDict, FutureList, Item
from taskproc.tasks.task import Task
from taskproc.values.encode import form_digest, key_form
from tests.store.pickles import dumps

pytestmark = pytest.mark.usefixtures("cache")


class Table(Task):
    def run_task(self) -> dict[str, list[int]]:
        return {"a": [1, 2], "b": [3]}


class Echo(Task):
    def __init__(self, value: Any):
        self.value = value

    def run_task(self) -> Any:
        return self.value.get_result()


def run(task: Any) -> Any:
    return task.run_graph(executor=LocalExecutor())[0]


def key(value: object) -> str:
    return form_digest(key_form(value, "a future"))


# ---------------------------------------------------------------- Const


def test_const_is_its_value() -> None:
    """Of any type that has a canonical form; its elements are futures."""
    assert Const((1, {2})).get_result() == (1, {2})
    assert Const({"a": [1, 2]})["a"][1].get_result() == 2
    assert repr(Const("x")) == "Const('x')"


def test_const_is_what_it_was_when_it_was_made() -> None:
    """Neither the code that made it nor the code that reads it can change it."""
    numbers = [[1]]
    const = Const(numbers)

    numbers[0].append(2)
    const.get_result()[0].append(3)

    assert const.get_result() == [[1]]


def test_const_refuses_a_value_without_a_form() -> None:
    """At its construction, with the remedy."""
    with pytest.raises(UnnamableValue, match=r"the value of Const has no canonical form.*as the output of a task"):
        Const(threading.Lock())


def test_const_and_its_value_are_two_arguments() -> None:
    """One has `get_result`, the other does not."""
    assert len({key(1), key(Const(1)), key(Const(True)), key([Const(1)]), key(Const([1]))}) == 5


# ---------------------------------------------------------------- elements


def test_elements_of_elements() -> None:
    """By key and by index, also a negative one."""
    assert run(Echo(Table()["a"][-1])) == 2


def test_the_same_element_is_one_argument() -> None:
    """Only for equal indices of one type."""
    table = Table()

    assert Echo(table["a"]) is Echo(Table()["a"])
    assert len({key(table["a"]), key(table["b"]), key(table), key(table[1]), key(table[True]), key(table["a"][0])}) == 6


def test_an_element_that_is_not_there_fails_where_it_is_read() -> None:
    """With Python's own error."""
    with pytest.raises(KeyError, match="no"):
        Const({"a": 1})["no"].get_result()
    with pytest.raises(IndexError):
        Const([1])[1].get_result()


def test_an_index_without_a_form_is_refused() -> None:
    """At the indexing."""
    with pytest.raises(UnnamableValue, match="the index into a future has no canonical form"):
        Table()[object()]  # type: ignore[index]


def test_an_element_of_a_large_future_is_made_without_looking_at_it() -> None:
    """Its repr is not called."""

    class Shy(dict[str, int]):
        def __repr__(self) -> str:
            raise AssertionError("looked at")

    const = Const({"a": 1})
    const._value = Shy(a=1)

    assert Item(const, "a").get_result() == 1


@pytest.mark.parametrize("future", [lambda: Table(), lambda: Const([1]), lambda: Table()["a"]])
def test_a_future_cannot_be_iterated(future: Any) -> None:
    """Iteration would never end, because each index is a future; the error says so."""
    for use in (iter, list, tuple, sorted):
        with pytest.raises(TypeError, match="is a future and cannot be iterated"):
            use(future())


# ---------------------------------------------------------------- lists and dicts


def test_a_future_list_is_a_list() -> None:
    """In every way; its result is the list of the results."""
    futures: FutureList[int] = FutureList()
    futures.append(Const(1))
    futures += [Const(2)]
    futures.insert(0, Const(0))

    assert (len(futures), futures[1].get_result(), isinstance(futures, list)) == (3, 1, True)
    assert futures.get_result() == [0, 1, 2]
    assert [future.get_result() for future in futures] == [0, 1, 2]
    assert FutureList(Const(n) for n in range(2)).get_result() == [0, 1]


def test_a_future_dict_is_a_dict() -> None:
    """In every way; its result has its keys in its order."""
    futures: FutureDict[str, int] = FutureDict(b=Const(1))
    futures["a"] = Const(0)
    futures.update({"c": Const(2)})

    assert list(futures.get_result().items()) == [("b", 1), ("a", 0), ("c", 2)]
    assert (len(futures), "a" in futures, isinstance(futures, dict)) == (3, True, True)
    assert FutureDict([("x", Const(1))]).get_result() == {"x": 1}


def test_futures_of_futures() -> None:
    """Containers in containers, with tasks and elements at the bottom."""
    nested = FutureDict({"x": FutureList([Table()["a"], Const(0)]), "y": FutureDict()})

    assert run(Echo(nested)) == {"x": [[1, 2], 0], "y": {}}


def test_an_empty_container_is_a_future_too() -> None:
    """Although it is falsy."""
    assert run(Echo(FutureList())) == []
    assert run(Echo(FutureDict())) == {}


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (lambda: FutureList([Const(0), 5]), "element 1 of a FutureList"),
        (lambda: FutureDict({"a": 5}), "value of 'a' in a FutureDict"),
    ],
)
def test_a_container_of_something_else_says_where(make: Any, where: str) -> None:
    """When its result is requested; with the remedy."""
    with pytest.raises(TypeError, match=rf"{where} is not a future \(got int\): wrap it in Const"):
        make().get_result()


def test_containers_and_plain_ones_are_different_arguments() -> None:
    """A task that calls `get_result` on its argument works with only one of them."""
    one = Const(1)

    assert len({key([one]), key(FutureList([one])), key({"a": one}), key(FutureDict({"a": one}))}) == 4


def test_futures_travel() -> None:
    """A pickled or copied future equals the original."""
    futures = FutureDict({"a": FutureList([Const(1), Const([2])[0]])})

    for again in (loads(dumps(futures)), copy.deepcopy(futures), copy.copy(futures)):
        assert (type(again), type(again["a"])) == (FutureDict, FutureList)
        assert (again.get_result(), key(again)) == ({"a": [1, 2]}, key(futures))


@pytest.mark.parametrize(
    "future",
    [
        lambda: Table(),
        lambda: Const((1, 2)),
        lambda: Table()["a"],
        lambda: FutureList([Table()]),
        lambda: FutureDict({"a": Const(1)}),
    ],
)
def test_to_json_is_json(future: Any) -> None:
    """A dictionary that json accepts, a different one for each future."""
    form = future().to_json()

    assert json.loads(json.dumps(form)) == form
    assert isinstance(form, dict)
