"""How code is pickled by value: functions and classes keep the file and the line that they come from.

Since version 3.1.3, cloudpickle names the file of all such code `<dynamic-code>`. That makes pickles independent of
where a function was defined, but then tracebacks have no path and no line, `inspect.getsource` finds nothing, and a
task graph that runs inside a task has other code than the process that sent it. So the true name is put back.

The text of a notebook cell is in no file. It is sent with the code, and registered with `linecache` by the receiver.

The wrappers of the standard library are taken apart. Pickle stores a function with a cache, or a `NewType`, by its name
alone, which leads nowhere in a process that cannot import the script; other wrappers hold locks or weak references,
which pickle refuses. A cache is empty when it arrives.

Results in caches refer to the functions below by name, so they keep their names and this module.
"""
from __future__ import annotations

import functools
import linecache
import typing
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any, NewType

from taskproc.modules import is_findable, runs_as_main


def reduced_code(code: CodeType, reduced: Any, *, with_cells: bool) -> Any:
    """How to pickle `code`, given how cloudpickle would.

    Args:
        with_cells: whether the text of notebook cells is sent along. Without it their code has no file, so that equal
            cells of two sessions give equal pickles.
    """
    make, arguments = reduced
    text = _cell_text(code.co_filename)
    if text is None:
        return make, _named(arguments, code.co_filename)
    return (_code_of_cell, (code.co_filename, text, *arguments)) if with_cells else (make, arguments)


def keep_qualname(cls: type, reduced: Any) -> None:
    """Add to `reduced`, which is how cloudpickle would pickle a class, the name of a class inside another one.

    Otherwise the receiver would have it as a class of the module, and could not find it by its name.
    """
    is_nested = cls.__qualname__ != cls.__name__ and isinstance(reduced, tuple)
    if is_nested and len(reduced) == 6 and isinstance(reduced[2], tuple):  # the attributes that the new class gets
        reduced[2][0].setdefault("__qualname__", cls.__qualname__)


def remember_text(path: str, text: str) -> None:
    """Let tracebacks and `inspect` show `text` for the file `path`, unless they already have another text of it."""
    # Without a modification time, `linecache` does not compare its text with the file
    linecache.cache.setdefault(path, (len(text), None, text.splitlines(keepends=True), path))


def remembered_text(path: str) -> str | None:
    """The text of a notebook cell, or one that `remember_text` got: `linecache` does not compare these with a file."""
    entry = linecache.cache.get(path)
    if entry is None or len(entry) != 4 or entry[1] is not None:
        return None
    return "".join(entry[2])


# One object per cell, so that a pickle of many functions contains the text once
@functools.lru_cache(maxsize=64)
def _interned(text: str) -> str:
    return text


def _cell_text(path: str) -> str | None:
    text = remembered_text(path)
    return None if text is None else _interned(text)


def _named(arguments: tuple[Any, ...], path: str) -> tuple[Any, ...]:
    """The arguments of `CodeType` with `path` as the file, which is the first string among them on every Python."""
    index = next(index for index, argument in enumerate(arguments) if type(argument) is str)
    # A new string each time: a pickle shows whether two strings are one object
    return (*arguments[:index], "".join(path), *arguments[index + 1 :])


def _code_of_cell(path: str, text: str, *arguments: Any) -> CodeType:
    remember_text(path, text)
    return CodeType(*_named(arguments, path))


_Cached: type[Any] = type(functools.lru_cache(len))
_DISPATCHING = frozenset({"register", "dispatch", "registry", "_clear_cache"})


def reduced_wrapper(thing: Any) -> Any:
    """How to pickle a wrapper of the standard library by its parts, as `__reduce__` would say; else NotImplemented."""
    reduce = _REDUCERS.get(type(thing))
    if reduce is None:
        return NotImplemented
    # A wrapper that can be imported by its name is pickled by it; one without a name is a part of something named
    if hasattr(thing, "__qualname__") and not runs_as_main(thing) and is_findable(thing):
        return NotImplemented
    return reduce(thing)


def _cached(thing: Any) -> Any:
    parameters = thing.cache_parameters()
    # Its names once more: if the function calls itself, they are not set yet when the cache is put around it
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
    """Take apart a function that `singledispatch` made: the functions that it chooses from."""
    if not vars(thing).keys() >= _DISPATCHING:
        return NotImplemented
    own = {name: value for name, value in vars(thing).items() if name not in _DISPATCHING}
    names = {name: getattr(thing, name) for name in ("__module__", "__name__", "__qualname__", "__doc__")}
    # The functions last: they may call the dispatcher
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
    """Take apart a `singledispatchmethod`, which has a cache of its own since Python 3.13."""
    return _new_method, (), {"dispatcher": thing.dispatcher, "func": thing.func}


def _new_method() -> Any:
    return functools.singledispatchmethod(_not_filled)


def _new_type(thing: Any) -> Any:
    return _with_module, (thing.__name__, thing.__supertype__, thing.__module__, thing.__qualname__)


def _with_module(name: str, kind: Any, module: str, qualname: str) -> Any:
    new_type: Any = NewType  # type checkers accept literals only
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

# Objects that a script defines, and that other processes find by their name in it
DEFINITIONS: tuple[Any, ...] = (type, *_REDUCERS)
