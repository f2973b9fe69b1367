"""Bytes of what lies in a cache folder. Nothing is opened but folders, and no link is followed."""
from __future__ import annotations

from taskproc.store.disk import DiskStore
from taskproc.store.files import Folder


def tree_size(store: DiskStore, at: Folder, *levels: str) -> int:
    """Bytes of all files below the folder that these names lead to from an open one; 0 if it does not exist.

    Costs a listing for each folder, and a stat for each file. What is removed in the meantime does not count.
    """
    todo: list[tuple[str, ...]] = [levels]
    size = 0
    while todo:
        above = todo.pop()
        try:
            folder = store.files.open_folder(at, above)
        except OSError:
            continue
        try:
            for entry in store.files.scandir(folder):
                if entry.is_dir(follow_symlinks=False):
                    todo.append((*above, entry.name))
                else:
                    size += entry.stat(follow_symlinks=False).st_size
        except OSError:
            pass  # removed in the meantime
        finally:
            store.files.close_folder(folder)
    return size
