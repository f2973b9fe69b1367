"""Removing a folder with all in it, by descriptor: no link leads the removal elsewhere, planted before or meanwhile.

It can be stopped after any file, and what is left is removed by whoever tries next. No folder is too deep: what lies
deeper than descriptors reach is brought up first.
"""
from __future__ import annotations

import itertools
import os
from collections.abc import Callable

_DEEPEST = 32    # levels that are open at once
_AT_FIRST = 500  # names that are read at once, and ten times more each time
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


class Removal:
    """Removes names from the folder with the descriptor `top`; what cannot be removed stays.

    Args:
        goes_on: asked after each file; once it says no, nothing more is removed.
    """

    def __init__(self, top: int, goes_on: Callable[[], bool]):
        self._top, self._goes_on = top, goes_on
        self._stopped = False

    def remove(self, name: str) -> bool:
        """Remove a file, a link, or a folder with all in it. Whether it is gone."""
        todo = [name]  # and what is brought up from below
        gone = True
        while todo and not self._stopped:
            gone = self._remove(todo.pop(), self._top, 0, todo) and gone
        return gone and not self._stopped

    def _remove(self, name: str, at: int, depth: int, brought: list[str]) -> bool:
        try:
            os.unlink(name, dir_fd=at)
        except FileNotFoundError:
            return True
        except OSError:
            return self._remove_folder(name, at, depth, brought)  # systems differ in what they say of a folder
        self._stopped = not self._goes_on()
        return True

    def _remove_folder(self, name: str, at: int, depth: int, brought: list[str]) -> bool:
        try:
            folder = os.open(name, _FOLDER, dir_fd=at)
        except OSError:
            return False
        try:
            gone = self._empty(folder, depth, brought)
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

    def _empty(self, folder: int, depth: int, brought: list[str]) -> bool:
        """Remove what is in an open folder; whether all is gone."""
        stays: set[str] = set()
        # A few first: whoever has but a moment must not wait for a listing of a hundred thousand
        most, are_more = _AT_FIRST, True
        while are_more and not self._stopped:
            with os.scandir(folder) as entries:
                some = list(itertools.islice((entry for entry in entries if entry.name not in stays), most))
            # As they lie on the disk, which is read forwards then
            for entry in sorted(some, key=os.DirEntry.inode):
                if not self._remove_inside(entry.name, entry.is_dir(follow_symlinks=False), folder, depth + 1, brought):
                    stays.add(entry.name)
            are_more, most = len(some) == most, most * 10
        return not stays and not self._stopped

    def _remove_inside(self, name: str, is_folder: bool, at: int, depth: int, brought: list[str]) -> bool:
        if self._stopped:
            return False
        if not is_folder:
            return self._remove(name, at, depth, brought)
        if depth < _DEEPEST:
            return self._remove_folder(name, at, depth, brought)
        new = os.urandom(16).hex()
        try:
            os.rename(name, new, src_dir_fd=at, dst_dir_fd=self._top)
        except OSError:
            return False
        brought.append(new)
        return True


def close_descriptor(folder: int) -> None:
    """Close a descriptor of a folder. No error: nothing was written through it, and it is closed either way."""
    try:
        os.close(folder)
    except OSError:
        pass


def remove_by_path(path: str) -> bool:
    """The same where the system has no descriptors of folders."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        import shutil  # here: it takes 38 ms to import, and only Windows needs it

        shutil.rmtree(path, ignore_errors=True)
    return not os.path.lexists(path)
