"""The results of tasks as pickles, and back: paths below the cache move with it."""
from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

from taskproc import pickling
from taskproc.errors import UnstorableResult
from taskproc.modules import is_findable
from taskproc.pickling import Target, portable_name

_NUMBERS = (type(None), bool, int, float)
_LARGE = 1 << 12  # letters or bytes

_DEEPEST = 20   # steps; beyond it the depth itself is at fault, or a value that contains itself
_MOST = 1000    # parts that are tried one by one, each by a pickle
_LONGEST = 40   # letters of a key that are shown
_OWN = frozenset({"__reduce__", "__reduce_ex__", "__getstate__"})  # a class with one of these pickles in its own way


cache_root: ContextVar[str] = ContextVar("taskproc_cache_root", default="")


def dump_result(value: object, target: Target, root: str = "", met: list[object] | None = None) -> None:
    """Write a pickle of `value` to `target`, which every process can load that can import its classes.

    Paths below `root` are stored relative to it. Equal code of two notebook sessions gives equal pickles.

    Args:
        met: the classes and functions that are pickled by their name are appended to it.
    """
    content = plain_pickle(value)
    if content is not None:
        target.write(content)
        return
    name_of = portable_name if met is None else partial(_noted_name, met)
    reduce = partial(_reduced_path, root) if root else None
    pickling.dump(value, target, reduce=reduce, name_of=name_of, with_cells=False)


def plain_pickle(value: object) -> bytes | None:
    """The pickle that `dump_result` writes for a small value of a built-in type, made without cloudpickle; else None.

    A large one is written in pieces.
    """
    if type(value) in _NUMBERS or (type(value) in (str, bytes) and len(value) <= _LARGE):  # type: ignore[arg-type]
        return pickle.dumps(value, 5)
    return None


def unstorable(value: object, root: str, error: Exception) -> UnstorableResult:
    """The error that says which part of a result cannot be pickled, and why."""
    path, part = unpicklable_part(value, lambda part: _pickles(part, root))
    kind = f"{type(part).__module__}.{type(part).__qualname__}".removeprefix("builtins.")
    return UnstorableResult(
        f"its result{path} (a {kind}) cannot be pickled: {type(error).__name__}: {error}. "
        "Return plain data, or write a file into self.task_directory and return its path"
    )


class _Discard:
    def write(self, piece: Any, /) -> None:
        """Ignore the piece."""


def _pickles(value: object, root: str) -> bool:
    try:
        dump_result(value, _Discard(), root)
    except Exception:  # noqa: BLE001  # the user's classes may raise anything
        return False
    return True


def path_in_cache(*parts: str) -> Path:
    """A path below the cache, in whose pickles this function stands; relative for a plain `pickle.load`."""
    return Path(cache_root.get(), *parts)


def _noted_name(met: list[object], definition: object) -> str | None:
    if isinstance(definition, (type, FunctionType)) and is_findable(definition):
        met.append(definition)
    return portable_name(definition)


def _reduced_path(root: str, value: object) -> Any:
    if isinstance(value, Path) and str(value).startswith(root + os.sep):
        return path_in_cache, value.relative_to(root).parts
    return NotImplemented


def unpicklable_part(value: object, pickles: Callable[[object], bool]) -> tuple[str, object]:
    """The path to the innermost part of `value` that cannot be pickled, as written after the value, and that part.

    The path is empty, and the part is `value`, if all parts can be pickled by themselves. Call it only for a value that
    cannot be pickled.
    """
    path, part = "", value
    for _ in range(_DEEPEST):
        for step, inner in _parts(part):
            if not pickles(inner):
                path, part = path + step, inner
                break
        else:
            return path, part
    return "", value


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """The parts of `value`, each after the step that leads to it; none if its class says how it is pickled."""
    if isinstance(value, (dict, list, tuple, set, frozenset)) and len(value) > _MOST:
        return
    if type(value) is dict:
        for key, inner in value.items():
            yield f"[{_short(key)}]", inner
    elif type(value) in (list, tuple):
        assert isinstance(value, (list, tuple))
        for position, inner in enumerate(value):
            yield f"[{position}]", inner
    elif _is_pickled_by_attributes(value):
        for name, inner in vars(value).items():
            yield f".{name}", inner


def _is_pickled_by_attributes(value: object) -> bool:
    cls = type(value)
    own = (name for base in cls.__mro__[:-1] for name in vars(base))
    return hasattr(value, "__dict__") and cls.__module__ != "builtins" and _OWN.isdisjoint(own)


def _short(key: object) -> str:
    try:
        text = repr(key)
    except Exception:  # noqa: BLE001  # the class of a key may raise anything; it is only shown
        text = f"<{type(key).__name__}>"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
