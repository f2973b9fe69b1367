"""Results as arrays: the rows of one, or, where they are dicts, of one for each key."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from taskproc.batch.savers.file_saver import ROWS, extra

PLAIN = "results"  # the name of the one array
Form = Mapping[str, tuple[tuple[int, ...], Any]]
_NUMBERS = "biufc"


def numpy(what: str) -> Any:
    """The module."""
    return extra("numpy", "numpy", what)


def columns(rows: list[Any], dtype: Any = None) -> dict[str, Any]:
    """Name → array, with a row for each result. Raises ValueError if they are of different kinds."""
    if not isinstance(rows[0], Mapping):
        return {PLAIN: array(rows, dtype)}
    names = list(rows[0])
    for row in rows:
        if not isinstance(row, Mapping) or set(row) != set(names):
            raise ValueError(f"results must be alike: one is a dict of {names!r}, another is {row!r:.200}")
    return {str(name): array([row[name] for row in rows], dtype) for name in names}


def array(rows: list[Any], dtype: Any = None) -> Any:
    """One array of all. Raises ValueError if they have no common shape and type."""
    np = numpy("an array")
    try:
        made = np.asarray(rows, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"results have no common shape and type: {error}") from error
    if made.dtype.hasobject:
        kinds = ", ".join(sorted({type(row).__name__ for row in rows}))
        raise ValueError(f"results (of {kinds}) are no numbers, texts or arrays of one shape. Save them as JSON lines")
    return made


def row_forms(found: Mapping[str, Any]) -> Form:
    """Name → shape of a row, and type."""
    return {name: (rows.shape[1:], rows.dtype) for name, rows in found.items()}


def check_alike(form: Form, found: Mapping[str, Any], grows: str = "") -> None:
    """Raise ValueError if columns do not fit behind those of that form without loss.

    `grows`: kinds that may become wider, such as numbers ("f" for all of them) and texts ("U").
    """
    np = numpy("an array")
    if form.keys() != found.keys():
        raise ValueError(f"results have had the names {list(form)!r}, now come {list(found)!r}")
    for name, (shape, dtype) in form.items():
        rows = found[name]
        if rows.shape[1:] != shape:
            raise ValueError(f"{name!r} has had the shape {shape}, now comes {rows.shape[1:]}")
        kinds = {"f" if kind in _NUMBERS else kind for kind in (dtype.kind, rows.dtype.kind)}
        alike = len(kinds) == 1 and kinds <= set(grows)
        if not (alike or dtype.hasobject or np.can_cast(rows.dtype, dtype, "safe") or _lossless(rows, dtype)):
            raise ValueError(f"{name!r} has been {dtype}, now comes {rows.dtype}. Give dtype=… from the beginning")


def _lossless(rows: Any, dtype: Any) -> bool:
    """Whether these very numbers are the same as that type."""
    if rows.dtype.kind not in _NUMBERS or dtype.kind not in _NUMBERS or rows.dtype.kind == "c" != dtype.kind:
        return False
    with numpy("an array").errstate(all="ignore"):
        return bool((rows.astype(dtype) == rows).all())


def read_rows(arrays: Mapping[str, Any], named: bool) -> Iterator[list[Any]]:
    """What was made into columns, some at a time; `named`: as dicts."""
    count = min((len(each) for each in arrays.values()), default=0)
    for first in range(0, count, ROWS):
        part = {name: _values(each[first : first + ROWS]) for name, each in arrays.items()}
        if named:
            yield [dict(zip(part, values)) for values in zip(*part.values())]
        else:
            yield next(iter(part.values()))


def _values(part: Any) -> list[Any]:
    values: list[Any] = part.tolist() if part.ndim == 1 else list(part)
    return [value.decode() if isinstance(value, bytes) and part.dtype.hasobject else value for value in values]
