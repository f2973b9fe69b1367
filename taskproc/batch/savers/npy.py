"""NpySaver: results as the rows of one array in a .npy file, which grows in place.

The header has the number of rows, with room for more digits, and readers ignore what lies after the last row. So rows
are written first, and become part of the array when the header is written, which is too small to be torn by a death.
"""
from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

from taskproc.batch.savers.arrays import PLAIN, array, check_alike, numpy, read_rows, row_forms
from taskproc.batch.savers.file_saver import FileSaver, Saved, append, is_longer, replace_file, truncate


class NpySaver(FileSaver):
    """Saves numbers, texts or arrays of one shape as one array in a .npy file, which grows in place.

    `np.load(path)` is an array of shape `(n_results, *result.shape)`, with one row per result in the order of the
    items. Its dtype is that of the results that are saved first; later results must fit it without loss.

    Args:
        dtype: the dtype of the array instead; also an argument of `save`.
    """

    def __init__(self, path: str | os.PathLike[str], dtype: Any = None):
        numpy("NpySaver")
        super().__init__(path)
        self._dtype = dtype

    def load(self) -> Iterator[list[Any]]:
        """See FileSaver. A result is a Python scalar, or an array of shape `result.shape`."""
        if self.saved().results:
            yield from read_rows({PLAIN: numpy("NpySaver").load(self.path, mmap_mode="r")}, named=False)

    def _mend(self, saved: Saved) -> None:
        if not saved.results:
            self.path.unlink()
            return
        if is_longer(self.path, self._more["size"]):
            # The header first: it must never count rows that are gone
            old = self._array()
            self._write_header(_header(old.dtype, (saved.results, *old.shape[1:])))
            truncate(self.path, self._more["size"])

    def _array(self) -> Any:
        return numpy("NpySaver").load(self.path, mmap_mode="r")

    def _append(self, rows: list[Any], before: Saved, after: Saved, kwargs: dict[str, Any]) -> None:
        dtype = kwargs.pop("dtype", self._dtype)
        if kwargs:
            raise TypeError(f"NpySaver takes dtype, not {', '.join(map(repr, kwargs))}")
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
    """The header of the file. It has the same length for any number of rows, because NumPy leaves room for that."""
    form = numpy("NpySaver").lib.format
    target = io.BytesIO()
    fields = {"descr": form.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    form.write_array_header_1_0(target, fields)
    return target.getvalue()
