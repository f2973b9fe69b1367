"""What became of attempts: the claims that the dead have left, why attempts failed, and which one people ask for."""
from __future__ import annotations

from collections.abc import Callable, Mapping

from taskproc.errors import LinkInCache
from taskproc.store import layout
from taskproc.store.base import Place
from taskproc.store.claims import DiskAttempt, reopen
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE, CacheFolder
from taskproc.store.members import read_comment

_LONGEST_FAILURE = 1 << 20


def bury(
    store: CacheFolder, place: Place, why: Mapping[str, object], last: Callable[[DiskAttempt], object]
) -> None:
    """Turn the claim that a dead worker of this run left into a failed attempt, so that people can read why.

    `last` is called with the attempt before.
    """
    try:
        names = store.names(*layout.place_levels(place))
    except (OSError, LinkInCache):
        return
    for number in layout.numbers(names)["claim"]:
        if (attempt := reopen(store, place, number)) is not None:
            last(attempt)
            attempt.fail(why)


def why_failed(store: CacheFolder, folder: Folder, number: int) -> Mapping[str, object] | None:
    """What a failed attempt was ended with; None if that cannot be read, or nothing was said."""
    try:
        content = store.small(folder, layout.failed_file(number), _LONGEST_FAILURE)
        end = content.find(b"\x00", 10) + 11  # of the head
        return read_comment(content[end:])
    except UNREADABLE:
        return None


def newest(store: CacheFolder, folder: Folder, names: list[str]) -> int:
    """The number of the newest attempt that ran, or runs; 0 if none has, and `names` are those in the folder.

    One that was given up before it ran, since a version was found to be fresh, has nothing to say.
    """
    kinds = layout.numbers(names)
    for number in sorted({number for some in kinds.values() for number in some}, reverse=True):
        printed = any(layout.log_file(stream, number) in names for stream in layout.STREAMS)
        if number not in kinds["failed"] or printed or why_failed(store, folder, number) is not None:
            return number
    return 0
