"""Results as arrays: the rows of one array, or of one array per key if the results are dicts."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from taskproc.batch.savers.file_saver import ROWS, extra

PLAIN = "results"  # the name of the array of results that are not dicts
Form = Mapping[str, tuple[tuple[int, ...], Any]]
_NUMBERS = "biufc"


def numpy(what: str) -> Any:
    """The module NumPy, which `what` needs."""
    return extra("numpy", "numpy", what)


def columns(rows: list[Any], dtype: Any = None) -> dict[str, Any]:
    """Name → array of shape `(n_results, *result.shape)`. Raises ValueError if the results are of different kinds."""
    if not isinstance(rows[0], Mapping):
        return {PLAIN: array(rows, dtype)}
    names = list(rows[0])
    for row in rows:
        if not isinstance(row, Mapping) or set(row) != set(names):
            raise ValueError(f"results must be alike: one is a dict of {names!r}, another is {row!r:.200}")
    return {str(name): array([row[name] for row in rows], dtype) for name in names}


def array(rows: list[Any], dtype: Any = None) -> Any:
    """One array of shape `(n_results, *result.shape)`. Raises ValueError if results differ in shape or type."""
    np = numpy("an array")
    try:
        rows_array = np.asarray(rows, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"results have no common shape and type: {error}") from error
    if rows_array.dtype.hasobject:
        kinds = ", ".join(sorted({type(row).__name__ for row in rows}))
        raise ValueError(f"results ({kinds}) are not numbers, texts or arrays of one shape. Save them as JSON lines")
    return rows_array


def row_forms(arrays: Mapping[str, Any]) -> Form:
    """Name → shape and dtype of a row."""
    return {name: (rows.shape[1:], rows.dtype) for name, rows in arrays.items()}


def check_alike(form: Form, arrays: Mapping[str, Any], grows: str = "") -> None:
    """Raise ValueError if these arrays cannot be appended to arrays of that form without loss.

    `grows`: kinds whose dtype may become wider, such as "f" for all numbers and "U" for texts.
    """
    np = numpy("an array")
    if form.keys() != arrays.keys():
        raise ValueError(f"results had the names {list(form)!r}, the next ones have {list(arrays)!r}")
    for name, (shape, dtype) in form.items():
        rows = arrays[name]
        if rows.shape[1:] != shape:
            raise ValueError(f"{name!r} had the shape {shape}, the next ones have {rows.shape[1:]}")
        kinds = {"f" if kind in _NUMBERS else kind for kind in (dtype.kind, rows.dtype.kind)}
        alike = len(kinds) == 1 and kinds <= set(grows)
        if not (alike or dtype.hasobject or np.can_cast(rows.dtype, dtype, "safe") or _lossless(rows, dtype)):
            raise ValueError(f"{name!r} had the dtype {dtype}, the next ones have {rows.dtype}. Pass dtype=…")


def _lossless(rows: Any, dtype: Any) -> bool:
    """Whether these numbers keep their values as that dtype."""
    if rows.dtype.kind not in _NUMBERS or dtype.kind not in _NUMBERS or rows.dtype.kind == "c" != dtype.kind:
        return False
    with numpy("an array").errstate(all="ignore"):
        return bool((rows.astype(dtype) == rows).all())


def read_rows(arrays: Mapping[str, Any], named: bool) -> Iterator[list[Any]]:
    """The rows of arrays in lists of at most ROWS; `named`: as dicts."""
    count = min(map(len, arrays.values()), default=0)
    for first in range(0, count, ROWS):
        part = {name: _row_values(rows[first : first + ROWS]) for name, rows in arrays.items()}
        if named:
            yield [dict(zip(part, values)) for values in zip(*part.values())]
        else:
            yield next(iter(part.values()))


def _row_values(part: Any) -> list[Any]:
    values: list[Any] = part.tolist() if part.ndim == 1 else list(part)
    return [value.decode() if isinstance(value, bytes) and part.dtype.hasobject else value for value in values]
