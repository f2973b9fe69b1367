"""Definitions that fail, return to themselves, or go deeper than the stack: the error says which tasks needed them."""
from __future__ import annotations

import sys
from typing import Any

import pytest

from taskproc.errors import BuildError, CycleError, UnnamableValue
from taskproc.run.pool import LocalExecutor
from taskproc.tasks import build
from taskproc.tasks.future import Const
from taskproc.tasks.task import Task
from taskproc.tasks.task_graph import needs
from tests.plain import plain

pytestmark = pytest.mark.usefixtures("cache")


class Echo(Task):
    def __init__(self, value: Any = 1):
        self.value = value

    def run_task(self) -> Any:
        return self.value


class Nested(Task):
    """Fails at the bottom with the exception in `boom`."""

    def __init__(self, level: int):
        self.level = level
        if level == 0:
            raise boom[0]
        self.up = Nested(level - 1)

    def run_task(self) -> None: ...


boom: list[BaseException] = [ValueError("boom")]


def told(error: BaseException) -> str:
    """The note on the error; Python 3.10 shows no notes, so there it is the cause."""
    if sys.version_info < (3, 11):
        assert isinstance(error.__cause__, BuildError)
        assert str(error.__cause__) == "\n".join(error.__notes__)
    return "\n".join(error.__notes__)  # type: ignore[attr-defined]  # 3.10


def test_an_error_says_what_was_built_and_for_whom() -> None:
    """The innermost task first; the exception is the user's own."""
    boom[0] = ValueError("boom")

    with pytest.raises(ValueError, match="^boom") as caught:
        Nested(2)

    assert caught.value is boom[0]
    assert plain(told(caught.value)) == (
        "while building Nested(level=0), needed by Nested(level=1), needed by Nested(level=2)"
    )


def test_of_many_callers_only_the_nearest_are_named() -> None:
    """People read the message."""
    boom[0] = ValueError("boom")

    with pytest.raises(ValueError, match="^boom") as caught:
        Nested(100)

    assert told(caught.value).count("needed by") == build._SHOWN + 1
    assert told(caught.value).endswith("… (96 more)")


def test_an_argument_without_a_form_says_for_whom() -> None:
    """The error names the class that was called, and the tasks that needed it."""

    class Outer(Task):
        def __init__(self) -> None:
            self.first = Echo(Echo(2))
            self.up = Echo(object())

        def run_task(self) -> None: ...

    with pytest.raises(UnnamableValue, match="argument 'value' of Echo") as caught:
        Outer()

    assert plain(told(caught.value)) == f"while building Echo, needed by {Outer.__qualname__}()"


def test_an_error_that_is_caught_on_the_way_does_no_harm() -> None:
    """A definition may try one task and use another."""

    class Tries(Task):
        def __init__(self) -> None:
            try:
                self.up: Any = Nested(3)
            except ValueError:
                self.up = Echo("other")

        def run_task(self) -> Any:
            return self.up.get_result()

    boom[0] = ValueError("boom")

    assert Tries().run_graph(executor=LocalExecutor())[0] == "other"


def test_what_failed_is_tried_anew_next_time() -> None:
    """A half-built task is never returned."""
    tries: list[int] = []

    class Second(Task):
        def __init__(self) -> None:
            tries.append(1)
            if len(tries) == 1:
                raise OSError("not yet")
            self.ready = True

        def run_task(self) -> None: ...

    with pytest.raises(OSError, match="not yet"):
        Second()

    assert Second().ready
    assert len(tries) == 2


class Left(Task):
    def __init__(self, depth: int):
        self.up = Right(depth)

    def run_task(self) -> None: ...


class Right(Task):
    def __init__(self, depth: int):
        self.up = Left(depth - 1) if depth else Left(2)

    def run_task(self) -> None: ...


def test_a_definition_that_comes_back_to_itself_is_a_cycle_with_its_path() -> None:
    """It is not an endless recursion, and only the cycle is shown."""
    with pytest.raises(CycleError) as caught:
        Left(3)

    way = "Left(depth=2) -> Right(depth=2) -> Left(depth=1) -> Right(depth=1) -> Left(depth=0) -> Right(depth=0)"
    assert plain(caught.value) == f"Left needs itself: {way} -> Left(depth=2)"


def test_an_endless_definition_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an error that names the definition."""
    monkeypatch.setattr(build, "_DEEPEST", 300)

    class Endless(Task):
        def __init__(self, number: int):
            self.up = Endless(number + 1)

        def run_task(self) -> None: ...

    with pytest.raises(RecursionError, match=r"Endless#\w+\(number=0\) is more than 300 tasks deep: is it endless\?"):
        Endless(0)


class Chain(Task):
    def __init__(self, number: int):
        self.up: Any = Chain(number - 1) if number else Const(0)

    def run_task(self) -> int:
        value: int = self.up.get_result()
        return value + 1


@pytest.mark.slow
def test_a_definition_may_be_deeper_than_the_stack() -> None:
    """Python's recursion limit is neither reached nor raised."""
    limit = sys.getrecursionlimit()
    task = Chain(2000)

    assert sys.getrecursionlimit() == limit < 2000
    assert len(needs(task)) == 1


@pytest.mark.parametrize("level", [3, 3 * build._LEVELS])
def test_ctrl_c_passes_through_every_level(level: int) -> None:
    """It is not an error of the task, so it gets no note, and the next definition works."""
    boom[0] = KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt) as caught:
        Nested(level)

    assert not hasattr(caught.value, "__notes__")
    assert Chain(3).up.up.up is Chain(0)


def test_a_definition_sees_its_context_at_every_level() -> None:
    """The current cache is that of the caller, also on a new stack."""
    caches: set[Any] = set()

    class Looks(Task):
        def __init__(self, number: int):
            caches.add(self._taskproc.cache)
            if number:
                self.up = Looks(number - 1)

        def run_task(self) -> None: ...

    task = Looks(2 * build._LEVELS)

    assert caches == {task._taskproc.cache}


def test_a_misspelt_argument_is_guessed() -> None:
    """The message names the parameter that was probably meant."""
    with pytest.raises(TypeError, match=r"^Nested: got an unexpected .* 'levl'\. Did you mean 'level'\?$"):
        Nested(levl=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="^Nested: got an unexpected keyword argument 'zzz'$"):
        Nested(1, zzz=1)  # type: ignore[call-arg]


def test_a_misspelt_class_attribute_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """It would have no effect; no warning for methods, and for names of the user that resemble none of ours."""

    class Slips(Echo):
        task_timout = 3
        task_color = "red"

        def task_version_of(self) -> None: ...

    told = [record.getMessage() for record in caplog.records]
    assert told == [f"task_timout of {Slips.__qualname__} has no meaning. Did you mean 'task_timeout'?"]


def test_a_slip_is_not_answered_by_a_name_that_may_not_be_set(caplog: pytest.LogCaptureFixture) -> None:
    """The message names one that may be set."""

    class Slips(Echo):
        task_labels_ = "gpu"

    told = [record.getMessage() for record in caplog.records]
    assert told == [f"task_labels_ of {Slips.__qualname__} has no meaning. Did you mean 'task_label'?"]


@pytest.mark.usefixtures("cache")
def test_a_misspelt_run_task_is_named() -> None:
    """Nothing else is wrong."""

    class Slips(Task):
        def run_tsak(self) -> None: ...

    with pytest.raises(BuildError, match=r"has no run_task method: define .*\. Rename 'run_tsak' if that is meant$"):
        Slips()
