"""A small file system of one's own, seen by this process alone and gone with it. Linux, and as root."""
from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_NEW_NAMESPACE = 0x20000
_PRIVATE = 0x44000  # MS_REC | MS_PRIVATE
_READ_ONLY, _REMOUNT = 1, 32


class NoMount(Exception):
    """It is not allowed here; the message says why."""


def mount(path: Path, options: str) -> None:
    """Mount a new tmpfs at `path`, for this process. Raises NoMount."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoMount("only root on Linux may mount")
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_NEW_NAMESPACE))
    _check(libc.mount(b"none", b"/", None, _PRIVATE, None))
    _check(libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", 0, options.encode()))


def remount(path: Path, options: str, *, read_only: bool = False) -> None:
    """Mount it again with other options, and all that is in it."""
    flags = _REMOUNT | (_READ_ONLY if read_only else 0)
    _check(ctypes.CDLL(None, use_errno=True).mount(b"tmpfs", os.fsencode(path), b"tmpfs", flags, options.encode()))


def _check(answer: int) -> None:
    if answer:
        raise NoMount(os.strerror(ctypes.get_errno()))
