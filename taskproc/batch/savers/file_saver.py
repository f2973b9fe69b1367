"""Saver and FileSaver. A FileSaver can resume after an interruption, because a note next to the results says how far.

The note is a small JSON file. Results are added first, then the note is replaced atomically (rename). So all that the
note says is on the disk; results beyond it were being written when a process died, and the next process removes them.
The results can be read at any moment.
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

ROWS = 1000  # results that are loaded together


@frozen
class Saved:
    """How far a batch has come.

    Attributes:
        items: how many items of the input have all their results saved.
        extra: how many results of the chunk after these items are saved.
        results: how many results are saved in all.
        chunk_size: of the batch; 0 if the results were saved without one.
    """

    items: int = 0
    extra: int = 0
    results: int = 0
    chunk_size: int = 0


class Saver(ABC):
    """Saves the results of a batch. Any object with a method `save` is accepted as well."""

    @abstractmethod
    def save(self, data: Sequence[Any], **save_kwargs: Any) -> None:
        """Save these results, which follow those saved before.

        Args:
            data: results in the order of the items.
            save_kwargs: those of the task manager.
        """


class FileSaver(Saver):
    """Appends results to a file, and records how far the batch has come. Only one process at a time may write there.

    When `save` returns, the results are on the disk (fsync). During a batch, some formats store the last results in a
    journal next to the file, until these are as many as in the file itself, or the batch ends.

    Args:
        path: the file (or folder). The folder that contains it must exist.

    Attributes:
        path: the same, as a Path.
        progress: how far in the input the next results go; set by the manager.
        in_batch: whether more results will follow soon, and `finish` will be called.
        used: whether this object has saved results.

    Raises:
        SaveError: there is no such folder.
        ImportError: the format needs a package that is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise SaveError(f"cannot save to {str(path)!r}: there is no folder {str(self.path.parent)!r}")
        self.progress: Saved | None = None
        self.in_batch = self.used = False
        self._saved: Saved | None = None
        self._noted: dict[str, Any] | None = None  # the note as this object wrote or read it
        self._more: dict[str, Any] = {}            # entries of the note besides `_saved`

    def save(self, data: Sequence[Any], **save_kwargs: Any) -> None:
        """Append results.

        Args:
            data: results in the order of the items; nothing happens if there are none.
            save_kwargs: options of the format. `append` is ignored: it is for the manager.

        Raises:
            SaveError: the file was changed by another program.
            ValueError: the results do not fit the format, or those that were saved before.
            TypeError: the format has no such option.
        """
        save_kwargs.pop("append", None)
        rows = list(data)
        if not rows:
            return
        before = self.saved()
        far = self.progress or replace(before, items=before.items + len(rows), extra=0)
        after = replace(far, results=before.results + len(rows))
        if _read_note(self.note_path) != self._noted:
            raise SaveError(f"another saver writes to {str(self.path)!r}. Give each batch a file of its own")
        with self._careful():
            self._append(rows, before, after, save_kwargs)
        self._saved, self.progress, self.used = after, None, True

    def saved(self) -> Saved:
        """How far the batch has come. Removes what a process that died has left half written.

        Raises:
            SaveError: the file was not written by this saver, or was changed since.
        """
        if self._saved is None:
            self._saved = self._inspected()
        return self._saved

    @abstractmethod
    def load(self) -> Iterator[list[Any]]:
        """Yield the saved results in lists of at most 1,000, in their order. Types are those of the format."""

    def finish(self) -> None:
        """Write all saved results into the file itself."""

    @contextmanager
    def _careful(self) -> Iterator[None]:
        """If the block fails, inspect the file again before the next use."""
        try:
            yield
        except BaseException:
            self._saved = None
            raise

    def _inspected(self) -> Saved:
        self._noted = noted = _read_note(self.note_path)
        for path in (self.path, self.note_path):
            remove(next_path(path))
        if not self._is_there(noted or {}):
            self._forget()
            return Saved()
        if noted is None:
            raise SaveError(
                f"{str(self.path)!r} already exists, and its progress is unknown ({self.note_path.name} is missing). "
                "Remove it, or save elsewhere"
            )
        self._more = {name: value for name, value in noted.items() if name not in Saved.__match_args__}
        saved = Saved(**{name: int(noted.get(name, 0)) for name in Saved.__match_args__})
        self._mend(saved)
        return saved

    @property
    def note_path(self) -> Path:
        """The note next to the results."""
        return self.path.with_name(f"{self.path.name}.saved")

    def _note(self, saved: Saved, **more: Any) -> None:
        self._more.update(more)
        content = {name: getattr(saved, name) for name in Saved.__match_args__} | self._more
        replace_file(self.note_path, lambda path: path.write_text(json.dumps(content), "utf-8"))
        self._noted = content

    def _is_there(self, noted: Mapping[str, Any]) -> bool:
        """Whether there are results, of this saver or another program."""
        return self.path.exists()

    def _forget(self) -> None:
        """The results were removed: discard what lies next to them."""
        self.note_path.unlink(missing_ok=True)
        self._noted, self._more = None, {}

    @abstractmethod
    def _mend(self, saved: Saved) -> None:
        """Remove results beyond `saved`."""

    @abstractmethod
    def _append(self, rows: list[Any], before: Saved, after: Saved, kwargs: dict[str, Any]) -> None:
        """Append rows, and write `after` into the note."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"


def extra(module: str, name: str, what: str) -> Any:
    """A module of an optional package. Raises ImportError with the extra to install; `what` needs it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"{what} needs {package}, which is not installed: pip install 'taskproc[{name}]'") from error


def append(path: Path, size: int, content: bytes) -> int:
    """Append `content` to a file of `size` bytes, wait until it is on the disk, and return the new size.

    Raises SaveError if the file has another size.
    """
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    try:
        actual = os.lseek(handle, 0, os.SEEK_END)
        if actual != size:
            raise SaveError(f"another program writes to {str(path)!r}: it has {actual} bytes, not {size}")
        left = memoryview(content)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    return size + len(content)


def truncate(path: Path, size: int) -> None:
    """Cut a file to its first `size` bytes. Raises SaveError if it is shorter."""
    if is_longer(path, size):
        os.truncate(path, size)


def is_longer(path: Path, size: int) -> bool:
    """Whether a file has more than `size` bytes. Raises SaveError if it has fewer."""
    actual = path.stat().st_size
    if actual < size:
        text = f"{str(path)!r} has {actual} bytes, {size} were saved: it was changed"
        raise SaveError(f"{text}. Remove it to start again")
    return actual > size


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Replace `path` atomically by what `write` writes to the path that it receives; it is on the disk then."""
    new = next_path(path)
    write(new)
    sync(new)
    os.replace(new, path)
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
    """Where the file is written that will replace `path`."""
    return path.with_name(f".{path.name}.next")


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
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
        raise SaveError(f"{str(path)!r} cannot be read ({error}). Remove it and the results to start again") from error
    if not isinstance(content, dict):
        raise SaveError(f"{str(path)!r} is not the note of a saver. Remove it and the results to start again")
    return content
