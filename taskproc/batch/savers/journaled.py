"""JournaledSaver, for formats that could not be read for a moment while they are appended to: the file is replaced.

So that the cost does not grow with the square of all results, results are appended to a journal first, and go into the
file when the journal has as many as the file: each result is written about twice. The new file replaces the old one as
a whole. The note says what the journal has, and how much of it is already in the file.
"""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from taskproc.batch.savers.file_saver import FileSaver, Saved, append, replace_file, truncate
from taskproc.errors import SaveError

_HEAD = 8  # bytes for the length of a part


class JournaledSaver(FileSaver):
    """See the module. A part of the journal has the results of one `save`, as bytes."""

    def finish(self) -> None:
        """Write the results in the journal into the file."""
        saved = self.saved()
        if not self._more.get("size"):
            return
        kwargs = self._kwargs
        with self._careful():
            replace_file(self.path, lambda path: self._merge(path, kwargs))
            self._note(saved, size=0, base=saved.results)
            self._journal.unlink(missing_ok=True)

    _kwargs: Mapping[str, Any] = MappingProxyType({})  # of the last save

    @abstractmethod
    def _pack(self, rows: list[Any], kwargs: dict[str, Any]) -> bytes:
        """Rows as the bytes of a part."""

    @abstractmethod
    def _merge(self, path: Path, kwargs: Mapping[str, Any]) -> None:
        """Write to `path` the contents of the file, and then the parts of the journal."""

    @abstractmethod
    def _count(self) -> int:
        """How many results are in the file."""

    @property
    def _journal(self) -> Path:
        return self.path.with_name(f"{self.note_path.name.removesuffix('.saved')}.journal")

    def _is_there(self, noted: Mapping[str, Any]) -> bool:
        return self._count() > 0  # a journal counts only once the first results are in the file

    def _forget(self) -> None:
        super()._forget()
        self._journal.unlink(missing_ok=True)

    def _mend(self, saved: Saved) -> None:
        count, base = self._count(), self._more["base"]
        if count == saved.results:
            self._more.update(size=0, base=count)  # a process died after it had replaced the file
            self._journal.unlink(missing_ok=True)
        elif count != base:
            text = f"{self._title} has {count} results, but {base} or {saved.results} were saved: it was changed"
            raise SaveError(f"{text}. Remove it to start again")
        else:
            truncate(self._journal, self._more["size"])

    @property
    def _title(self) -> str:
        return repr(str(self.path))

    def _append(self, rows: list[Any], before: Saved, after: Saved, kwargs: dict[str, Any]) -> None:
        content = self._pack(rows, kwargs)
        content = len(content).to_bytes(_HEAD, "little") + content
        base = self._more.get("base", 0)
        if not self._more.get("size"):
            if not before.results:
                self._note(before, size=0, base=0)
            self._journal.write_bytes(b"")
            self._more["size"] = 0
        size = append(self._journal, self._more["size"], content)
        self._note(after, size=size, base=base)
        self._saved, self._kwargs = after, kwargs
        if not self.in_batch or after.results - base >= base:
            self.finish()

    def _parts(self) -> Iterator[bytes]:
        """Yield the parts of the journal."""
        content = memoryview(self._journal.read_bytes())[: self._more["size"]]
        while content:
            length = int.from_bytes(content[:_HEAD], "little")
            yield bytes(content[_HEAD : _HEAD + length])
            content = content[_HEAD + length :]
