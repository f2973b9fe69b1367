"""Results as arrays in a .npz file."""
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
    """Of results that become columns; a part of the journal is a .npz in itself."""

    def __init__(self, path: str | os.PathLike[str], dtype: Any):
        numpy(type(self).__name__)
        super().__init__(path)
        self._dtype = dtype
        self._form: Form | None = None  # of the first results

    def load(self) -> Iterator[list[Any]]:
        """See FileSaver."""
        self.finish()
        if self.saved().results:
            yield from read_rows(self._read(), named=self._more["named"])

    def _read(self) -> Columns:
        """All that is in the file."""
        raise NotImplementedError

    def _pack(self, rows: list[Any], kwargs: dict[str, Any]) -> bytes:
        found = columns(rows, kwargs.get("dtype", self._dtype))
        if self._form is None:
            self._form = row_forms(self._first() or found)
        self._check(self._form, found)
        self._more["named"] = isinstance(rows[0], Mapping)
        target = io.BytesIO()
        numpy("an array").savez(target, **found)
        return target.getvalue()

    def _check(self, form: Form, found: Columns) -> None:
        """Refuse now what could not be joined later."""
        check_alike(form, found)

    def _first(self) -> Columns | None:
        if self._count():
            return self._read()
        return next(self._columns(), None) if self._more.get("size") else None

    def _columns(self) -> Iterator[Columns]:
        """Those of each part of the journal."""
        for part in self._parts():
            with numpy("an array").load(io.BytesIO(part)) as arrays:
                yield dict(arrays)


class NpzSaver(ColumnsSaver):
    """`np.load(path)["results"]` has a row for each result; dicts become arrays with the names of their keys.

    `save` takes `dtype` and `compressed`. The file is read whole to be written anew.
    """

    def __init__(self, path: str | os.PathLike[str], dtype: Any = None, *, compressed: bool = False):
        super().__init__(path, dtype)
        self._compressed = compressed

    def _read(self) -> Columns:
        with numpy("NpzSaver").load(self.path) as arrays:
            return dict(arrays)

    def _check(self, form: Form, found: Columns) -> None:
        check_alike(form, found, grows="fUS")

    def _merge(self, path: Path, kwargs: Mapping[str, Any]) -> None:
        np = numpy("NpzSaver")
        if unknown := kwargs.keys() - {"dtype", "compressed"}:
            raise TypeError(f"a .npz file knows dtype and compressed, but no {', '.join(map(repr, sorted(unknown)))}")
        every = [*([self._read()] if self.path.exists() else []), *self._columns()]
        joined = {name: np.concatenate([each[name] for each in every]) for name in every[0]}
        write = np.savez_compressed if kwargs.get("compressed", self._compressed) else np.savez
        with path.open("wb") as file:  # given a name, NumPy would add a suffix
            write(file, **joined)

    def _count(self) -> int:
        if not self.path.exists():
            return 0
        return min((len(each) for each in self._read().values()), default=0)

