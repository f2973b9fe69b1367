"""Folders whose time of change is told by what is in them: as that of a clock without ticks, made long ago."""
from __future__ import annotations

import os
import zlib

from taskproc.store.files import Files, Folder


class SignsByContent(Files):
    """To be inherited from beside other Files."""

    def sign(self, folder: Folder) -> tuple[int, int] | None:
        found = super().sign(folder)
        if found is None:
            return None
        content = sorted((entry.name, entry.inode()) for entry in os.scandir(folder))
        return found[0], 2 * zlib.crc32(repr(content).encode()) + 1
