"""What network folders do otherwise than a disk, done to this process on a disk; tests/fault/hosts.py has real ones."""
from __future__ import annotations

import os
from typing import Any

import pytest

from taskproc.store.files import Files, Folder


def like_sshfs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor of a folder lists what was there when it was opened; whoever is late to make a name gets EPERM."""
    shown: dict[int, list[str]] = {}
    open_, listdir, mkdir = os.open, os.listdir, os.mkdir

    def opened(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        try:
            handle = open_(path, flags, *arguments, **options)
        except FileExistsError as error:
            raise PermissionError(1, "Operation not permitted", path) from error
        shown.pop(handle, None)
        if flags & os.O_DIRECTORY:
            shown[handle] = listdir(handle)
        return handle

    def listed(folder: Any = ".") -> list[str]:
        return list(shown[folder]) if folder in shown else listdir(folder)

    def made(path: Any, *arguments: Any, **options: Any) -> None:
        try:
            mkdir(path, *arguments, **options)
        except FileExistsError as error:
            raise PermissionError(1, "Operation not permitted", path) from error

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "listdir", listed)
    monkeypatch.setattr(os, "mkdir", made)


class Remembering(Files):
    """Of each folder it lists for ever what it has listed first; `adds` the names that it has made itself since."""

    def __init__(self, *, adds: bool):
        self.adds = adds
        self.known: dict[tuple[int, int], list[str]] = {}
        self.listings = 0

    def listdir(self, folder: Folder) -> list[str]:
        self.listings += 1
        return list(self.known.setdefault(_identity(folder), super().listdir(folder)))

    def make(self, folder: Folder, name: str) -> int:
        handle = super().make(folder, name)
        if self.adds:
            self.known.setdefault(_identity(folder), []).append(name)
        return handle


class ClosingToShow(Files):
    """Others see what was written when a descriptor of the file is closed, as on NFS."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], list[bytes]] = {}

    def append(self, handle: int, *contents: bytes | memoryview) -> None:
        self.kept.setdefault(self.identity(handle), []).extend(map(bytes, contents))

    def close(self, handle: int) -> None:
        for content in self.kept.pop(self.identity(handle), []):
            Files.append(self, handle, content)
        super().close(handle)


def _identity(folder: Folder) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino
