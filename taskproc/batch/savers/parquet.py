"""Results as the rows of a Parquet file."""
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from taskproc.batch.savers.file_saver import ROWS, extra
from taskproc.batch.savers.journaled import JournaledSaver

COLUMN = "result"  # of results that are no dicts


class ParquetSaver(JournaledSaver):
    """One row for each result: the columns of a dict, or one called `result`.

    The first results decide on the types of the columns, or `schema`, a `pyarrow.Schema`. `save` takes what
    `pyarrow.parquet.ParquetWriter` takes, such as `compression`.
    """

    def __init__(self, path: str | os.PathLike[str], schema: Any = None):
        self._arrow = extra("pyarrow", "parquet", "ParquetSaver")
        self._parquet = extra("pyarrow.parquet", "parquet", "ParquetSaver")
        super().__init__(path)
        self._schema = schema

    def load(self) -> Iterator[list[Any]]:
        """See FileSaver."""
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
        """With the schema, if there is one. Not Table.from_pylist, which leaves out columns, and parts of numbers."""
        schema = self._schema_there()
        names = list({name: None for row in rows for name in row}) if schema is None else schema.names
        for row in rows:
            if others := [name for name in row if name not in names]:
                raise ValueError(f"results have had the columns {names!r}, now comes {others!r}. Give schema=…")
        table = self._arrow.table({name: self._arrow.array([row.get(name) for row in rows]) for name in names})
        return table if schema is None else table.cast(schema)

    def _schema_there(self) -> Any:
        """The schema of what is there; else that which was given, if any."""
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

