"""What a digest of code stands for, kept once per task class: for people and for reasons. It decides nothing."""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from taskproc.errors import CacheError, LinkInCache
from taskproc.store import layout
from taskproc.store.files import Folder
from taskproc.store.folder import CacheFolder

_LONGEST = 16 << 20  # bytes that are read


def keep(store: CacheFolder, name: str, digest: str, content: Mapping[str, object]) -> None:
    """Write what `digest` stands for, unless it is there; in a cache that cannot be written it stays unknown."""
    if read(store, name, digest) is None:
        _put(store, name, layout.code_file(digest), content)


def read(store: CacheFolder, name: str, digest: str) -> Mapping[str, Any] | None:
    """What was kept; None if it is gone or torn."""
    return _read(store, name, layout.code_file(digest))


def note_told(store: CacheFolder, name: str, digest: str, words: Iterable[str]) -> None:
    """Remember what runs have said of some code, in place of what was remembered before; as `keep`."""
    _put(store, name, layout.told_file(digest), {"told": sorted(words)})


def told(store: CacheFolder, name: str, digest: str) -> frozenset[str]:
    """What runs have said of some code already, as far as it is remembered."""
    words = (_read(store, name, layout.told_file(digest)) or {}).get("told")
    return frozenset(map(str, words)) if isinstance(words, list) else frozenset()


def _put(store: CacheFolder, name: str, file: str, content: Mapping[str, object]) -> None:
    try:
        folder = store.made_folder(*layout.code_levels(name))
        try:
            store.put(folder, file, json.dumps(dict(content)).encode("ascii") + b"\n")
        finally:
            store.files.close_folder(folder)
    except (OSError, CacheError):
        pass  # read-only, full, or cleared just now: it is for people, and no run should fail for it


def _read(store: CacheFolder, name: str, file: str) -> Mapping[str, Any] | None:
    try:
        with store.held(*layout.code_levels(name)) as folder:
            return read_file(store, folder, file)
    except (OSError, LinkInCache):
        return None


def read_file(store: CacheFolder, folder: Folder, name: str) -> Mapping[str, Any] | None:
    """What a file in a folder of code says; None if it is gone or torn."""
    try:
        found = json.loads(store.small(folder, name, _LONGEST))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
