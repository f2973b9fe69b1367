"""Results as the rows of a Zarr array, which grows in its folder.

The shape stands in one small file, zarr.json. Rows are written through a second such file, with the larger shape, in a
folder that shares the chunks by a link; then that file takes the place of the first. So nobody sees rows that are not
there yet. Zarr itself replaces each chunk file as a whole.
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
    """`zarr.open_array(path)` has a row for each result: numbers, or arrays of one shape.

    Needs Zarr 3 (Python 3.11), a folder of this machine's, and its format 3. `save` takes `dtype` and what
    `zarr.create_array` takes, such as `compressors`; that counts with the first results. A chunk has as many rows as
    those, unless `chunks` says otherwise.
    """

    def __init__(self, path: str | os.PathLike[str], dtype: Any = None):
        self._zarr = extra("zarr", "zarr", "ZarrSaver")
        if not hasattr(self._zarr, "create_array"):
            raise ImportError(f"ZarrSaver needs zarr 3, which needs Python 3.11; this is zarr {self._zarr.__version__}")
        numpy("ZarrSaver")
        super().__init__(path)
        self._dtype = dtype

    def load(self) -> Iterator[list[Any]]:
        """See FileSaver."""
        count = self.saved().results
        if count:
            found = self._zarr.open_array(self.path, mode="r")
            step = found.chunks[0] * max(1, ROWS // found.chunks[0])
            for first in range(0, count, step):
                yield from read_rows({PLAIN: found[first : min(count, first + step)]}, named=False)

    def _mend(self, saved: Saved) -> None:
        if not saved.results:
            shutil.rmtree(self.path)
            return
        if self._shape()[0] < saved.results:
            text = f"{str(self.path)!r} has {self._shape()[0]} results, but {saved.results} were saved: it was changed"
            raise SaveError(f"{text}. Remove it to begin anew")
        if self._shape()[0] > saved.results:
            replace_file(self.path / _META, lambda path: path.write_text(self._meta(saved.results), "utf-8"))

    def _shape(self) -> list[int]:
        shape: list[int] = json.loads((self.path / _META).read_text("utf-8"))["shape"]
        return shape

    def _meta(self, count: int) -> str:
        """The file of the shape, for so many rows."""
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
        place = self._empty_beside()
        chunks = kwargs.pop("chunks", new.shape)
        made = self._zarr.create_array(place, shape=new.shape, dtype=new.dtype, chunks=chunks, zarr_format=3, **kwargs)
        made[:] = new
        (place / _CHUNKS).mkdir(exist_ok=True)  # all fill values are no chunks
        for path in (*place.rglob("*"), place):
            sync(path)
        os.rename(place, self.path)
        sync(self.path.parent)

    def _extend(self, new: Any, first: int, count: int, step: int) -> None:
        place = self._empty_beside()
        place.mkdir()
        os.symlink((self.path / _CHUNKS).absolute(), place / _CHUNKS)
        (place / _META).write_text(self._meta(count), "utf-8")
        self._zarr.open_array(place, mode="r+")[first:count] = new
        for number in range(first // step, (count - 1) // step + 1):
            for path in (self.path / _CHUNKS / str(number)).rglob("*"):
                sync(path)
            if (self.path / _CHUNKS / str(number)).exists():
                sync(self.path / _CHUNKS / str(number))
        sync(place / _META)
        os.replace(place / _META, self.path / _META)
        sync(self.path)
        shutil.rmtree(place)

    def _empty_beside(self) -> Path:
        """A place for what is not there yet. Of what a failure has left there nothing is needed."""
        place = next_path(self.path)
        remove(place)
        return place
