"""HDF5Saver: results as a dataset of an HDF5 file."""
from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from taskproc.batch.savers.arrays import PLAIN, Form, check_alike
from taskproc.batch.savers.file_saver import extra
from taskproc.batch.savers.npz import Columns, ColumnsSaver


class HDF5Saver(ColumnsSaver):
    """Saves numbers, texts or arrays of one shape, or dicts of these, in an HDF5 file.

    The dataset has the shape `(n_results, *result.shape)`, with one row per result in the order of the items, and the
    dtype of the results that are saved first; texts have any length. Dicts become one such dataset per key, in a group.
    `save` also takes options of `create_dataset` of h5py, such as `compression`; those of the first call are used.
    Other datasets in the file stay, but are copied each time that the file is replaced.

    Args:
        dataset_name: the name of the dataset or group.
        dtype: the dtype of the datasets instead; also an argument of `save`.

    Raises:
        ValueError: `dataset_name` is empty.
    """

    def __init__(self, path: str | os.PathLike[str], dataset_name: str = PLAIN, dtype: Any = None):
        self._h5py = extra("h5py", "hdf5", "HDF5Saver")
        super().__init__(path, dtype)
        if not dataset_name.strip("/"):
            raise ValueError(f"dataset_name must be the name of a dataset, got {dataset_name!r}")
        self.dataset_name = dataset_name.strip("/")

    @property
    def note_path(self) -> Path:
        """The note next to the results; one per dataset."""
        return self.path.with_name(f"{self.path.name}.{self.dataset_name.replace('/', '.')}.saved")

    def _check(self, form: Form, new: Columns) -> None:
        check_alike(form, new, grows="U")  # texts have any length there

    @property
    def _title(self) -> str:
        return f"dataset {self.dataset_name!r} of {str(self.path)!r}"

    def _read(self) -> Columns:
        with self._h5py.File(self.path, "r") as file:
            return {name: dataset[:] for name, dataset in self._datasets(file)}

    def _datasets(self, file: Any) -> Iterator[tuple[str, Any]]:
        """The datasets of the results, by name."""
        node = file.get(self.dataset_name)
        if isinstance(node, self._h5py.Group):
            yield from node.items()
        elif node is not None:
            yield PLAIN, node

    def _merge(self, path: Path, kwargs: Mapping[str, Any]) -> None:
        path.unlink(missing_ok=True)
        if self.path.exists():
            shutil.copyfile(self.path, path)
        options = {"chunks": True, **{name: value for name, value in kwargs.items() if name != "dtype"}}
        prefix = f"{self.dataset_name}/" if self._more["named"] else ""
        with self._h5py.File(path, "a") as file:
            for columns in self._columns():
                for name, rows in columns.items():
                    self._extend(file, prefix + name if prefix else self.dataset_name, rows, options)

    def _extend(self, file: Any, name: str, rows: Any, options: Mapping[str, Any]) -> None:
        dtype = self._h5py.string_dtype() if rows.dtype.kind == "U" else rows.dtype
        rows = rows.astype(object) if rows.dtype.kind == "U" else rows
        if name not in file:
            file.create_dataset(name, data=rows, dtype=dtype, maxshape=(None, *rows.shape[1:]), **options)
            return
        dataset = file[name]
        count = len(dataset)
        dataset.resize(count + len(rows), axis=0)
        dataset[count:] = rows

    def _count(self) -> int:
        if not self.path.exists():
            return 0
        with self._h5py.File(self.path, "r") as file:
            return min((len(dataset) for _, dataset in self._datasets(file)), default=0)
