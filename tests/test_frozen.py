"""Frozen data: the same as a frozen dataclass with slots, as far as we use them."""
from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any, Generic, TypeVar

import pytest

from taskproc.frozen import frozen, replace

K = TypeVar("K")


@frozen
class Point(Generic[K]):
    """A pair, and what is made anew for each."""

    x: K
    y: int = 0
    more: Mapping[str, int] = field(default_factory=dict)

    def sum(self) -> int:
        """Of the plain ones."""
        return int(self.x) + self.y  # type: ignore[call-overload, no-any-return]


@frozen
class Named(Point[int]):
    """With a field of its own."""

    name: str = "?"


@frozen
class Empty:
    """Nothing in it."""


@dataclass(frozen=True)
class Twin:
    """What dataclasses makes of the same."""

    x: int
    y: int = 0
    more: Mapping[str, int] = field(default_factory=dict)


@frozen
class Heir(Named):
    """With no field of its own."""


def test_it_is_made_as_it_is_annotated() -> None:
    """Arguments by place or name, defaults, what is made anew for each instance; inherited fields come first."""
    one, other = Named(1, name="a"), Named(1)

    assert (1, 0, {}, "a") == (one.x, one.y, one.more, one.name)
    assert one.more is not other.more
    assert ("x", "y", "more", "name") == Named.__match_args__
    assert 3 == Point(1, 2).sum() == Heir(1, 2).sum()


@pytest.mark.parametrize("arguments", [(), (1, 2, {}, "a", 5)])
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    """As by any function, the first time and later."""
    for _ in range(2):
        with pytest.raises(TypeError, match="argument"):
            Named(*arguments)


def test_it_is_shown_as_a_dataclass_is() -> None:
    """By class and fields."""
    assert repr(Twin(1, 2, {"a": 1})).replace("Twin", "Point") == repr(Point(1, 2, {"a": 1}))
    assert "Empty()" == repr(Empty())


def test_it_is_compared_by_class_and_fields() -> None:
    """Equal are instances of one class with equal fields; hashable if all fields are."""
    assert Point(1, 2) == Point(1, 2) != Point(1, 3)
    assert Point(1) != Named(1)
    assert Point(1) != Twin(1)
    assert Empty() == Empty()
    assert hash(Point(1, 2, ())) == hash(Point(1, 2, ()))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(1))


@pytest.mark.parametrize("change", [
    lambda some: setattr(some, "x", 2), lambda some: setattr(some, "other", 2), lambda some: delattr(some, "x"),
])  # fmt: skip
def test_it_cannot_be_changed(change: Callable[[object], None]) -> None:
    """No field can be set or deleted, nor another one added."""
    some = Named(1)

    with pytest.raises(FrozenInstanceError):
        change(some)

    assert Named(1) == some
    assert not hasattr(some, "__dict__")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("some", [Point(1, 2, {"a": 1}), Named(1, name="b"), Empty()], ids=repr)
def test_it_travels(some: object, protocol: int) -> None:
    """Pickled and copied it is what it was."""
    again = pickle.loads(pickle.dumps(some, protocol))

    assert some == again == copy.deepcopy(some) == copy.copy(some)


def test_a_copy_with_changes() -> None:
    """`replace` keeps the class and the other fields."""
    assert Named(1, 5, name="b") == replace(Named(1, 2, name="b"), y=5)
    with pytest.raises(TypeError, match="'z'"):
        replace(Named(1), z=1)


def test_a_class_costs_nothing_until_it_is_used() -> None:
    """Nothing is compiled when a class is made: that was a third of the import."""
    source = (
        "import builtins\n"
        "from taskproc.frozen import frozen\n"
        "def refuse(*_): raise AssertionError('compiled')\n"
        "true, builtins.exec = builtins.exec, refuse\n"
        "@frozen\n"
        "class A:\n"
        "    a: 'int'\n"
        "builtins.exec = true\n"
        "print(A(1))\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)

    assert ("A(a=1)\n", "") == (done.stdout, done.stderr)
