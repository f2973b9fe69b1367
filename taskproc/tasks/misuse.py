"""Errors for a future that is used as its value while a task runs: a TypeError that says how to get the value.

Elsewhere, a future behaves as any other object: there it stands for a later value. The errors of Python itself (`len`,
`float`, `json.dumps`, a missing attribute) stay, and the advice is added when such an error ends the task.
"""
from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from taskproc.tasks.running_job import is_building, running_job

_ADVICE = "use .get_result() for its value"
_NO_TERMINAL = (
    "This task has no terminal: its output goes to its log. To debug it, run it in your own process: with "
    "`-t local` on the command line, or with run_graph(executor=LocalExecutor())"
)
_BINARY = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor".split()
_OPTIONAL = re.compile(r"\b(None|Optional)\b")
_UNARY = {"neg": "-", "pos": "+", "invert": "~"}


class Operators:
    """The special methods behind `+`, `<`, `==`, `if` and the like; for futures that are not containers."""

    __slots__ = ()

    if not TYPE_CHECKING:  # type checkers rightly refuse all of it

        def __eq__(self, other: object) -> bool:
            if self is other:
                return True
            refuse_comparison(self, other)
            return NotImplemented

        __hash__ = object.__hash__

        def __bool__(self) -> bool:
            if is_read_here(self) and not _may_be_none(self):
                how = "`is not None` to see whether there is a future"
                raise TypeError(f"{self!r} is a future, which is always true: {_ADVICE}, or {how}")
            return True

        def __abs__(self) -> object:
            return _unary(self, "abs()")

        @property
        def __array__(self) -> object:
            if not is_read_here(self):
                raise AttributeError("__array__")  # then NumPy treats it as any object
            raise TypeError(mistaken(self))


def _binary(self: object, other: object, *more: object) -> Any:
    if running_job() is None or is_building():
        return NotImplemented
    raise TypeError(mistaken(self))


def _unary(self: object, operator: str) -> object:
    if running_job() is None or is_building():
        raise TypeError(f"bad operand type for {operator}: {type(self).__name__!r}")
    raise TypeError(mistaken(self))


def _unary_for(operator: str) -> Callable[[object], object]:
    return lambda self: _unary(self, f"unary {operator}")


for _name in (*_BINARY, *(f"r{name}" for name in _BINARY), "lt", "le", "gt", "ge"):
    setattr(Operators, f"__{_name}__", _binary)
for _name, _operator in _UNARY.items():
    setattr(Operators, f"__{_name}__", _unary_for(_operator))


def mistaken(future: object) -> str:
    """The message for a future that was used as its value."""
    return f"{future!r} is a future, not its value: {_ADVICE}"


def refuse_comparison(future: object, other: object) -> None:
    """Raise TypeError if a running task compares an input with an object that is neither a future nor None."""
    if other is not None and not hasattr(type(other), "_key_form") and is_read_here(future):
        raise TypeError(mistaken(future))


def is_read_here(future: Any) -> bool:
    """Whether the running task needs `future` and could read its value; tasks that it builds do not count."""
    job = running_job()
    if job is None or is_building():
        return False
    while hasattr(type(future), "parent"):  # an element
        future = future.parent
    identity = vars(future).get("_taskproc") if hasattr(future, "__dict__") else None
    return identity is None or identity.version is not None or identity.place.key in job.inputs


def _may_be_none(future: object) -> bool:
    """Whether it is an attribute of the running task that, as declared, may be None: then `if` may test for None."""
    import inspect  # here: only for a task with a mistake

    job = running_job()
    task = job.task if job is not None else None
    cls = type(task)
    try:
        parameters = dict(inspect.signature(cls.__init__).parameters)  # type: ignore[misc]  # the class is given
        declared = [inspect.get_annotations(base) for base in cls.__mro__]
    except Exception:  # noqa: BLE001  # annotations are the user's code and may raise anything
        return True
    names = {*getattr(task, "__dict__", ()), *parameters, *(name for each in declared for name in each)}
    for name in [name for name in names if _own_attribute(task, name) is future]:
        parameter = parameters.get(name)
        said = [each.get(name, "") for each in declared] + ([parameter.annotation] if parameter is not None else [])
        if (parameter is not None and parameter.default is None) or any(map(_OPTIONAL.search, map(str, said))):
            return True
    return False


def _own_attribute(task: object, name: str) -> object:
    try:
        return object.__getattribute__(task, name)
    except AttributeError:
        return None


# ---------------------------------------------------------------- errors of Python or a library


def advise(error: Exception, task: object, futures: Iterable[object]) -> None:
    """Add to an exception of a task how to get a value, if a future is the cause; or how to debug.

    Args:
        futures: the needs of the task.
    """
    is_quit = type(error).__name__ == "BdbQuit" and type(error).__module__ == "bdb"
    if type(error) not in (TypeError, AttributeError, KeyError, EOFError) and not is_quit:
        return  # an error of the user's code
    text = error.args[0] if len(error.args) == 1 and isinstance(error.args[0], str) else ""
    if type(error) is TypeError and "get_result" not in text:
        names = {type(future).__name__ for future in futures} | {"Const", "Item", "FutureList", "FutureDict"}
        if named := next((name for name in sorted(names) if _names(text, name)), None):
            error.args = (f"{text} ({named} is a future: {_ADVICE})",)
    elif type(error) is KeyError:
        key = error.args[0] if error.args else None
        if hasattr(type(key), "_key_form") and is_read_here(key):
            error.args = (mistaken(key),)
    elif type(error) is AttributeError and getattr(error, "name", None) == "get_result":
        error.args = (f"{text} (it is a value, not a future: use it as it is, or pass Const(...) of it to the task)",)
    elif type(error) is AttributeError and "get_result" not in text:
        owner = getattr(error, "obj", None)
        if owner is not task and hasattr(type(owner), "_key_form"):
            error.args = (f"{text} ({type(owner).__name__} is a future: {_ADVICE})",)
    elif (is_quit or text == "EOF when reading a line" or _asked_for_password(error)) and _is_captured():
        error.args = (f"{text}. {_NO_TERMINAL}".removeprefix(". "),)


def _names(text: str, name: str) -> bool:
    """Whether Python names the type: `'Load'`, `(not "Load")`, `of type Load is`, `not Load`, `Load found`."""
    pattern = rf"'{name}'|\"{name}\"|\b(?:type|not) {name}\b(?! must)|\b{name}( found$|\.__format__)"
    return re.search(pattern, text) is not None


def _asked_for_password(error: Exception) -> bool:
    """Whether the EOFError comes from `getpass()`, which gives it no text."""
    trace = error.__traceback__ if type(error) is EOFError and not error.args else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == "getpass"


def _is_captured() -> bool:
    job = running_job()
    return job is not None and job.captured


def say_that_none_debugs_here() -> None:
    """Let `breakpoint()` give advice in a task with captured output, unless the user has set another debugger."""
    if sys.breakpointhook is sys.__breakpointhook__ and "PYTHONBREAKPOINT" not in os.environ:
        sys.breakpointhook = _breakpoint


def _breakpoint(*args: Any, **kwargs: Any) -> Any:
    if _is_captured():
        raise RuntimeError(f"breakpoint() cannot be used here. {_NO_TERMINAL}")
    return sys.__breakpointhook__(*args, **kwargs)  # noqa: T100  # the original hook
