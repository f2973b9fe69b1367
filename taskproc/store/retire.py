"""Older versions are let go when a run ends: their results first, then what lay beside them.

Only where no other run is at work, since its tasks may read files of the version that they were given. The highest
number stays, so that no number is used twice, and a claim is nobody's to move. Whoever dies in between leaves data and
logs of numbers that nobody bears; the next retirement takes them along.
"""
from __future__ import annotations

from collections.abc import Collection, Mapping

from taskproc.errors import CacheError
from taskproc.store import layout
from taskproc.store.base import Place
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE, CacheFolder
from taskproc.store.trash import set_aside


def retire(store: CacheFolder, in_use: Mapping[Place, int]) -> None:
    """Move what is not kept into the trash; see DiskStore.retire. Costs a listing a place."""
    if not in_use or store.witness.others(store.token):
        return
    for place, number in in_use.items():
        try:
            _retire(store, place, number)
        except (OSError, CacheError):
            continue  # cleared meanwhile, or not ours to move: what stays costs room, and the next run comes by again


def _retire(store: CacheFolder, place: Place, in_use: int) -> None:
    # By descriptor: after a clear the path has another task's first numbers, and they are not ours to count
    with store.held(*layout.place_levels(place)) as folder:
        ours = _ours(store, folder)
        if superfluous(ours, in_use, store.rules.keep_versions):
            kept = _equal(store, folder, place, ours, in_use)
            set_aside(store, folder, *superfluous(ours, in_use, store.rules.keep_versions, kept))


def _equal(store: CacheFolder, folder: Folder, place: Place, names: list[str], in_use: int) -> list[int]:
    """Versions with a data directory and the value of the one in use.

    What lies below was not made anew when they gave way to it, so there may be paths into their directories.
    """
    numbers = [n for n in layout.results(names) if n != in_use and layout.data_folder(n) in names]
    if not numbers:
        return []
    value = store.read_version(folder, place, in_use).record.stamp.value
    return [n for n in numbers if _value_of(store, folder, place, n) == value]


def _value_of(store: CacheFolder, folder: Folder, place: Place, number: int) -> str:
    try:
        return store.read_version(folder, place, number).record.stamp.value
    except UNREADABLE:
        return ""


def _ours(store: CacheFolder, folder: Folder) -> list[str]:
    """Names in a place, but for those of another kind than we make: a stranger's are left alone."""
    found = []
    for entry in store.files.scandir(folder):
        is_data = (layout.beside(entry.name) or ("", 0))[0] == "data"
        if entry.is_dir(follow_symlinks=False) if is_data else entry.is_file(follow_symlinks=False):
            found.append(entry.name)
    return found


def superfluous(names: list[str], in_use: int, keep_versions: int, besides: Collection[int] = ()) -> list[str]:
    """Which of the names in a place need not stay, in the order in which they may go: results before all else."""
    found = layout.numbers(names)
    if in_use not in found["result"]:
        return []  # it was cleared, and counts anew
    others = [number for number in found["result"] if number != in_use]
    kept = {in_use, *others[:keep_versions], *found["claim"], *besides}
    top = layout.highest(found)

    def goes(number: int) -> bool:
        return number < top and number not in kept

    results = [layout.result_file(number) for number in reversed(found["result"]) if goes(number)]
    ended = [f"{kind}.{number}" for kind in ("failed", "bad") for number in found[kind] if goes(number)]
    beside = [name for name in names if (known := layout.beside(name)) is not None and goes(known[1])]
    return [*results, *sorted(beside), *ended]
