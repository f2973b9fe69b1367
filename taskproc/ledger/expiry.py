"""What may be deleted from a cache, and what it would cost to compute it again.

A *candidate* is a task with results. Three conditions narrow the choice, and each can only let more stay: results that
pipelines reach stay, results that are younger than some days stay, and with a limit only as many go as are needed to
respect it: those that are cheapest to compute again per byte first.

What a living run may use stays. Each run writes down which tasks it may read when it registers (store/marks.py). A run
that has not written it, such as one of an older version, may use everything, so nothing goes while it lives.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from taskproc.errors import CacheError, LinkInCache
from taskproc.frozen import frozen, replace
from taskproc.ledger.sizes import tree_size
from taskproc.store import layout
from taskproc.store.claims import is_held
from taskproc.store.disk import DiskStore
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE
from taskproc.store.trash import discard

Where = tuple[str, int]  # folder of a class, and id of a task

DAY = 86400.0  # seconds

UNREACHED = "not reached"
OLD = "old"
CHEAP = "cheap to compute again"


class Candidate(NamedTuple):
    """A task with results.

    Attributes:
        folder: of its class.
        size: bytes of all files of the task.
        seconds: that its newest result took; None: not known.
        newest: number of that result; made: wall-clock seconds when its file was written.
    """

    folder: str
    id: int
    size: int
    seconds: float | None
    newest: int
    made: float

    @property
    def where(self) -> Where:
        """Which task it is."""
        return self.folder, self.id


@frozen
class Dropped:
    """A candidate that goes, and the condition that lets it go."""

    candidate: Candidate
    why: str


@frozen
class Choice:
    """Which tasks go, and which stay.

    Attributes:
        used: tasks that would go, but that a living run may use.
        excess: bytes above the limit that stay all the same.
    """

    dropped: Sequence[Dropped]
    kept: Sequence[Candidate]
    used: Sequence[Candidate] = ()
    excess: int = 0

    @property
    def largest_loss(self) -> Dropped | None:
        """The dropped task that takes longest to compute again."""
        return max(self.dropped, key=lambda dropped: dropped.candidate.seconds or 0.0, default=None)


def candidates(store: DiskStore, note: Callable[[int], object] = lambda count: None) -> Iterator[Candidate]:
    """All tasks with results. Costs a listing, a stat for each file and a read of one record for each task.

    Args:
        note: called with the number of tasks so far.
    """
    count = 0
    for name in store.files.listdir(store.root):
        for number in store.ids(name):
            count += 1
            note(count)
            try:
                with store.held(name, "results", str(number)) as folder:
                    found = _candidate(store, folder, name, number)
            except (OSError, LinkInCache):
                continue  # cleared in the meantime
            if found is not None:
                yield found


def _candidate(store: DiskStore, folder: Folder, name: str, number: int) -> Candidate | None:
    size, names, made = 0, [], {}
    for entry in store.files.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            size += tree_size(store, folder, entry.name)
        else:
            status = entry.stat(follow_symlinks=False)
            size += status.st_size
            names.append(entry.name)
            made[entry.name] = status.st_mtime
    versions = layout.result_numbers(names)
    if not versions:
        return None
    newest = versions[0]
    return Candidate(name, number, size, _seconds(store, folder, newest), newest, made[layout.result_file(newest)])


def _seconds(store: DiskStore, folder: Folder, number: int) -> float | None:
    try:
        seconds = store.record(folder, number)[0]["about"]["seconds"]
    except (*UNREADABLE, KeyError, TypeError):
        return None
    return float(seconds) if isinstance(seconds, (int, float)) else None


def choose_expired(
    stored: Iterable[Candidate],
    *,
    reached: Collection[Where] | None = None,
    keep_days: float | None = None,
    max_size: int | None = None,
    is_used: Callable[[Where], bool] = lambda where: False,
    now: float | None = None,
) -> Choice:
    """Decide which tasks go. Without any condition, all go that no living run may use.

    Args:
        reached: the tasks that stay; None: no pipelines were named.
        keep_days: tasks whose newest result is younger than so many days stay.
        max_size: bytes that may stay.
        is_used: whether a living run may use a task.
        now: wall-clock seconds.
    """
    everything = list(stored)
    begins = (time.time() if now is None else now) - (keep_days or 0.0) * DAY
    open_ones, kept, used = [], [], []
    for candidate in everything:
        is_young = keep_days is not None and candidate.made > begins
        if is_young or (reached is not None and candidate.where in reached):
            kept.append(candidate)
        elif is_used(candidate.where):
            used.append(candidate)
        else:
            open_ones.append(candidate)
    why = UNREACHED if reached is not None else OLD
    if max_size is None:
        return Choice([Dropped(candidate, why) for candidate in open_ones], kept, used)
    excess = sum(candidate.size for candidate in everything) - max_size
    return _until_it_fits(open_ones, kept, used, excess)


def _until_it_fits(open_ones: list[Candidate], kept: list[Candidate], used: list[Candidate], excess: int) -> Choice:
    dropped = []
    for candidate in sorted(open_ones, key=_price):
        if excess > 0:
            dropped.append(Dropped(candidate, CHEAP))
            excess -= candidate.size
        else:
            kept.append(candidate)
    return Choice(dropped, kept, used, max(0, excess))


def _price(candidate: Candidate) -> tuple[float, float]:
    """Seconds per byte, then age: what is not known to be cheap goes last."""
    seconds = float("inf") if candidate.seconds is None else candidate.seconds
    return seconds / max(1, candidate.size), candidate.made


class LiveUse:
    """What the living runs of a cache may use."""

    def __init__(self, store: DiskStore):
        self._store = store
        self.look()

    def look(self) -> None:
        """Ask again which runs live."""
        self.runs = self._store.witness.others()
        uses = [self._store.witness.reach(token) for token in self.runs]
        self._everything = any(use is None for use in uses)
        self._known = {where for use in uses if use is not None for where in use}

    def covers(self, where: Where) -> bool:
        """Whether a living run may use this task."""
        return self._everything or where in self._known


def collected(
    store: DiskStore,
    reached: Collection[Where] | None,
    keep_days: float | None,
    max_size: int | None,
    *,
    delete: bool,
) -> Choice:
    """What may go of a cache; with `delete`, what went. The conditions are those of `choose_expired`."""
    use = LiveUse(store)
    choice = choose_expired(candidates(store), reached=reached, keep_days=keep_days, max_size=max_size,
                            is_used=use.covers)  # fmt: skip
    if not delete:
        return choice
    gone = {candidate.where for candidate in delete_expired(store, choice, use)}
    return replace(choice, dropped=[dropped for dropped in choice.dropped if dropped.candidate.where in gone])


def delete_expired(store: DiskStore, choice: Choice, use: LiveUse) -> list[Candidate]:
    """Move the chosen tasks into the trash; return those that went. A task that has changed since the choice stays.

    Looks before each class whether further runs have begun.
    """
    gone: list[Candidate] = []
    name = None
    for dropped in sorted(choice.dropped, key=lambda dropped: dropped.candidate.where):
        candidate = dropped.candidate
        if candidate.folder != name:
            name = candidate.folder
            use.look()
        if not use.covers(candidate.where) and _is_unchanged(store, candidate) and _moved(store, candidate):
            gone.append(candidate)
    return gone


def _is_unchanged(store: DiskStore, candidate: Candidate) -> bool:
    try:
        with store.held(candidate.folder, "results", str(candidate.id)) as folder:
            kinds = layout.numbers(store.files.listdir(folder))
            is_claimed = any(is_held(store, folder, number) for number in kinds["claim"][:1])
    except (OSError, LinkInCache):
        return False
    return kinds["result"][:1] == [candidate.newest] and not is_claimed


def _moved(store: DiskStore, candidate: Candidate) -> bool:
    try:
        return discard(store, candidate.folder, "results", str(candidate.id))
    except CacheError:
        return False
