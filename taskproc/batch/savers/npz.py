"""NpzSaver: results as arrays in a .npz file."""
from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from taskproc.batch.savers.arrays import Form, check_alike, columns, numpy, read_rows, row_forms
from taskproc.batch.savers.journaled import JournaledSaver

Columns = dict[str, Any]


class ColumnsSaver(JournaledSaver):
    """A saver of results that become columns; each part of its journal is a .npz file in itself."""

    def __init__(self, path: str | os.PathLike[str], dtype: Any):
        numpy(type(self).__name__)
        super().__init__(path)
        self._dtype = dtype
        self._form: Form | None = None  # of the first results

    def load(self) -> Iterator[list[Any]]:
        """See FileSaver. A result is a Python scalar, an array, or a dict of these."""
        self.finish()
        if self.saved().results:
            yield from read_rows(self._read(), named=self._more["named"])

    def _read(self) -> Columns:
        """Read all columns of the file."""
        raise NotImplementedError

    def _pack(self, rows: list[Any], kwargs: dict[str, Any]) -> bytes:
        new = columns(rows, kwargs.get("dtype", self._dtype))
        if self._form is None:
            self._form = row_forms(self._first() or new)
        self._check(self._form, new)
        self._more["named"] = isinstance(rows[0], Mapping)
        target = io.BytesIO()
        numpy("an array").savez(target, **new)
        return target.getvalue()

    def _check(self, form: Form, new: Columns) -> None:
        """Refuse columns now that could not be joined later."""
        check_alike(form, new)

    def _first(self) -> Columns | None:
        if self._count():
            return self._read()
        return next(self._columns(), None) if self._more.get("size") else None

    def _columns(self) -> Iterator[Columns]:
        """Yield the columns of each part of the journal."""
        for part in self._parts():
            with numpy("an array").load(io.BytesIO(part)) as arrays:
                yield dict(arrays)


class NpzSaver(ColumnsSaver):
    """Saves numbers, texts or arrays of one shape, or dicts of these, in a .npz file.

    `np.load(path)["results"]` is an array of shape `(n_results, *result.shape)`, with one row per result in the order
    of the items. Dicts become one such array per key, under its name. The dtype is the common one of all results.
    To grow, the file is read as a whole into memory and written again.

    Args:
        dtype: the dtype of the arrays instead; also an argument of `save`.
        compressed: compress the file; also an argument of `save`.
    """

    def __init__(self, path: str | os.PathLike[str], dtype: Any = None, *, compressed: bool = False):
        super().__init__(path, dtype)
        self._compressed = compressed

    def _read(self) -> Columns:
        with numpy("NpzSaver").load(self.path) as arrays:
            return dict(arrays)

    def _check(self, form: Form, new: Columns) -> None:
        check_alike(form, new, grows="fUS")

    def _merge(self, path: Path, kwargs: Mapping[str, Any]) -> None:
        np = numpy("NpzSaver")
        if unknown := kwargs.keys() - {"dtype", "compressed"}:
            raise TypeError(f"NpzSaver takes dtype and compressed, not {', '.join(map(repr, sorted(unknown)))}")
        parts = [*([self._read()] if self.path.exists() else []), *self._columns()]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        write = np.savez_compressed if kwargs.get("compressed", self._compressed) else np.savez
        with path.open("wb") as file:  # to a name, NumPy would add a suffix
            write(file, **joined)

    def _count(self) -> int:
        if not self.path.exists():
            return 0
        return min(map(len, self._read().values()), default=0)

