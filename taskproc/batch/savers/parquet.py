"""ParquetSaver: results as the rows of a Parquet file."""
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from taskproc.batch.savers.file_saver import ROWS, extra
from taskproc.batch.savers.journaled import JournaledSaver

COLUMN = "result"  # the column of results that are not dicts


class ParquetSaver(JournaledSaver):
    """Saves each result as a row of a Parquet file, in the order of the items.

    Dicts have one column per key, other results a single column `result`. The types of the columns are those of the
    results that are saved first. `save` takes options of `pyarrow.parquet.ParquetWriter`, such as `compression`.

    Args:
        schema: a `pyarrow.Schema` with the types of the columns instead.
    """

    def __init__(self, path: str | os.PathLike[str], schema: Any = None):
        self._arrow = extra("pyarrow", "parquet", "ParquetSaver")
        self._parquet = extra("pyarrow.parquet", "parquet", "ParquetSaver")
        super().__init__(path)
        self._schema = schema

    def load(self) -> Iterator[list[Any]]:
        """See FileSaver. A result is a Python object, or a dict of these."""
        self.finish()
        if not self.saved().results:
            return
        with self._parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(ROWS):
                rows = batch.to_pylist()
                yield rows if self._more["named"] else [row[COLUMN] for row in rows]

    def _pack(self, rows: list[Any], kwargs: dict[str, Any]) -> bytes:
        named = isinstance(rows[0], Mapping)
        before = self._more.get("named", named)
        if before != named or any(isinstance(row, Mapping) != named for row in rows):
            raise ValueError("results must be alike: some are dicts, others are not")
        table = self._table(rows if named else [{COLUMN: row} for row in rows])
        self._schema, self._more["named"] = table.schema, named
        sink = self._arrow.BufferOutputStream()
        with self._arrow.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        content: bytes = sink.getvalue().to_pybytes()
        return content

    def _table(self, rows: list[Mapping[str, Any]]) -> Any:
        """Rows as a table, with the schema if there is one. Not Table.from_pylist, which drops columns and digits."""
        schema = self._known_schema()
        names = list({name: None for row in rows for name in row}) if schema is None else schema.names
        for row in rows:
            if others := [name for name in row if name not in names]:
                raise ValueError(f"results had the columns {names!r}, the next ones have {others!r}. Pass schema=…")
        table = self._arrow.table({name: self._arrow.array([row.get(name) for row in rows]) for name in names})
        return table if schema is None else table.cast(schema)

    def _known_schema(self) -> Any:
        """The schema of the saved results, else the one that was passed, if any."""
        if self._schema is None and self._count():
            self._schema = self._parquet.read_schema(self.path)
        elif self._schema is None and self._more.get("size"):
            self._schema = next(self._tables()).schema
        return self._schema

    def _tables(self) -> Iterator[Any]:
        for part in self._parts():
            with self._arrow.ipc.open_stream(part) as stream:
                yield stream.read_all()

    def _merge(self, path: Path, kwargs: Mapping[str, Any]) -> None:
        new = self._arrow.concat_tables(list(self._tables()))
        with self._parquet.ParquetWriter(path, new.schema, **kwargs) as writer:
            if self.path.exists():
                with self._parquet.ParquetFile(self.path) as old:
                    for group in range(old.num_row_groups):
                        writer.write_table(old.read_row_group(group).cast(new.schema))
            writer.write_table(new)

    def _count(self) -> int:
        if not self.path.exists():
            return 0
        count: int = self._parquet.read_metadata(self.path).num_rows
        return count

