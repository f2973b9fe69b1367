"""Pickling by value: functions and classes travel with their code, and keep the file and the line they come from.

cloudpickle from 3.1.3 on names the file of all such code `<dynamic-code>`. That makes pickles independent of where a
function was defined, but tracebacks then have no path and no line, `inspect.getsource` finds nothing, and a task graph
that is run inside a task has other code than the process that sent it. So the true name is put back.

The text of a notebook cell is in no file. It travels along with its code, and is known to `linecache` at the other end.

What the standard library puts around functions is taken apart. Pickle gives a function with a cache, or a `NewType`, by
its name alone, which leads nowhere in a process that cannot import the script; others hold locks or weak references,
which pickle refuses. A cache is empty when it arrives.
"""
from __future__ import annotations

import functools
import io
import linecache
import typing
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any, NewType

from taskproc.modules import is_findable, runs_as_main


def dumps(value: object) -> bytes:
    """A pickle of `value` for another process. Raises whatever the classes in it raise.

    The first call imports cloudpickle, 28 ms.
    """
    target = io.BytesIO()
    pickler_class()(target, protocol=5).dump(value)
    return target.getvalue()


@functools.cache
def pickler_class() -> Any:
    """A class like cloudpickle's pickler, but code keeps its file. Subclasses may override `reducer_override`."""
    import cloudpickle  # here: 28 ms, and not needed for plain data

    class ByValuePickler(cloudpickle.CloudPickler):  # type: ignore[misc]  # cloudpickle is untyped
        """cloudpickle that keeps where code comes from.

        Attributes:
            brings_cells: whether the text of notebook cells travels along. Without it their code stays nameless, so
                that equal cells of two sessions give equal pickles.
        """

        brings_cells = True

        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is CodeType:
                return self._reduced_code(obj)
            reduced = _reduced_wrapper(obj)
            if reduced is NotImplemented:
                reduced = super().reducer_override(obj)
            if isinstance(obj, type) and isinstance(reduced, tuple) and obj.__qualname__ != obj.__name__:
                _keep_qualname(obj, reduced)
            return reduced

        def _reduced_code(self, code: CodeType) -> Any:
            reduced: Any = self.dispatch_table[CodeType](code)
            make, arguments = reduced
            text = _cell_text(code.co_filename)
            if text is None:
                return make, _named(arguments, code.co_filename)
            return (_code_of_cell, (code.co_filename, text, *arguments)) if self.brings_cells else (make, arguments)

    return ByValuePickler


def _keep_qualname(cls: type, reduced: tuple[Any, ...]) -> None:
    """A class that stands in another one would be called as if it did not, and not be found by its name."""
    if len(reduced) == 6 and isinstance(reduced[2], tuple):  # the attributes that are set on the new class
        reduced[2][0].setdefault("__qualname__", cls.__qualname__)


def remember_text(path: str, text: str) -> None:
    """Let tracebacks and `inspect` show `text` for the file `path`, unless they have another text of it already."""
    # Without a time of change, `linecache` believes what it has
    linecache.cache.setdefault(path, (len(text), None, text.splitlines(keepends=True), path))


def remembered_text(path: str) -> str | None:
    """The text of a path that `linecache` will not compare with a file: of a notebook cell, or a remembered one."""
    entry = linecache.cache.get(path)
    if entry is None or len(entry) != 4 or entry[1] is not None:
        return None
    return "".join(entry[2])


# One object for each cell, so that it stands once in a pickle with many functions
@functools.lru_cache(maxsize=64)
def _interned(text: str) -> str:
    return text


def _cell_text(path: str) -> str | None:
    text = remembered_text(path)
    return None if text is None else _interned(text)


def _named(arguments: tuple[Any, ...], path: str) -> tuple[Any, ...]:
    """Arguments of `CodeType` with `path` as the file, which is the first of its strings on every Python."""
    index = next(index for index, argument in enumerate(arguments) if type(argument) is str)
    # A new string each time, for whether two strings are one object shows in a pickle
    return (*arguments[:index], "".join(path), *arguments[index + 1 :])


def _code_of_cell(path: str, text: str, *arguments: Any) -> CodeType:
    remember_text(path, text)
    return CodeType(*_named(arguments, path))


# ---------------------------------------------------------------- what stands around functions

_Cached: type[Any] = type(functools.lru_cache(len))
_DISPATCHING = frozenset({"register", "dispatch", "registry", "_clear_cache"})


def _reduced_wrapper(thing: Any) -> Any:
    """How to pickle `thing` by its parts, as `__reduce__` says it; NotImplemented if it is none of these."""
    reduce = _REDUCERS.get(type(thing))
    if reduce is None:
        return NotImplemented
    # What goes by a name that can be imported stays what it is there; what has no name is part of something that has
    if hasattr(thing, "__qualname__") and not runs_as_main(thing) and is_findable(thing):
        return NotImplemented
    return reduce(thing)


def _cached(thing: Any) -> Any:
    parameters = thing.cache_parameters()
    # Its names once more: where the function calls itself, they are not set yet when the cache is put around it
    named = {name: value for name, value in vars(thing).items() if name != "__wrapped__"}
    return _with_cache, (thing.__wrapped__, parameters["maxsize"], parameters["typed"]), named


def _with_cache(function: Callable[..., Any], size: int | None, typed: bool) -> Any:
    return functools.lru_cache(size, typed)(function)


def _cached_property(thing: Any) -> Any:
    return _with_name, (thing.func, thing.attrname)


def _with_name(function: Callable[..., Any], name: str | None) -> Any:
    made = functools.cached_property(function)
    made.attrname = name
    return made


def _function(thing: FunctionType) -> Any:
    """Of a function that `singledispatch` made, what it chooses from."""
    if not vars(thing).keys() >= _DISPATCHING:
        return NotImplemented
    own = {name: value for name, value in vars(thing).items() if name not in _DISPATCHING}
    names = {name: getattr(thing, name) for name in ("__module__", "__name__", "__qualname__", "__doc__")}
    # The functions last: they may call what they are chosen by
    return _new_dispatcher, (), (dict(vars(thing)["registry"]), {**own, **names}), None, None, _fill_dispatcher


def _new_dispatcher() -> Any:
    return functools.singledispatch(_not_filled)


def _not_filled(*_: object) -> None:
    raise AssertionError("a dispatcher is used before it was filled [this is a bug]")


def _fill_dispatcher(dispatcher: Any, state: tuple[Mapping[type, Callable[..., Any]], Mapping[str, Any]]) -> None:
    functions, attributes = state
    for kind, function in functions.items():
        dispatcher.register(kind, function)
    for name, value in attributes.items():
        setattr(dispatcher, name, value)


def _method(thing: Any) -> Any:
    """Of a `singledispatchmethod`, which has a cache of its own from Python 3.13 on."""
    return _new_method, (), {"dispatcher": thing.dispatcher, "func": thing.func}


def _new_method() -> Any:
    return functools.singledispatchmethod(_not_filled)


def _new_type(thing: Any) -> Any:
    return _with_module, (thing.__name__, thing.__supertype__, thing.__module__, thing.__qualname__)


def _with_module(name: str, kind: Any, module: str, qualname: str) -> Any:
    new_type: Any = NewType  # type checkers know it with literals only
    made = new_type(name, kind)
    made.__module__, made.__qualname__ = module, qualname
    return made


def _parameter(thing: Any) -> Any:
    return _made_parameter, (type(thing), thing.__name__, thing.__module__)


def _made_parameter(kind: Any, name: str, module: str) -> Any:
    made = kind(name)
    made.__module__ = module
    return made


_REDUCERS: dict[type, Callable[[Any], Any]] = {
    _Cached: _cached,
    functools.cached_property: _cached_property,
    functools.singledispatchmethod: _method,
    FunctionType: _function,
    NewType: _new_type,
}
for _name in ("ParamSpec", "TypeVarTuple"):  # the second is new in Python 3.11
    if hasattr(typing, _name):
        _REDUCERS[getattr(typing, _name)] = _parameter

# What a script defines, and others find by its name there
DEFINITIONS: tuple[Any, ...] = (type, *_REDUCERS)
