"""What saves results, and what one that goes on after an interruption has beside them: a note of how far it has come.

The note is a small JSON file beside the results. Results are added first, then the note is replaced, at once and as a
whole (rename). So what the note tells is on the disk; what lies beyond it was on its way when a process died, and is
taken away by the next one. The results can be read at each moment.
"""
from __future__ import annotations

import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from taskproc.errors import SaveError
from taskproc.frozen import frozen, replace

ROWS = 1000  # results that are read back at once


@frozen
class Saved:
    """How far a batch has come.

    Attributes:
        items: of the input, all of whose results are saved.
        extra: results that are saved of the chunk that follows these.
        results: that are saved in all.
        chunk_size: of the batch; 0 if results were saved without one.
    """

    items: int = 0
    extra: int = 0
    results: int = 0
    chunk_size: int = 0


class Saver(ABC):
    """Has a method `save`; any object that has one will do."""

    @abstractmethod
    def save(self, data: Sequence[Any], **save_kwargs: Any) -> None:
        """Save these results, which follow those saved before."""


class FileSaver(Saver):
    """Appends to a file, and knows how far it has come. One process at a time may write there.

    Results are saved for good when `save` returns: they have been handed to the disk (fsync). In a batch some kinds
    keep the last ones in a journal beside the file until there are as many as in the file itself, or the batch ends.

    Attributes:
        path: the file (or folder).
        progress: how far in the input the next results go; set by the manager.
        in_batch: whether more will follow soon, and `finish` will be called.
        used: whether this object has saved something.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise SaveError(f"cannot save to {str(path)!r}: there is no folder {str(self.path.parent)!r}")
        self.progress: Saved | None = None
        self.in_batch = self.used = False
        self._saved: Saved | None = None
        self._noted: dict[str, Any] | None = None  # the note as it stands there
        self._more: dict[str, Any] = {}            # what is in it besides `_saved`

    def save(self, data: Sequence[Any], **save_kwargs: Any) -> None:
        """Append them. `append` is passed over: it tells a manager that results may be there already."""
        save_kwargs.pop("append", None)
        rows = list(data)
        if not rows:
            return
        before = self.saved()
        far = self.progress or replace(before, items=before.items + len(rows), extra=0)
        after = replace(far, results=before.results + len(rows))
        if _read_note(self.note_path) != self._noted:
            raise SaveError(f"somebody else writes to {str(self.path)!r}. Give each batch a file of its own")
        with self._careful():
            self._append(rows, before, after, save_kwargs)
        self._saved, self.progress, self.used = after, None, True

    def saved(self) -> Saved:
        """How far it has come. Takes away what a process that died has left half done.

        Raises SaveError if something is there that this saver has not written.
        """
        if self._saved is None:
            self._saved = self._looked()
        return self._saved

    @abstractmethod
    def load(self) -> Iterator[list[Any]]:
        """The saved results in their order, some at a time. Types are those of the format."""

    def finish(self) -> None:
        """Bring all that is saved into the file itself."""

    @contextmanager
    def _careful(self) -> Iterator[None]:
        """If the block fails, what is there is looked at anew."""
        try:
            yield
        except BaseException:
            self._saved = None
            raise

    def _looked(self) -> Saved:
        self._noted = noted = _read_note(self.note_path)
        for path in (self.path, self.note_path):
            remove(next_path(path))
        if not self._is_there(noted or {}):
            self._forget()
            return Saved()
        if noted is None:
            raise SaveError(
                f"{str(self.path)!r} is there already, and nothing tells how it was made ({self.note_path.name} is "
                "missing). Remove it, or save elsewhere"
            )
        self._more = {name: value for name, value in noted.items() if name not in Saved.__match_args__}
        saved = Saved(**{name: int(noted.get(name, 0)) for name in Saved.__match_args__})
        self._mend(saved)
        return saved

    @property
    def note_path(self) -> Path:
        """Where it stands how far it has come."""
        return self.path.with_name(f"{self.path.name}.saved")

    def _note(self, saved: Saved, **more: Any) -> None:
        self._more.update(more)
        content = {name: getattr(saved, name) for name in Saved.__match_args__} | self._more
        replace_file(self.note_path, lambda path: path.write_text(json.dumps(content), "utf-8"))
        self._noted = content

    def _is_there(self, noted: Mapping[str, Any]) -> bool:
        """Whether there are results, of whomever."""
        return self.path.exists()

    def _forget(self) -> None:
        """The results were removed: what lies beside them counts for nothing."""
        self.note_path.unlink(missing_ok=True)
        self._noted, self._more = None, {}

    @abstractmethod
    def _mend(self, saved: Saved) -> None:
        """Take away what goes beyond `saved`."""

    @abstractmethod
    def _append(self, rows: list[Any], before: Saved, after: Saved, kwargs: dict[str, Any]) -> None:
        """Append rows, and note `after`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"


def extra(module: str, name: str, what: str) -> Any:
    """A module that is not installed with taskproc. Raises ImportError with the extra to install."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"{what} needs {package}, which is not installed: pip install 'taskproc[{name}]'") from error


def append(path: Path, size: int, content: bytes) -> int:
    """Write `content` behind the first `size` bytes, onto the disk; the new size. Whoever else writes is refused."""
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    try:
        found = os.lseek(handle, 0, os.SEEK_END)
        if found != size:
            raise SaveError(f"somebody else writes to {str(path)!r}: it has {found} bytes, not {size}")
        left = memoryview(content)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    return size + len(content)


def truncate(path: Path, size: int) -> None:
    """Let go of all beyond the first `size` bytes. Raises SaveError if there are fewer."""
    if is_longer(path, size):
        os.truncate(path, size)


def is_longer(path: Path, size: int) -> bool:
    """Whether there are more bytes than `size`. Raises SaveError if there are fewer."""
    found = path.stat().st_size
    if found < size:
        raise SaveError(f"{str(path)!r} has {found} bytes, {size} were saved: it was changed. Remove it to begin anew")
    return found > size


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Put in the place of `path` what `write` writes to the path that it is given: at once, as a whole, on the disk."""
    other = next_path(path)
    write(other)
    sync(other)
    os.replace(other, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if os.name != "posix" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if os.name != "posix" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def next_path(path: Path) -> Path:
    """Where that is made which is to take the place of `path`."""
    return path.with_name(f".{path.name}.next")


def remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read_note(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SaveError(f"{str(path)!r} cannot be read ({error}). Remove it and the results to begin anew") from error
    if not isinstance(content, dict):
        raise SaveError(f"{str(path)!r} is no note of a saver. Remove it and the results to begin anew")
    return content
