"""Chunks of items, how large the next one should be, and the workers that take them.

Sending one item and receiving one value costs some hundred microseconds, so small items travel many at a time: as many
as take TARGET. The first chunk of each worker is one item, and a chunk has at most eight times as many as the
last. When the length of the input is known, all workers get a share of what is left.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

TARGET = 0.004     # seconds of work in a chunk: the 100 µs that a chunk costs are 3 % of that
MOST = 1000        # items in a chunk
LARGEST = 1 << 20  # bytes of a chunk on its way, both ways together
_GROWTH = 8        # how many times larger than the last a chunk may be
_NEW = 0.5         # the weight of the last chunk, against that of all before it


@dataclass(slots=True, eq=False)
class Chunk:
    """Items that are given to a worker together.

    Attributes:
        first: number of the first item in the input.
        items: as they are given to the worker.
        done: how many items have been reported.
        suspect: whether this one item was begun by a worker that died.
        halted: whether its worker was asked to leave the rest of it.
    """

    first: int
    items: list[object]
    done: int = 0
    suspect: bool = False
    halted: bool = False

    def rest(self) -> Chunk:
        """The items that have not been reported."""
        return Chunk(self.first + self.done, self.items[self.done :], suspect=self.suspect)

    def cut(self, count: int) -> tuple[Chunk, Chunk]:
        """The first `count` items that have not been reported, and the others."""
        rest = self.rest()
        return Chunk(rest.first, rest.items[:count]), Chunk(rest.first + count, rest.items[count:])


class Sizer:
    """How many items the next chunk should have, by what the last ones took. `fixed`: always this many."""

    def __init__(self, workers: int, fixed: int | None = None):
        self._workers = workers
        self._fixed = fixed
        self._count = fixed or 1
        self._seconds: float | None = None
        self._bytes = 0.0

    def size(self, left: int | None = None) -> int:
        """Items of the next chunk. `left`: how many items are left in the input, if that is known."""
        if self._fixed is None and left is not None:
            return max(1, min(self._count, -(-left // (2 * self._workers))))
        return self._count

    def learn(self, count: int, seconds: float, size: int) -> None:
        """Record a chunk: items, seconds, and bytes sent and received."""
        if not count:
            return
        per_item = seconds / count
        self._seconds = per_item if self._seconds is None else self._seconds + _NEW * (per_item - self._seconds)
        self._bytes += _NEW * (size / count - self._bytes)
        if self._fixed is None:
            by_time, by_size = int(TARGET / max(self._seconds, 1e-9)), int(LARGEST / max(self._bytes, 1.0))
            self._count = max(1, min(MOST, _GROWTH * self._count, by_time, by_size))


@dataclass(slots=True)
class Progress:
    """What has become of the next items of a chunk.

    Attributes:
        worker: the number of the worker that has it.
        values: of the items after those reported before, in order; a Raised for each item that has none.
        raised: whether `values` has any Raised.
        ended: whether the worker is done with the chunk, though items may be left of it.
        seconds, size: how long these items took, and how many bytes were sent for them.
        death: why the worker has died.
        begun: the place in the chunk of the item at which it died; None: it had begun no item.
        broken: why the worker could not begin at all.
        absent: why there cannot be such a worker: the system allows no more of them.
    """

    worker: int
    chunk: Chunk
    values: list[object]
    raised: bool = False
    ended: bool = True
    seconds: float = 0.0
    size: int = 0
    death: Exception | None = None
    begun: int | None = None
    broken: Exception | None = None
    absent: Exception | None = None


class Crew(Protocol):
    """The workers of a map, numbered from 0: what the engine needs of them. All methods are called by one thread."""

    def send(self, item: object) -> object:
        """The item as it is given to a worker. Raises UnsendableItem."""
        ...

    def start(self, worker: int, chunk: Chunk) -> None:
        """Give `chunk` to a worker, after those that it has; the first chunk starts it."""
        ...

    def wait(self, timeout: float | None) -> Sequence[Progress]:
        """What has happened since the last call; at least one entry unless `timeout` seconds passed."""
        ...

    def halt(self) -> None:
        """Ask all workers to leave the chunks that they have, each after the item that it has begun."""
        ...

    def retire(self) -> list[Exception]:
        """Close the objects of all workers, none of which has a chunk, and return what went wrong. Only `stop` follows.
        """
        ...

    def stop(self, patience: float | None) -> None:
        """End all workers. What runs is killed where possible; else wait for it, `patience` seconds at most."""
        ...
