"""Results as the rows of one array in a .npy file, which grows in place.

The header says how many rows there are, and leaves room for that number to grow; whatever lies behind the last row is
not looked at. So rows are written first, and then they are made part of the array by writing the header, which is too
small to be torn by a death.
"""
from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

from taskproc.batch.savers.arrays import PLAIN, array, check_alike, numpy, read_rows, row_forms
from taskproc.batch.savers.file_saver import FileSaver, Saved, append, is_longer, replace_file, truncate


class NpySaver(FileSaver):
    """`np.load(path)` has a row for each result: numbers, or arrays of one shape.

    The first results decide on shape and type, or `dtype`, here or as an argument of `save`.
    """

    def __init__(self, path: str | os.PathLike[str], dtype: Any = None):
        numpy("NpySaver")
        super().__init__(path)
        self._dtype = dtype

    def load(self) -> Iterator[list[Any]]:
        """See FileSaver."""
        if self.saved().results:
            yield from read_rows({PLAIN: numpy("NpySaver").load(self.path, mmap_mode="r")}, named=False)

    def _mend(self, saved: Saved) -> None:
        if not saved.results:
            self.path.unlink()
            return
        if is_longer(self.path, self._more["size"]):
            # The header first: at no moment it tells of rows that are not there
            old = self._array()
            self._write_header(_header(old.dtype, (saved.results, *old.shape[1:])))
            truncate(self.path, self._more["size"])

    def _array(self) -> Any:
        return numpy("NpySaver").load(self.path, mmap_mode="r")

    def _append(self, rows: list[Any], before: Saved, after: Saved, kwargs: dict[str, Any]) -> None:
        dtype = kwargs.pop("dtype", self._dtype)
        if kwargs:
            raise TypeError(f"a .npy file knows dtype, but no {', '.join(map(repr, kwargs))}")
        if not before.results:
            new = array(rows, dtype)
            content = _header(new.dtype, new.shape) + new.tobytes()
            self._note(before, size=0)
            replace_file(self.path, lambda path: path.write_bytes(content))
            self._note(after, size=len(content))
            return
        old = self._array()
        new = array(rows, dtype)
        check_alike(row_forms({PLAIN: old}), {PLAIN: new})
        size = append(self.path, self._more["size"], new.astype(old.dtype).tobytes())
        self._write_header(_header(old.dtype, (after.results, *old.shape[1:])))
        self._note(after, size=size)

    def _write_header(self, header: bytes) -> None:
        handle = os.open(self.path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
        try:
            os.write(handle, header)
            os.fsync(handle)
        finally:
            os.close(handle)


def _header(dtype: Any, shape: tuple[int, ...]) -> bytes:
    """The head of the file; as long for any number of rows, since NumPy leaves room for it."""
    form = numpy("NpySaver").lib.format
    target = io.BytesIO()
    said = {"descr": form.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    form.write_array_header_1_0(target, said)
    return target.getvalue()
