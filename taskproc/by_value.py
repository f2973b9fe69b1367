"""Pickling by value: functions and classes travel with their code, and keep the file and the line they come from.

cloudpickle from 3.1.3 on names the file of all such code `<dynamic-code>`. That makes pickles independent of where a
function was defined, but tracebacks then have no path and no line, `inspect.getsource` finds nothing, and a task graph
that is run inside a task has other code than the process that sent it. So the true name is put back.

The text of a notebook cell is in no file. It travels along with its code, and is known to `linecache` at the other end.
"""
from __future__ import annotations

import functools
import io
import linecache
from types import CodeType
from typing import Any


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
            return super().reducer_override(obj)

        def _reduced_code(self, code: CodeType) -> Any:
            reduced: Any = self.dispatch_table[CodeType](code)
            make, arguments = reduced
            text = _cell_text(code.co_filename)
            if text is None:
                return make, _named(arguments, code.co_filename)
            return (_code_of_cell, (code.co_filename, text, *arguments)) if self.brings_cells else (make, arguments)

    return ByValuePickler


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
