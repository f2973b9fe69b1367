"""Slots by label, taken for all labels of a node or for none, and the line of nodes that wait for them.

Because all are taken at once, no two nodes can each hold the slot that the other waits for.
"""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterator, Mapping
from typing import Generic

from taskproc.checks import at_least
from taskproc.kernel.model import K


class Limits:
    """How many nodes with a label may run at once, and how many do.

    The other methods take labels as `relevant` returns them. It is called once for each node, they at each run.

    Args:
        limits: label → slots, at least 1. Other labels are not limited.

    Raises:
        OptionError: a limit is not an int, or is below 1.
    """

    __slots__ = ("_full", "_known", "_slots", "_used")

    def __init__(self, limits: Mapping[str, int]):
        for label, slots in limits.items():
            at_least(slots, 1, f"rate limit of label {label!r}")
        self._slots = dict(limits)
        self._used = dict.fromkeys(self._slots, 0)
        self._full: set[str] = set()
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def relevant(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The limited ones among `labels`, each once, sorted: equal sets of labels give equal tuples."""
        known = self._known.get(labels)
        if known is None:
            known = tuple(sorted(self._slots.keys() & labels))
            # one object for all equal sets: a million nodes hold a handful of tuples
            known = self._known.setdefault(known, known)
            self._known[labels] = known
        return known

    def free(self, labels: tuple[str, ...]) -> bool:
        """Whether each of `labels` has a free slot now."""
        return self._full.isdisjoint(labels)

    def full(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The labels among `labels` without a free slot now."""
        return tuple(label for label in labels if label in self._full)

    def take(self, labels: tuple[str, ...]) -> None:
        """Take one slot of each of `labels`. Raises ValueError, and takes none, unless all are free."""
        if not self._full.isdisjoint(labels):
            raise ValueError(f"not all of {labels!r} have a free slot")
        used, slots = self._used, self._slots
        for label in labels:
            used[label] += 1
            if used[label] == slots[label]:
                self._full.add(label)

    def release(self, labels: tuple[str, ...]) -> None:
        """Undo `take`. Raises ValueError, and changes nothing, if a slot was not taken."""
        used = self._used
        for label in labels:
            if not used[label]:
                raise ValueError(f"not all of {labels!r} have a taken slot")
        for label in labels:
            used[label] -= 1
            self._full.discard(label)

    def resize(self, label: str, slots: int) -> int:
        """Set the slots of a limited label, but to no fewer than are taken. Returns how many it has now."""
        used = self._used[label]
        self._slots[label] = slots = max(slots, used)
        if used < slots:
            self._full.discard(label)
        else:
            self._full.add(label)
        return slots

    def used(self, label: str) -> int:
        """How many slots of `label` are taken; 0 for one that is not limited."""
        return self._used.get(label, 0)

    def slots(self) -> dict[str, int]:
        """How many slots each limited label has."""
        return dict(self._slots)


class Tags(Limits):
    """Labels without limits, by which nodes can be selected: all are relevant."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__({})

    def relevant(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """All labels, each once, sorted. Nothing is stored, so a label whose nodes are gone costs nothing."""
        return tuple(sorted(set(labels)))

    def take(self, labels: tuple[str, ...]) -> None:
        """Do nothing: labels have no limits."""

    def release(self, labels: tuple[str, ...]) -> None:
        """Do nothing, like `take`."""


class Line(Generic[K]):
    """Keys in line for slots: first come, first served, but a key without free slots lets later keys pass.

    Keys with the same limited labels share a bucket: either all of them may start or none, so only its head is checked.
    """

    __slots__ = ("_buckets", "_first", "_last", "_limits")

    def __init__(self, limits: Limits):
        self._limits = limits
        # labels → key → turn; turns rise along a bucket, and no bucket is empty
        self._buckets: dict[tuple[str, ...], OrderedDict[K, int]] = {}
        self._first = 0
        self._last = 0

    def join(self, key: K, labels: tuple[str, ...], *, first: bool = False) -> None:
        """Put `key` at the end of the line, or at its head if `first`. `labels` as `Limits.relevant` returns them."""
        bucket = self._buckets.get(labels)
        if bucket is None:
            bucket = self._buckets[labels] = OrderedDict()
        if first:
            self._first -= 1
            bucket[key] = self._first
            bucket.move_to_end(key, last=False)
        else:
            self._last += 1
            bucket[key] = self._last

    def leave(self, key: K, labels: tuple[str, ...]) -> None:
        """Remove `key` from the line, at any position."""
        bucket = self._buckets[labels]
        del bucket[key]
        if not bucket:
            del self._buckets[labels]

    def next(self, among: Container[str] | None = None) -> K | None:
        """The first key in line whose slots are all free; None if there is none. O(kinds of limited labels in line).

        `among`: only keys whose labels are all in it.
        """
        best: K | None = None
        best_turn = 0
        for labels, bucket in self._buckets.items():
            if self._limits.free(labels) and (among is None or all(label in among for label in labels)):
                key, turn = next(iter(bucket.items()))
                if best is None or turn < best_turn:
                    best, best_turn = key, turn
        return best

    def held_up(self) -> list[tuple[tuple[str, ...], int]]:
        """Labels without a free slot, and how many keys in line they hold up. O(kinds of limited labels in line).

        The only method that any thread may call: it shows the line at some moment.
        """
        return [(self._limits.full(labels), len(bucket)) for labels, bucket in list(self._buckets.items())]

    def __iter__(self) -> Iterator[tuple[K, tuple[str, ...]]]:
        """All keys in line with their labels, in no particular order."""
        return ((key, labels) for labels, bucket in self._buckets.items() for key in bucket)
