"""Laws of a future that is used as its value: an error says so while a task runs, and nothing else changes."""
from __future__ import annotations

import bdb
import getpass
import json
import math
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from taskproc.errors import FailedTaskError, MissingResult
from taskproc.run.pool import LocalExecutor
from taskproc.store.layout import FEWEST_DIGITS
from taskproc.tasks.future import Const, Future, FutureDict, FutureList
from taskproc.tasks.task import Task

pytestmark = pytest.mark.usefixtures("cache")


class Load(Task):
    def __init__(self, n: int = 3):
        self.n = n

    def run_task(self) -> Any:
        return [self.n]


class Number(Task):
    def __init__(self, n: int = 3):
        self.n = n

    def run_task(self) -> int:
        return self.n


Use = Callable[[Any], object]
_uses: dict[str, Use] = {}


def use(function: Use) -> Use:
    _uses[function.__name__] = function
    return function


class Reader(Task):
    """Calls one of the functions of this file with its upstream task."""

    def __init__(self, how: str, up: Future[Any]):
        self.how = how
        self.up = up

    def run_task(self) -> Any:
        return _uses[self.how](self.up)


class Listed(Task):
    def __init__(self, how: str, ups: Any):
        self.how = how
        self.ups = ups

    def run_task(self) -> Any:
        return _uses[self.how](self.ups)


class Reading(Task):
    """Needs another task, which may be None."""

    def __init__(self, up: Future[int] | None = None):
        self.up = up

    def run_task(self) -> int:
        return self.up.get_result() if self.up else 0


def run(task: Any) -> Any:
    return task.run_graph(executor=LocalExecutor())[0]


def refused(task: Any) -> BaseException:
    with pytest.raises(FailedTaskError) as caught:
        run(task)
    return caught.value.failures[0].error


FUTURES: list[Callable[[], Any]] = [Number, lambda: Const(3), lambda: Load()[0]]
WRONG: dict[str, Use] = {
    "plus": lambda up: up + 1,
    "plus from the right": lambda up: 1 + up,
    "times": lambda up: up * 2.5,
    "minus itself": lambda up: up - up,
    "power": lambda up: up**2,
    "whole division": lambda up: 7 // up,
    "rest": lambda up: up % 2,
    "matrix": lambda up: up @ up,
    "bits": lambda up: up & 1,
    "in place": lambda up: _added(up),
    "negative": lambda up: -up,
    "absolute": abs,
    "equal": lambda up: up == 3,
    "unequal": lambda up: up != "x",
    "equal from the right": lambda up: up == 3,
    "less": lambda up: up < 3,
    "less from the right": lambda up: 3 < up,
    "least": lambda up: min(up, 3),
    "truth": lambda up: 1 if up else 2,
    "not": lambda up: not up,
    "or": lambda up: up or 1,
    "length": len,
    "iteration": list,
    "membership": lambda up: 3 in up,
    "float": float,
    "int": int,
    "root": math.sqrt,
    "range": range,
    "index": lambda up: [1, 2][up],
    "json": json.dumps,
    "join": lambda up: ",".join(["x", *[up]]),
    "open": open,
    "format": lambda up: f"{up:.2f}",
    "format of text": lambda up: f"{up:>9}",
    "text": lambda up: "a" + up,
}
_uses.update(WRONG)


def _added(up: Any) -> Any:
    up += 1
    return up


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("up", FUTURES, ids=["task", "const", "element"])
def test_a_future_is_not_its_value(how: str, up: Callable[[], Any]) -> None:
    """Any use of it as a value is a TypeError that says how to get the value."""
    error = refused(Reader(how, up()))

    assert type(error) is TypeError
    assert ".get_result()" in str(error)


def test_what_has_no_value_has_no_methods_of_it() -> None:
    """If a method of the value is missing, the message says why; for the task itself it does not."""
    _uses["method"] = lambda up: up.append(1)
    ups: list[Any] = [Load(), Const([]), Load()["x"]]
    for up in ups:
        error = refused(Reader("method", up))
        assert type(error) is AttributeError
        assert "has no attribute 'append'" in str(error)
        assert ".get_result()" in str(error)


def test_a_value_is_not_a_future() -> None:
    """A value passed without Const has no result; the message names both remedies."""
    _uses["result"] = lambda up: up.get_result()

    error = refused(Listed("result", 3))

    assert type(error) is AttributeError
    assert str(error).startswith("'int' object has no attribute 'get_result' (")
    assert "Const(...)" in str(error)


def test_errors_of_other_kinds_are_left_as_they_are() -> None:
    """A TypeError with another cause, one with further arguments, and one of the user."""

    def raise_type_error(up: Any) -> None:
        raise TypeError("Number must be positive")

    def raise_two(up: Any) -> None:
        raise TypeError("'Number'", 2)

    _uses.update(own=raise_type_error, two=raise_two, value=lambda up: int("x"))

    assert ("Number must be positive",) == refused(Reader("own", Number())).args
    assert ("'Number'", 2) == refused(Reader("two", Number())).args
    assert "invalid literal" in str(refused(Reader("value", Number())))


@pytest.mark.parametrize("how", ["plus", "equal", "truth", "json"])
def test_it_is_said_in_threads_and_workers(how: str) -> None:
    """Wherever the task runs."""
    with ThreadPoolExecutor(1) as executor, pytest.raises(FailedTaskError, match=r"\.get_result\(\)"):
        Reader(how, Number()).run_graph(executor=executor)
    with pytest.raises(FailedTaskError, match=r"\.get_result\(\)"):
        Reader(how, Number()).run_graph(max_workers=1)


RIGHT: dict[str, Use] = {
    "identity": lambda up: up is not None and up is up,
    "none": lambda up: (up == None) is False and up != None,  # noqa: E711  # it is what is tried
    "itself": lambda up: up == up,
    "another": lambda up: up != Const(4) and (up == Const(4)) is False,
    "set": lambda up: up in {up, 3} and {up: 1, 3: 2}[up] == 1,
    "list": lambda up: up in [up],
    "printing": lambda up: f"{up} {up!r}" == f"{up!r} {up}",
    "hash": lambda up: isinstance(hash(up), int),
}
_uses.update(RIGHT)


@pytest.mark.parametrize("how", RIGHT)
@pytest.mark.parametrize("up", FUTURES, ids=["task", "const", "element"])
def test_what_a_future_answers_itself(how: str, up: Callable[[], Any]) -> None:
    """Identity, None, other futures, sets and dicts, and printing work as outside a task."""
    assert run(Reader(how, up())) is True


def test_lists_and_dicts_of_futures_are_lists_and_dicts() -> None:
    """They have a length and may be empty; their elements are futures, not values."""
    _uses.update(
        size=lambda ups: (len(ups), bool(ups), [type(up).__name__ for up in ups]), total=sum, largest=max, first=sorted
    )

    assert run(Listed("size", FutureList([Number(), Const(1)]))) == (2, True, ["Number", "Const"])
    assert run(Listed("size", FutureList())) == (0, False, [])
    assert run(Listed("size", FutureDict({"a": Number()}))) == (1, True, ["str"])
    for how in ("total", "largest", "first"):
        assert ".get_result()" in str(refused(Listed(how, FutureList([Number(), Number(4)]))))


CONTAINERS: list[Callable[[], Any]] = [
    lambda: FutureList([Number(), Number(4)]), lambda: FutureDict({"a": Number(), "b": Number(4)})
]  # fmt: skip
WRONG_OF_CONTAINERS: dict[str, Use] = {
    "container plus": lambda ups: ups + 1,
    "container plus values": lambda ups: (1,) + ups,  # noqa: RUF005  # it is what is tried
    "text plus container": lambda ups: "a" + ups,
    "container in place": lambda ups: _added(ups),
    "container times": lambda ups: ups * 2.5,
    "container over": lambda ups: ups / 2,
    "container equal": lambda ups: ups == 3,
    "container unequal": lambda ups: ups != "x",
    "container equal to values": lambda ups: ups == ([3] if isinstance(ups, list) else {"a": 3}),
    "container of others": lambda ups: ups == ([3, 4] if isinstance(ups, list) else {"a": 3, "b": 4}),
    "container in a list": lambda ups: [ups] == [[3]],
    "container in a row": lambda ups: 3 in [ups],
    "container less": lambda ups: ups < 3,
    "container format": lambda ups: f"{ups:.2f}",
    "container float": float,
}
_uses.update(WRONG_OF_CONTAINERS)


@pytest.mark.parametrize("how", WRONG_OF_CONTAINERS)
@pytest.mark.parametrize("ups", CONTAINERS, ids=["list", "dict"])
def test_a_container_of_futures_has_none_of_their_values(how: str, ups: Callable[[], Any]) -> None:
    """Comparisons and arithmetic with a list or dict of results fail for one of futures."""
    error = refused(Listed(how, ups()))

    assert type(error) is TypeError
    assert ".get_result()" in str(error)


RIGHT_OF_CONTAINERS: dict[str, Use] = {
    "container same": lambda ups: ups == ups and (ups != type(ups)(ups)) is False,
    "container none": lambda ups: ups != None and (ups == None) is False,  # noqa: E711  # it is what is tried
    "container empty": lambda ups: ups != ([] if isinstance(ups, list) else {}),
    "container other": lambda ups: (
        ups != FutureList([Number(5)]) and ups != ([Number(5)] if isinstance(ups, list) else {"a": Number(5)})
    ),
    "container of a key": lambda ups: not isinstance(ups, dict) or ("a" in ups and 3 not in ups),
    "container as list": lambda ups: len(list(ups) + list(ups)) == 4,
    "container joined": lambda ups: (
        isinstance(ups, dict)
        or [type(some) for some in (ups + ups, ups + [1], [1] + ups, ups * 2, 2 * ups)] == [list] * 5  # noqa: RUF005
    ),
    "container grown": lambda ups: isinstance(ups, dict) or len(_grown(FutureList(ups))) == 4,
}
_uses.update(RIGHT_OF_CONTAINERS)


def _grown(ups: Any) -> Any:
    ups += (Number(5), Number(6))
    return ups


@pytest.mark.parametrize("how", RIGHT_OF_CONTAINERS)
@pytest.mark.parametrize("ups", CONTAINERS, ids=["list", "dict"])
def test_a_container_of_futures_is_a_container(how: str, ups: Callable[[], Any]) -> None:
    """With futures, it works as any other list or dict."""
    assert run(Listed(how, ups())) is True


def test_outside_of_tasks_containers_compare_as_others() -> None:
    """No element is inspected."""
    ups: Any = FutureList([Number()])

    assert (ups == 3, ups != 3, ups == [3], [ups] == [3]) == (False, True, False, False)
    with pytest.raises(TypeError, match="'FutureList' and 'int'"):
        ups + 1


def test_a_future_as_a_key() -> None:
    """If the key is missing, the message says that it is a future; with a default, there is no error to explain."""
    _uses.update(key=lambda up: {1: 2}[up], default=lambda up: {1: 2}.get(up, 5), missing=lambda up: {1: 2}["q"])

    for up in (Number(), Const(1), Load()[0]):
        error = refused(Reader("key", up))
        assert type(error) is KeyError
        assert ".get_result()" in str(error)
    assert run(Reader("default", Number(1))) == 5
    assert refused(Reader("missing", Number(1))).args == ("q",)


# ---------------------------------------------------------------- as a result


class Holder:
    def __init__(self, held: Any):
        self.held = held


class Holding(Task):
    def __init__(self, ups: Any):
        self.ups = ups

    def run_task(self) -> Any:
        return [up.get_result() for up in self.ups]


RETURNED: dict[str, Use] = {
    "itself": lambda up: up,
    "in a list": lambda up: [up],
    "deep": lambda up: {"a": [(1, {"b": up})]},
    "in an object": Holder,
    "in a function": lambda up: lambda: up,
}
_uses.update({f"returned {name}": use for name, use in RETURNED.items()})


@pytest.mark.parametrize("how", RETURNED)
@pytest.mark.parametrize("up", [*FUTURES, *CONTAINERS, lambda: FutureList(), lambda: Load()])
def test_a_future_is_no_result(how: str, up: Callable[[], Any]) -> None:
    """Of any kind, at any depth."""
    with pytest.raises(FailedTaskError, match=r"return its result \(get_result\(\)\)"):
        run(Listed(f"returned {how}", up()))


def test_a_future_travels_to_a_worker_all_the_same() -> None:
    """In an attribute, at any depth."""
    assert Holding([Const(1), FutureList([Const(2)])]).run_graph(max_workers=1)[0] == [1, [2]]


def test_numpy_does_not_take_a_future_for_a_value() -> None:
    """Neither as an array nor in a sum; while no task runs, it is treated as any object."""
    numpy = pytest.importorskip("numpy")
    _uses.update(array=numpy.asarray, mean=numpy.mean)
    _uses.update(sum=lambda up: numpy.ones(2) + up, same=lambda up: numpy.ones(2) == up)

    for how in ("array", "mean", "sum", "same"):
        assert ".get_result()" in str(refused(Reader(how, Number())))
    assert numpy.array([Number(), Number(4)], dtype=object).tolist() == [Number(), Number(4)]


def test_while_a_graph_is_built_nothing_changes() -> None:
    """A future is true, unequal to all others, and has no arithmetic; also in a task that builds a graph."""

    class Builds(Task):
        def __init__(self, up: Any = None, other: Any = None):
            self.up = up or Load()
            self.is_three = other == 3
            self.known = [some for some in (up, other) if some]

        def run_task(self) -> object:
            return bool(self.is_three), len(self.known)

    class Nested(Task):
        def __init__(self, up: Future[Any]):
            self.up = up

        def run_task(self) -> object:
            five: Any = Number(5)
            given = five or Load()
            return run(Builds(given, self.up)), given == 5

    assert run(Builds(Number(), Number(4))) == (False, 2)
    assert run(Nested(Number())) == ((False, 2), False)
    task, const = Number(), cast("Any", Const(0))
    assert (task == 3, task != 3, bool(task), bool(const), const == 0) == (False, True, True, True, False)
    with pytest.raises(TypeError, match=r"^unsupported operand type\(s\) for \+: 'Number' and 'int'$"):
        Number() + 1  # type: ignore[operator]
    with pytest.raises(TypeError, match="^bad operand type for unary -: 'Const'$"):
        -Const(1)  # type: ignore[operator]


def test_what_may_be_none_may_be_asked_for() -> None:
    """By its default or its type: then `if` tests whether there is a future."""
    assert (run(Reading(Number())), run(Reading())) == (3, 0)


def test_an_operator_of_the_users_own_is_the_users() -> None:
    """A task class may define its own operators."""

    class Sum(Task):
        def __init__(self, left: Any, right: Any):
            self.left, self.right = left, right

        def run_task(self) -> Any:
            return self.left.get_result() + self.right.get_result()

        def __add__(self, other: Any) -> Sum:
            return Sum(self, other)

    assert run(Sum(Const(1), Const(2)) + Const(3)) == 6


# ---------------------------------------------------------------- too early, and without a terminal


def test_it_is_too_early_for_a_result_while_a_task_is_built() -> None:
    """The message says where to call it; an existing result is returned."""

    class Early(Task):
        def __init__(self) -> None:
            self.value = Number().get_result()

        def run_task(self) -> int:
            return self.value

    with pytest.raises(MissingResult, match=r"get_result\(\) is too early while a task is built\. .* in run_task"):
        Early()
    run(Number())
    assert run(Early()) == 3


class Stops(Task):
    def __init__(self, how: str):
        self.how = how

    def run_task(self) -> str:
        if self.how == "breakpoint":
            breakpoint()  # noqa: T100  # it is what is tried
        elif self.how == "getpass":
            getpass.fallback_getpass(stream=sys.stderr)  # what getpass calls without a terminal
        elif self.how == "quit":
            raise bdb.BdbQuit  # raised by pdb when it can read nothing
        return input()


@pytest.mark.parametrize("how", ["breakpoint", "quit", "input", "getpass"])
def test_a_task_in_a_worker_has_no_terminal(how: str) -> None:
    """The error of code that needs one says where to run the task instead."""
    with pytest.raises(FailedTaskError, match=r"-t local.*LocalExecutor\(\)"):
        Stops(how).run_graph(max_workers=1)


def test_what_is_said_of_the_terminal_is_a_sentence() -> None:
    """After another sentence."""
    with pytest.raises(FailedTaskError, match=r"breakpoint\(\) cannot be used here\. This task has no terminal: "):
        Stops("breakpoint").run_graph(max_workers=1)
    with pytest.raises(FailedTaskError, match=r"EOF when reading a line\. This task has no terminal: "):
        Stops("input").run_graph(max_workers=1)


def test_an_end_of_file_of_another_kind_is_left_as_it_is() -> None:
    """A stream of the user that ended is not related to the terminal."""

    def end(up: Any) -> None:
        raise EOFError

    _uses["end"] = end

    assert refused(Listed("end", 1)).args == ()


def test_a_thread_has_no_debugger_where_its_output_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompt would go to the log of the task; a debugger of the user is left alone."""
    with ThreadPoolExecutor(1) as executor, pytest.raises(FailedTaskError, match="-t local"):
        Stops("breakpoint").run_graph(executor=executor)

    called = []
    monkeypatch.setattr("sys.breakpointhook", lambda: called.append(1))
    monkeypatch.setattr("builtins.input", lambda: "typed")
    with ThreadPoolExecutor(1) as executor:
        assert Stops("breakpoint").run_graph(executor=executor)[0] == "typed"
    assert called == [1]


class FirstOf(Task):
    """Uses its first future as a value."""

    def __init__(self, ups: Any):
        self.ups = ups

    def run_task(self) -> Any:
        return self.ups[0] + 1


def twins() -> list[int]:
    """Two numbers whose tasks have keys that begin alike, with as many digits as a short id has at least."""
    seen: dict[str, int] = {}
    for number in range(100_000):
        digits = Number(number)._taskproc.place.key[:FEWEST_DIGITS]
        if seen.setdefault(digits, number) != number:
            return [seen[digits], number]
    raise AssertionError("no two of 100,000 keys begin alike")


@pytest.mark.parametrize("numbers", [lambda: [0], twins])
def test_a_worker_names_a_task_as_the_run_does(numbers: Callable[[], list[int]]) -> None:
    """By as many digits, also where the usual ones are not enough to tell the tasks of the graph apart."""
    chosen = numbers()
    with pytest.raises(FailedTaskError) as caught:
        FirstOf([Number(n) for n in chosen]).run_graph(max_workers=1)

    failure = caught.value.failures[0]
    in_task, in_error = (re.findall(r"Number#([0-9a-f]+)", text) for text in (failure.task, str(failure.error)))
    assert in_task[:1] == in_error
    assert (len(in_error[0]) > FEWEST_DIGITS) == (len(chosen) > 1)
