"""What one of many may do, on disks and on network folders: make a new name, rename without replacing anything.

Who loses such a race is to learn it by FileExistsError. A network folder may give any error instead (sshfs: EPERM), so
an error of creation is believed when it comes again and again, and the name was looked for and is not there.
"""
from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import TypeVar

Made = TypeVar("Made")

_MAKE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_LOOK = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FOLLOWS = os.access not in os.supports_follow_symlinks  # links, where it cannot do otherwise
_TRIES = 3
_NO_REPLACE = 1  # RENAME_NOREPLACE of linux/fs.h
# What a system or a file system answers that has no such rename; seccomp: EPERM
_REFUSALS = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})


def make_file(path: str, at: int | None = None, mode: int = 0o666) -> int:
    """Make a file and open it, below the folder `at` if that is given. FileExistsError if the name is there."""
    try:
        return os.open(path, _MAKE, mode, dir_fd=at)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:
        return _made(lambda: os.open(path, _MAKE, mode, dir_fd=at), path, at)


def make_folder(path: str, at: int | None = None, mode: int = 0o777) -> bool:
    """Make one directory, below the folder `at` if that is given; False if the name is there."""
    try:
        os.mkdir(path, mode, dir_fd=at)
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise
    except OSError:
        try:
            _made(lambda: os.mkdir(path, mode, dir_fd=at), path, at)
        except FileExistsError:
            return False
    return True


def _made(make: Callable[[], Made], path: str, at: int | None) -> Made:
    for _ in range(_TRIES - 1):
        try:
            return make()
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError as error:
            if is_there(path, at):
                raise exists(path) from error
    return make()  # the winner has renamed it meanwhile; or the error is true


def is_there(path: str, at: int | None = None) -> bool:
    """Whether a name is there now. A cache of a network folder may know one that is gone, so this one is opened."""
    if not os.access(path, os.F_OK, dir_fd=at, follow_symlinks=_FOLLOWS):
        return False
    try:
        os.close(os.open(path, _LOOK, dir_fd=at))
    except FileNotFoundError:
        return False
    except OSError:
        pass  # a link, a socket, or not ours to read
    return True


def rename(old: str, new: str, at: int) -> bool:
    """Rename within the folder `at`, FileExistsError if `new` is there, as one act. False: there is no such rename."""
    call = _renameat2()
    number = errno.ENOSYS if call is None else call(at, os.fsencode(old), os.fsencode(new))
    if number == 0:
        return True
    if number in _REFUSALS:
        return False  # the plain rename says whether it is one
    raise OSError(number, os.strerror(number), old, None, new)


def exists(path: str) -> FileExistsError:
    """What is raised if a name is there."""
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


@functools.cache
def _renameat2() -> Callable[[int, bytes, bytes], int] | None:
    """A call of renameat2 within a folder, that gives the number of the error or 0; None where there is none."""
    if sys.platform != "linux":
        return None
    import ctypes  # here: 1 ms, and most processes publish nothing

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

    def renamed(at: int, old: bytes, new: bytes) -> int:
        return ctypes.get_errno() if call(at, old, at, new, _NO_REPLACE) else 0

    return renamed
