"""`--sweep lr=0.1,0.01 --sweep seed=0:5`: words become the values of parameters, by the rules of their flags."""
from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Union

from taskproc.cli.parameters import Parameter, read_flags
from taskproc.cli.usage import UsageError

MOST = 100_000  # combinations
_CELL = re.compile(r'\s*(?:"((?:[^"]|"")*)"|(?!\s*")([^,]*?))\s*(,|$)')
_RANGE = re.compile(r"(-?\d+):(-?\d+)(?::(-?\d+))?")
_HINT = (
    "give the values apart by commas, or a range of whole numbers as start:stop or start:stop:step, such as 0:5; quote "
    'a value with a comma as in CSV: \'layers="[1, 2]","[3]"\''
)


class _Quoted(str):
    """A value that was quoted, so it is not read as a range."""

    __slots__ = ()


Cell = Union[str, range]


def read_sweep(
    cls: type, parameters: Mapping[str, Parameter], given: Mapping[str, Any], flags: Mapping[str, Any]
) -> dict[str, Sequence[Any]]:
    """Parameter → its values, in the order of the command line; empty if nothing is swept.

    Args:
        given: the values of the options; flags: of the parameters that have one value.

    Raises UsageError, which names the flag.
    """
    if "sweep" not in given:
        return {}  # another command, or a parameter of the task has this flag
    words: Sequence[str] = given["sweep"] or ()
    if not words:
        _refuse_alone(given)
        return {}
    columns = [_cells(word) for word in words]
    count = math.prod(sum(len(cell) if isinstance(cell, range) else 1 for cell in cells) for _, cells in columns)
    if count > MOST:
        raise UsageError(
            f"--sweep makes {count:,} combinations; {MOST:,} are the most",
            "sweep fewer values, or run parts of the sweep one after another: shared tasks are computed once",
        )
    swept: dict[str, Sequence[Any]] = {}
    for flag, cells in columns:
        name, values = _column(cls, parameters, flag, cells)
        if name in swept:
            raise UsageError(f"--sweep {name} is given twice", f"give all its values at once: --sweep {name}=A,B,C")
        if name in flags:
            raise UsageError(f"--{name} is given, and swept as well", f"leave out --{name}, or --sweep {name}")
        swept[name] = values
    _check_file(given.get("csv"))
    return swept


def _refuse_alone(given: Mapping[str, Any]) -> None:
    for name in ("table", "csv", "json"):
        if given.get(name):
            raise UsageError(f"--{name} belongs to a sweep", "give the values too: --sweep NAME=VALUES")


def _check_file(path: str | None) -> None:
    """Refuse a file that cannot be written before anything runs."""
    if path is None:
        return
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise UsageError(f"--csv {path}: there is no folder {folder!r}", "create it first, or give another file")
    if os.path.isdir(path):
        raise UsageError(f"--csv {path}: this is a folder", "give a file")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise UsageError(f"--csv {path}: it cannot be written", "give another file")


def _cells(word: str) -> tuple[str, list[Cell]]:
    """The name in `NAME=VALUES`, and its values as texts and ranges."""
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise UsageError(f"--sweep {word}: expected NAME=VALUES", _HINT)
    return name, [_Quoted(cell) if quoted else _range(cell, word) for cell, quoted in _split(text, word)]


def _split(text: str, word: str) -> Iterator[tuple[str, bool]]:
    """Each value apart by commas, and whether it was quoted."""
    start, comma = 0, ","
    while comma:
        match = _CELL.match(text, start)
        if match is None:
            raise UsageError(f"--sweep {word}: a quote is not closed, or text follows it", _HINT)
        quoted, plain, comma = match.groups()
        if quoted is None and not plain:
            raise UsageError(f"--sweep {word}: a value is missing", f'{_HINT}. An empty text is ""')
        yield (plain, False) if quoted is None else (quoted.replace('""', '"'), True)
        start = match.end()


def _range(cell: str, word: str) -> Cell:
    match = _RANGE.fullmatch(cell)
    if match is None:
        return cell
    start, stop, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if step == 0:
        raise UsageError(f"--sweep {word}: the step of {cell} is 0", _HINT)
    values = range(start, stop, step)
    if not values:
        raise UsageError(f"--sweep {word}: the range {cell} is empty, since its end is excluded", _HINT)
    return values


def _column(
    cls: type, parameters: Mapping[str, Parameter], flag: str, cells: Sequence[Cell]
) -> tuple[str, Sequence[Any]]:
    """The name of the parameter of a flag, and its values."""
    name, values = "", list[Any]()
    for cell in cells:
        first = str(cell[0]) if isinstance(cell, range) else cell
        name, value = _value(cls, parameters, flag, first)
        if isinstance(cell, range) and type(value) in (int, float):
            values += map(type(value), cell)  # as the flag would read each of them
        elif isinstance(cell, range):  # of a parameter that takes texts, such as a time of the day
            text = f"{cell.start}:{cell.stop}" + (f":{cell.step}" if cell.step != 1 else "")
            values.append(_value(cls, parameters, flag, text)[1])
        elif ":" in cell and type(value) in (int, float) and not isinstance(cell, _Quoted):
            # YAML would read 0:1:0.1 as 60.1, by the sixties
            raise UsageError(f"--sweep {flag}: {cell} is not a range of whole numbers", _HINT)
        else:
            values.append(value)
    return name, values


def _value(cls: type, parameters: Mapping[str, Parameter], flag: str, text: str) -> tuple[str, Any]:
    try:
        ((name, value),) = read_flags(cls, parameters, [f"--{flag}={text}"]).items()
    except UsageError as error:
        raise UsageError(f"--sweep {flag}: {error}", _HINT if error.hint is None else error.hint) from error
    return name, value
