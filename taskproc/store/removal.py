"""Remove a folder with everything in it, by descriptor: a link never leads the removal elsewhere, whenever it appears.

The removal can be stopped after any file; the next one removes the rest. No folder is too deep: folders that are deeper
than descriptors reach are first moved up.
"""
from __future__ import annotations

import itertools
import os
from collections.abc import Callable

_DEEPEST = 32  # levels that are open at once
_AT_FIRST = 500  # names that are read at first; ten times as many each time after
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


class Removal:
    """Removes entries of the folder with the descriptor `top`; skips what cannot be removed.

    Args:
        goes_on: called after each file; once it returns False, nothing more is removed.
    """

    def __init__(self, top: int, goes_on: Callable[[], bool]):
        self._top, self._goes_on = top, goes_on
        self._stopped = False

    def remove(self, name: str) -> bool:
        """Remove a file, a link, or a folder with everything in it. Returns whether it is gone."""
        todo = [name]  # and folders that were moved up
        gone = True
        while todo and not self._stopped:
            gone = self._remove(todo.pop(), self._top, 0, todo) and gone
        return gone and not self._stopped

    def _remove(self, name: str, at: int, depth: int, moved_up: list[str]) -> bool:
        try:
            os.unlink(name, dir_fd=at)
        except FileNotFoundError:
            return True
        except OSError:
            return self._remove_folder(name, at, depth, moved_up)  # systems raise different errors for a folder
        self._stopped = not self._goes_on()
        return True

    def _remove_folder(self, name: str, at: int, depth: int, moved_up: list[str]) -> bool:
        try:
            folder = os.open(name, _FOLDER, dir_fd=at)
        except OSError:
            return False
        try:
            gone = self._empty(folder, depth, moved_up)
        except OSError:
            gone = False
        finally:
            close_descriptor(folder)
        try:
            if gone:
                os.rmdir(name, dir_fd=at)
        except OSError:
            return False
        return gone

    def _empty(self, folder: int, depth: int, moved_up: list[str]) -> bool:
        """Remove everything in an open folder; returns whether it is empty."""
        stays: set[str] = set()
        # A few at first: a caller with 0.1 s must not wait for a listing of 100,000 names
        most, are_more = _AT_FIRST, True
        while are_more and not self._stopped:
            with os.scandir(folder) as entries:
                batch = list(itertools.islice((entry for entry in entries if entry.name not in stays), most))
            # In the order of the disk, which is then read forwards
            for entry in sorted(batch, key=os.DirEntry.inode):
                is_folder = entry.is_dir(follow_symlinks=False)
                if not self._remove_inside(entry.name, is_folder, folder, depth + 1, moved_up):
                    stays.add(entry.name)
            are_more, most = len(batch) == most, most * 10
        return not stays and not self._stopped

    def _remove_inside(self, name: str, is_folder: bool, at: int, depth: int, moved_up: list[str]) -> bool:
        if self._stopped:
            return False
        if not is_folder:
            return self._remove(name, at, depth, moved_up)
        if depth < _DEEPEST:
            return self._remove_folder(name, at, depth, moved_up)
        new = os.urandom(16).hex()
        try:
            os.rename(name, new, src_dir_fd=at, dst_dir_fd=self._top)
        except OSError:
            return False
        moved_up.append(new)
        return True


def close_descriptor(folder: int) -> None:
    """Close a descriptor of a folder. Raises nothing: nothing was written through it."""
    try:
        os.close(folder)
    except OSError:
        pass


def remove_by_path(path: str) -> bool:
    """Remove a tree where the system has no descriptors of folders."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        import shutil  # here: it takes 38 ms to import, and only Windows needs it

        shutil.rmtree(path, ignore_errors=True)
    return not os.path.lexists(path)
