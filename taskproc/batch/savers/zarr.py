"""ZarrSaver: results as the rows of a Zarr array, which grows in its folder.

The shape is in one small file, zarr.json. Rows are written through a second such file with the larger shape, in a
folder that shares the chunks by a link; then that file replaces the first. So readers never see missing rows. Zarr
itself replaces each chunk file as a whole.
"""
from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from taskproc.batch.savers.arrays import PLAIN, array, check_alike, numpy, read_rows, row_forms
from taskproc.batch.savers.file_saver import ROWS, FileSaver, Saved, extra, next_path, remove, replace_file, sync
from taskproc.errors import SaveError

_META = "zarr.json"
_CHUNKS = "c"


class ZarrSaver(FileSaver):
    """Saves numbers or arrays of one shape as a Zarr array (format 3), which grows in its folder.

    `zarr.open_array(path)` has the shape `(n_results, *result.shape)`, with one row per result in the order of the
    items, and the dtype of the results that are saved first; later results must fit it without loss. `save` also takes
    options of `zarr.create_array`, such as `compressors`; those of the first call are used. A chunk has as many rows as
    the first call, unless `chunks` is passed. Needs Zarr 3 (Python 3.11) and a folder on this machine.

    Args:
        path: the folder of the array.
        dtype: the dtype of the array instead; also an argument of `save`.
    """

    def __init__(self, path: str | os.PathLike[str], dtype: Any = None):
        self._zarr = extra("zarr", "zarr", "ZarrSaver")
        if not hasattr(self._zarr, "create_array"):
            raise ImportError(f"ZarrSaver needs zarr 3, which needs Python 3.11; this is zarr {self._zarr.__version__}")
        numpy("ZarrSaver")
        super().__init__(path)
        self._dtype = dtype

    def load(self) -> Iterator[list[Any]]:
        """See FileSaver. A result is a Python scalar, or an array of shape `result.shape`."""
        count = self.saved().results
        if count:
            rows = self._zarr.open_array(self.path, mode="r")
            step = rows.chunks[0] * max(1, ROWS // rows.chunks[0])
            for first in range(0, count, step):
                yield from read_rows({PLAIN: rows[first : min(count, first + step)]}, named=False)

    def _mend(self, saved: Saved) -> None:
        if not saved.results:
            shutil.rmtree(self.path)
            return
        if self._shape()[0] < saved.results:
            text = f"{str(self.path)!r} has {self._shape()[0]} results, but {saved.results} were saved: it was changed"
            raise SaveError(f"{text}. Remove it to start again")
        if self._shape()[0] > saved.results:
            replace_file(self.path / _META, lambda path: path.write_text(self._meta(saved.results), "utf-8"))

    def _shape(self) -> list[int]:
        shape: list[int] = json.loads((self.path / _META).read_text("utf-8"))["shape"]
        return shape

    def _meta(self, count: int) -> str:
        """The contents of zarr.json for `count` rows."""
        meta = json.loads((self.path / _META).read_text("utf-8"))
        meta["shape"][0] = count
        return json.dumps(meta, indent=2)

    def _append(self, rows: list[Any], before: Saved, after: Saved, kwargs: dict[str, Any]) -> None:
        new = array(rows, kwargs.pop("dtype", self._dtype))
        if before.results:
            old = self._zarr.open_array(self.path, mode="r")
            check_alike(row_forms({PLAIN: old}), {PLAIN: new})
            self._extend(new, before.results, after.results, old.chunks[0])
        else:
            self._note(before)
            self._create(new, kwargs)
        self._note(after)

    def _create(self, new: Any, kwargs: dict[str, Any]) -> None:
        new_folder = self._next_folder()
        chunks = kwargs.pop("chunks", new.shape)
        create = self._zarr.create_array
        create(new_folder, shape=new.shape, dtype=new.dtype, chunks=chunks, zarr_format=3, **kwargs)[:] = new
        (new_folder / _CHUNKS).mkdir(exist_ok=True)  # missing if all values are fill values
        for path in (*new_folder.rglob("*"), new_folder):
            sync(path)
        os.rename(new_folder, self.path)
        sync(self.path.parent)

    def _extend(self, new: Any, first: int, count: int, step: int) -> None:
        new_folder = self._next_folder()
        new_folder.mkdir()
        os.symlink((self.path / _CHUNKS).absolute(), new_folder / _CHUNKS)
        (new_folder / _META).write_text(self._meta(count), "utf-8")
        self._zarr.open_array(new_folder, mode="r+")[first:count] = new
        for number in range(first // step, (count - 1) // step + 1):
            for path in (self.path / _CHUNKS / str(number)).rglob("*"):
                sync(path)
            if (self.path / _CHUNKS / str(number)).exists():
                sync(self.path / _CHUNKS / str(number))
        sync(new_folder / _META)
        os.replace(new_folder / _META, self.path / _META)
        sync(self.path)
        shutil.rmtree(new_folder)

    def _next_folder(self) -> Path:
        """The path of a new folder, next to the array. What a failure has left there is removed."""
        folder = next_path(self.path)
        remove(folder)
        return folder
