"""The table of a sweep: a row per combination, for people, as CSV, and as JSON lines."""
from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from taskproc.cli.options import Options
from taskproc.cli.usage import UsageError, output, say, tell
from taskproc.tasks.naming import brief
from taskproc.tasks.task import Task
from taskproc.text import cut_in_middle, cut_to, padded, printable, terminal_width, width_of

_SCALARS = (bool, int, float, complex, str)
_WIDEST = 24  # columns of a value in the table
_DIGITS = 6  # of a key, at least, as a short id
_MISSING = object()


@dataclass
class Combination:
    """One combination of the values of a sweep.

    Attributes:
        arguments: parameter → value, of those that are swept.
        task: the entry task with them; None if it could not be built.
        state: done, failed or skipped; error: why it failed, in a sentence.
        value: the result, if it is done.
    """

    arguments: Mapping[str, Any]
    task: Task | None = None
    state: str = "skipped"
    error: str = ""
    value: Any = field(default=None, repr=False)


def show_sweep(combinations: Sequence[Combination], options: Options) -> None:
    """Print the table, or the JSON lines, and write the CSV file, as the options say."""
    asked = options.more.get("table")
    shown = [name.strip() for name in asked.split(",") if name.strip()] if asked else None
    if shown:
        _report_unknown(combinations, shown)
    fields = shown or _scalar_fields(combinations)
    if options.more.get("json"):
        for combination in combinations:
            with output():
                print(json.dumps(_json_row(combination, shown), ensure_ascii=False))
    else:
        _print_table(combinations, fields)
    if (path := options.more.get("csv")) is not None:
        _write_csv(path, combinations, fields)


def _scalar_fields(combinations: Sequence[Combination]) -> list[str]:
    """Names of the fields whose values are scalars, in the order in which they are met."""
    names: dict[str, None] = {}
    for combination in combinations:
        own = fields_of(combination.value)
        names.update(dict.fromkeys(name for name, value in own.items() if isinstance(_scalar(value), _SCALARS)))
    return list(names)


def fields_of(value: object) -> Mapping[str, object]:
    """The fields of a result: the keys of a dict, the fields of a named tuple or a dataclass; `value` of a scalar."""
    if isinstance(value, Mapping):
        return {str(key): some for key, some in value.items()}
    if isinstance(value, tuple):
        return dict(zip(getattr(value, "_fields", ()), value))
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: getattr(value, entry.name, None) for entry in fields(value)}
    return {"value": value} if isinstance(_scalar(value), _SCALARS) else {}


def field_of(value: object, name: str) -> object:
    """A field of a result by its name, or an attribute; _MISSING if it has none."""
    own = fields_of(value)
    return own[name] if name in own else getattr(value, name, _MISSING)


def _scalar(value: object) -> object:
    """`value`, or the number in a scalar or an array of NumPy, or another library, that holds one number."""
    if isinstance(value, _SCALARS) or getattr(value, "shape", None) != ():
        return value
    item: Any = getattr(value, "item", None)
    return item() if callable(item) else value


def _report_unknown(combinations: Sequence[Combination], fields: Sequence[str]) -> None:
    values = [combination.value for combination in combinations if combination.state == "done"]
    for name in fields:
        if values and all(field_of(value, name) is _MISSING for value in values):
            known = dict.fromkeys(field for value in values for field in fields_of(value))
            there = f"their fields are {', '.join(known)}" if known else "they have no fields that --table can show"
            say(f"--table: no result has a field {name!r}; {there}")


def _print_table(combinations: Sequence[Combination], fields: Sequence[str]) -> None:
    """Print aligned columns, numbers to the right. Lines are cut to the width of a terminal, but not in a pipe."""
    head = _head(combinations, fields)
    table = [[_cell(value) for value in _row(combination, fields)] for combination in combinations]
    columns = list(zip(head, *table))
    widths = [max(map(width_of, column)) for column in columns]
    numeric = [all(_is_number(cell) for cell in column[1:]) and any(column[1:]) for column in columns]
    most = terminal_width(sys.stdout)
    for row in [head, *table]:
        cells = [
            " " * (width - width_of(cell)) + cell if right else padded(cell, width)
            for cell, width, right in zip(row, widths, numeric)
        ]
        tell(cut_to("  ".join(cells).rstrip(), most))


def _head(combinations: Sequence[Combination], fields: Sequence[str]) -> list[str]:
    names = [*combinations[0].arguments, "state"]
    return [*names, *(f"result.{name}" if name in names else name for name in fields)]


def _row(combination: Combination, fields: Sequence[str]) -> Iterator[object]:
    yield from combination.arguments.values()
    yield combination.state
    yield from (field_of(combination.value, name) if combination.state == "done" else _MISSING for name in fields)


def _cell(value: object) -> str:
    value = _scalar(value)
    if value is _MISSING:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = printable(value) if isinstance(value, str) else brief(value)
    return cut_in_middle(text, _WIDEST)


def _is_number(cell: str) -> bool:
    """Whether a cell is a number, or empty."""
    try:
        complex(cell or "0")
    except ValueError:
        return False
    return True


def _write_csv(path: str, combinations: Sequence[Combination], fields: Sequence[str]) -> None:
    """Write all values in full: a float with all its digits."""
    try:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_head(combinations, fields))
            for combination in combinations:
                writer.writerow([_full_text(value) for value in _row(combination, fields)])
    except OSError as error:
        raise UsageError(f"--csv {path}: it cannot be written: {error.strerror or error}", "") from error


def _full_text(value: object) -> object:
    value = _scalar(value)
    if value is _MISSING:
        return ""
    return value if isinstance(value, _SCALARS) else brief(value)


def _json_row(combination: Combination, shown: Sequence[str] | None) -> dict[str, object]:
    """An object for a program. `shown`: the fields that it has; None: all."""
    place = combination.task._taskproc.place if combination.task is not None else None
    fields = (fields_of(combination.value) if shown is None else shown) if combination.state == "done" else ()
    found = {name: field_of(combination.value, name) for name in fields}
    return {
        "v": 1,
        "id": place.key[:_DIGITS] if place else None,
        "key": place.key if place else None,
        "task": place.name if place else None,
        "arguments": {name: _json_value(value) for name, value in combination.arguments.items()},
        "state": combination.state,
        "error": combination.error or None,
        "fields": {name: _json_value(value) for name, value in found.items() if value is not _MISSING},
    }


def _json_value(value: Any) -> object:
    """`value` if JSON can say it, else as text."""
    value = _scalar(value)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return brief(value)
    return value
