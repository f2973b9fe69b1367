"""Copies for an attempt: a task of its own, so that no other attempt and no other task sees its changes.

A worker process makes its task from what was sent. In this process, which has the instances of the graph, an attempt
gets a copy of the task and of all that it reaches. Its needs are copied attribute by attribute on first access, so an
unused upstream task costs nothing, however large the graph is.

What cannot be copied (a lock, an open file) is shared. If it is an argument and changes, the next attempt is refused;
see naming.changed_argument.
"""
from __future__ import annotations

import collections
import copy
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from taskproc.attributes import filled_slots, identity, slots_of
from taskproc.tasks.binding import FLAT, is_flat
from taskproc.tasks.future import FutureDict, FutureList, Upstream
from taskproc.tasks.naming import Identity
from taskproc.tasks.task_graph import attributes, original

Task = Any  # tasks.task stands above this module

_COPIER = "taskproc"  # key of the Copier in the memo of a deepcopy, where all other keys are numbers
_OURS = f"{__package__}."
_LARGEST = 10_000  # elements, or bytes of an array; a copy takes about 1 ms
_CONTAINERS = (list, dict, set, bytearray, collections.deque)


def apart(task: Task) -> Task:
    """A copy of `task` for one attempt, with all its attributes: the same task, whose changes affect no other."""
    return Copier().whole(original(task))


@contextmanager
def put_aside(copied: Task) -> Iterator[None]:
    """Show the attributes that an attempt creates in the block on its task, where no other attempt finds them."""
    before = vars(copied).copy()
    try:
        yield
    finally:
        new = {name: value for name, value in vars(copied).items() if name not in before}
        if new:
            original(copied)._taskproc.aside = new


class Copier:
    """Copies all that one attempt may reach: each object once, however many paths lead to it."""

    def __init__(self) -> None:
        self._memo: dict[Any, Any] = {_COPIER: self}
        self._tasks: dict[int, Task] = {}  # by `identity`, since the `id` of each would raise an audit event
        self._rest: list[Task] = []

    def whole(self, task: Task) -> Task:
        """The copy of a task, with all its attributes."""
        copied = self.task(task)
        for name, value in attributes(task):
            _set(copied, name, self.value(value))
        self._finish()
        return copied

    def task(self, task: Task) -> Task:
        """The copy of a task, whose attributes are copied when they are asked for."""
        number = identity(task)
        if number in self._tasks:
            return self._tasks[number]
        cls = type(task)
        copied: Any = object.__new__(cls)
        self._tasks[number] = copied
        some: Identity = task._taskproc
        vars(copied)["_taskproc"] = Identity(
            some.cache, some.place, some.arguments, some.version, some.left, some.given, some.loose, (task, self),
            used=some.used,
        )
        by_itself, names, shared = _facts(cls)
        if shared:
            _copy_shared(copied, shared)
        if by_itself:
            self._rest.append(task)
        for name in names & vars(task).keys():
            # Else that of the class would be found in place of its own
            _set(copied, name, self.value(vars(task)[name]))
        return copied

    def attribute(self, copied: Task, name: str) -> Any:
        """An attribute of a copy, copied now. Raises KeyError if the task has none of that name."""
        task = original(copied)
        value = vars(task)[name] if name in vars(task) else dict(filled_slots(task))[name]
        found = self.value(value)
        _set(copied, name, found)
        self._finish()
        return found

    def value(self, value: Any) -> Any:
        """A copy of any value; the value itself if it cannot be copied."""
        kind = type(value)
        if kind in FLAT:
            return value
        if getattr(kind, "__deepcopy__", None) is copied_within:
            return self.task(original(value))
        number = id(value)  # once: where a hook listens to what Python does, an `id` takes longer than all else here
        if (known := self._memo.get(number)) is not None:
            return known
        try:
            found = self._value(kind, value, number)
        except Exception:  # noqa: BLE001  # the user's classes may raise anything
            found = value
        self._memo[number] = found
        return found

    def _value(self, kind: type[Any], value: Any, number: int) -> Any:
        if kind is list or kind is FutureList:
            rows = self._memo[number] = kind()  # first: it may contain itself
            rows.extend(value if is_flat(value) else map(self.value, value))
            return rows
        if kind is dict or kind is FutureDict:
            table = self._memo[number] = kind()
            table.update((self.value(key), self.value(some)) for key, some in value.items())
            return table
        if kind in (tuple, set, frozenset):
            return kind(value) if is_flat(value) else kind(map(self.value, value))
        if issubclass(kind, Upstream) and (copied_by := getattr(kind, "__deepcopy__", None)) is not None:
            return copied_by(value, self._memo)  # what `deepcopy` would call
        return copy.deepcopy(value, self._memo)

    def _finish(self) -> None:
        """Copy all attributes of the tasks for which single attributes cannot be intercepted."""
        while self._rest:
            self.whole(self._rest.pop())


def copied_within(task: Task, memo: dict[Any, Any]) -> Task:
    """What `copy.deepcopy` makes of a task: within that of a Copier a copy, else itself, for it is its key."""
    copier: Copier | None = memo.get(_COPIER)
    return task if copier is None else copier.task(original(task))


def missing(task: Task, name: str, refuse: Callable[[Task, str], Any]) -> Any:
    """An attribute that a task does not have yet, or what `refuse` raises."""
    identity = vars(task).get("_taskproc")
    try:
        if identity is not None:
            return (identity.aside or {})[name] if identity.copied is None else identity.copied[1].attribute(task, name)
    except KeyError:
        pass  # it has no such attribute
    return refuse(task, name)


def own_of_class(task: Task) -> None:
    """Give `task` copies of the lists, dicts, sets and arrays of its class, which all tasks in a process share.

    Large ones stay shared: they are tables to read from, and copying them would take longer than many tasks.
    """
    if shared := _facts(type(task))[2]:
        _copy_shared(task, shared)


def _copy_shared(task: Task, shared: tuple[str, ...]) -> None:
    for name in shared:
        if name not in vars(task) and (value := getattr(type(task), name)) is not None and _size(value) <= _LARGEST:
            task.__dict__[name] = copy.deepcopy(value)


def own_defaults(run_task: Any) -> dict[str, Any]:
    """Arguments for `run_task`, so that its changes to its defaults stay its own."""
    function = getattr(run_task, "__func__", run_task)
    code = getattr(function, "__code__", None)
    if code is None or (code.co_argcount == 1 and not code.co_kwonlyargcount):
        return {}  # only `self`, as usual
    defaults, named = getattr(function, "__defaults__", None) or (), getattr(function, "__kwdefaults__", None) or {}
    if not (defaults or named) or (is_flat(defaults) and is_flat(named.values())):
        return {}
    names = code.co_varnames[: code.co_argcount][-len(defaults) :] if defaults else ()
    given = {**dict(zip(names[code.co_posonlyargcount and len(names) :], defaults)), **named}
    return {name: copy.deepcopy(value) for name, value in given.items() if type(value) not in FLAT}


def _set(task: Task, name: str, value: Any) -> None:
    if name in slots_of(type(task)):
        object.__setattr__(task, name, value)
    else:
        task.__dict__[name] = value


# ---------------------------------------------------------------- facts about a class

_of_class: WeakKeyDictionary[type, tuple[bool, frozenset[str], tuple[str, ...]]] = WeakKeyDictionary()


def _facts(cls: type) -> tuple[bool, frozenset[str], tuple[str, ...]]:
    """Whether it finds attributes by itself, so that no copy can be put off; its names; those of what it shares."""
    found = _of_class.get(cls)
    if found is None:
        bases = [base for base in cls.__mro__ if not base.__module__.startswith(_OURS) and base is not object]
        by_itself = any(vars(base).keys() & {"__getattr__", "__getattribute__"} for base in bases)
        names = frozenset(name for base in bases for name in vars(base) if name not in slots_of(cls))
        shared = [name for name in sorted(names) if not name.startswith(("__", "task_"))]
        loose = tuple(name for name in shared if _can_change(inspect.getattr_static(cls, name)))
        found = _of_class[cls] = by_itself, names, loose
    return found


def _size(value: Any) -> int:
    """The number of elements of a container, or of bytes of an array."""
    return getattr(value, "nbytes", 0) or len(value)


def _can_change(value: object) -> bool:
    """Whether it is a container or an array. Other values (a lock, a client) are in a class to be shared."""
    numpy = sys.modules.get("numpy")
    return isinstance(value, _CONTAINERS) or (numpy is not None and isinstance(value, numpy.ndarray))
