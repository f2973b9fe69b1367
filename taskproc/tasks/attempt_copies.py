"""What an attempt may change: a task of its own, so that no other attempt and no other task sees what it did.

A worker process makes its task of what was sent. Where the instances of the graph are at hand, in this process, an
attempt gets a copy of the task and of all that this leads to. What it needs is copied attribute by attribute, when it
is asked for: so a task above costs nothing that is not looked at, however large the graph.

What cannot be copied (a lock, an open file) is shared. If that is an argument, and is changed, the next attempt is
refused; see naming.changed_argument.
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

from taskproc.attributes import filled_slots, slots_of
from taskproc.tasks.binding import FLAT, is_flat
from taskproc.tasks.future import FutureDict, FutureList, Upstream
from taskproc.tasks.naming import Identity
from taskproc.tasks.task_graph import attributes, original

Task = Any  # tasks.task stands above this module

_COPIER = "taskproc"  # where the memo of a deepcopy has the Copier; all other keys of a memo are numbers
_OURS = f"{__package__}."
_LARGEST = 10_000  # elements, or bytes of an array; to copy them takes about 1 ms
_CONTAINERS = (list, dict, set, bytearray, collections.deque)


def apart(task: Task) -> Task:
    """A copy of `task` for one attempt, with all its attributes; it is the same task, and changes nobody else's."""
    return Copier().whole(original(task))


@contextmanager
def put_aside(copied: Task) -> Iterator[None]:
    """Let the attributes that an attempt made in the block be seen on its task, where no other attempt finds them."""
    before = vars(copied).copy()
    try:
        yield
    finally:
        new = {name: value for name, value in vars(copied).items() if name not in before}
        if new:
            original(copied)._taskproc.aside = new


class Copier:
    """Copies all that one attempt may reach: each thing once, however many ways lead to it."""

    def __init__(self) -> None:
        self._memo: dict[Any, Any] = {_COPIER: self}
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
        number = id(task)
        copied = self._memo.get(number)
        if copied is not None:
            return copied
        cls = type(task)
        copied = self._memo[number] = object.__new__(cls)
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
        """The attribute of a copy that was asked for, copied now. Raises KeyError if the task has none of that name."""
        task = original(copied)
        value = vars(task)[name] if name in vars(task) else dict(filled_slots(task))[name]
        found = self.value(value)
        _set(copied, name, found)
        self._finish()
        return found

    def value(self, value: Any) -> Any:
        """A copy of anything. What cannot be copied, as it is."""
        kind = type(value)
        if kind in FLAT:
            return value
        number = id(value)  # once: where a hook listens to what Python does, an `id` takes longer than all else here
        if (known := self._memo.get(number)) is not None:
            return known
        try:
            found = self._value(kind, value, number)
        except Exception:  # noqa: BLE001  # whatever the user's classes raise when copied
            found = value
        self._memo[number] = found
        return found

    def _value(self, kind: type[Any], value: Any, number: int) -> Any:
        if kind is list or kind is FutureList:
            rows = self._memo[number] = kind()  # first: it may hold itself
            rows.extend(value if is_flat(value) else map(self.value, value))
            return rows
        if kind is dict or kind is FutureDict:
            table = self._memo[number] = kind()
            table.update((self.value(key), self.value(some)) for key, some in value.items())
            return table
        if kind in (tuple, set, frozenset):
            return kind(value) if is_flat(value) else kind(map(self.value, value))
        if issubclass(kind, Upstream) and (copied_by := getattr(kind, "__deepcopy__", None)) is not None:
            return copied_by(value, self._memo)  # what `deepcopy` would come to
        return copy.deepcopy(value, self._memo)

    def _finish(self) -> None:
        """Copy all of the tasks that cannot be asked for one attribute."""
        while self._rest:
            self.whole(self._rest.pop())


def copied_within(memo: dict[Any, Any], task: Task) -> Task:
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
        pass  # it has none
    return refuse(task, name)


def own_of_class(task: Task) -> None:
    """Give `task` copies of the lists, dicts, sets and arrays of its class, which all tasks in a process share.

    Large ones are tables to read from, and stay shared: to copy them would take longer than many a task.
    """
    if shared := _facts(type(task))[2]:
        _copy_shared(task, shared)


def _copy_shared(task: Task, shared: tuple[str, ...]) -> None:
    for name in shared:
        if name not in vars(task) and (value := getattr(type(task), name)) is not None and _size(value) <= _LARGEST:
            task.__dict__[name] = copy.deepcopy(value)


def own_defaults(run_task: Any) -> dict[str, Any]:
    """What to call `run_task` with, so that what it does to its defaults stays its own."""
    function = getattr(run_task, "__func__", run_task)
    code = getattr(function, "__code__", None)
    if code is None or (code.co_argcount == 1 and not code.co_kwonlyargcount):
        return {}  # `self` alone, as with most
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


# ---------------------------------------------------------------- what is known of a class

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
    """How many elements a container has, or bytes an array."""
    return getattr(value, "nbytes", 0) or len(value)


def _can_change(value: object) -> bool:
    """Whether it is a container or an array. Anything else (a lock, a client) a class has in order to share it."""
    numpy = sys.modules.get("numpy")
    return isinstance(value, _CONTAINERS) or (numpy is not None and isinstance(value, numpy.ndarray))
