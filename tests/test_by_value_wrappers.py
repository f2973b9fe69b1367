"""Caches, dispatchers and the like around a script's functions travel to its workers as if they were functions."""
from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from functools import cache, cached_property, lru_cache, singledispatch, singledispatchmethod
from typing import Any, NewType

import pytest

from taskproc.pickling import dumps

Script = Callable[..., str]


@lru_cache(maxsize=3)
def importable(number: int) -> int:
    return number


def back(thing: Any) -> Any:
    return pickle.loads(dumps(thing))


def test_what_can_be_imported_goes_by_name() -> None:
    """It keeps its cache."""
    assert back(importable) is importable


def test_a_cache_has_its_size_and_is_empty() -> None:
    """What it remembers belongs to its process."""
    @lru_cache(maxsize=3, typed=True)
    def local(number: int) -> int:
        """Words."""
        return number + 1

    local(1)
    found = back(local)

    assert found(1) == 2
    assert (found.cache_parameters(), found.cache_info().hits) == ({"maxsize": 3, "typed": True}, 0)
    assert (found.__name__, found.__doc__, found.__qualname__) == ("local", "Words.", local.__qualname__)


def test_functions_that_call_themselves_through_their_wrapper() -> None:
    """A pickle that meets the wrapper within itself."""
    @cache
    def fibonacci(number: int) -> int:
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    @singledispatch
    def shape(value: object) -> Any:
        return "object"

    @shape.register
    def _(value: list) -> Any:  # type: ignore[type-arg]
        return [shape(each) for each in value]

    shape.note = "kept"  # type: ignore[attr-defined]
    found = back(shape)

    assert back(fibonacci)(30) == 832_040
    assert (found([1, [2]]), found.note, found.__name__) == (["object", ["object"]], "kept", "shape")


def test_properties_and_methods() -> None:
    """Of a class that travels with its code."""
    class Local:
        calls = 0

        @cached_property
        def once(self) -> int:
            self.calls += 1
            return self.calls

        @singledispatchmethod
        def kind(self, value: object) -> str:
            return "object"

        @kind.register
        def _(self, value: int) -> str:
            return "int"

        @lru_cache  # noqa: B019
        def remembered(self) -> int:
            return 7

    found = back(Local)()

    assert (found.once, found.once, found.kind(1), found.kind(""), found.remembered()) == (1, 1, "int", "object", 7)


def test_types_with_a_name() -> None:
    """`NewType` has a name that leads nowhere, if it was made inside a function."""
    User = NewType("User", int)
    found = back(User)

    assert (found(3), found.__name__, found.__supertype__) == (3, "User", int)


SCRIPT = '''
import functools, json, threading, typing
from taskproc import Cache, FailedTaskError, Pool, Task

@functools.lru_cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

@functools.singledispatch
def kind(value):
    return "object"

@kind.register
def _(value: int):
    return "int"

User = typing.NewType("User", int)

class Shape:
    @functools.cached_property
    def area(self):
        return 9

class Uses(Task):
    def __init__(self, function=None):
        self.function = function
    def run_task(self):
        return [fibonacci(20), kind(1), User(3), Shape().area]

class Gives(Task):
    def run_task(self):
        return fibonacci

class Takes(Task):
    def __init__(self):
        self.up = Gives()
    def run_task(self):
        return self.up.get_result()(10)

with Cache("cache"):
    found = [task.run_graph()[0] for task in (Uses(), Takes())]
    found.append(Gives().get_result() is fibonacci)
    found.append(Uses().run_graph(prefixes={"Uses": ""})[0] == found[0])
print(json.dumps([*found, list(Pool(fibonacci, 1).map([10, 11]))]))
'''


@pytest.mark.slow
def test_a_script_uses_them_in_its_tasks(script: Script) -> None:
    """Called, given as results, and in maps; the script needs no guard."""
    assert json.loads(script(SCRIPT)) == [[6765, "int", 3, 9], 55, True, True, [55, 89]]
