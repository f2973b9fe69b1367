"""Chunks of items, and how large the next one should be.

To give a worker one item and to take one value costs some hundred microseconds, so small items travel many at a time:
as many as take TARGET. The first chunk of each worker is one item, and a chunk has at most eight times as many as the
last; when the input is known to end, all workers get a share of what is left.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

TARGET = 0.004     # seconds of work in a chunk: what costs 100 µs more is 3 % of that
MOST = 1000        # items in a chunk
LARGEST = 1 << 20  # bytes of a chunk on its way, both ways together
_FASTER = 8        # how much larger than the last a chunk may be
_NEW = 0.5         # how much the last chunk counts beside all before it


@dataclass(slots=True, eq=False)
class Chunk:
    """Items that are given to a worker together.

    Attributes:
        first: number of the first of them in the input.
        items: as they are given to the worker.
        done: how many of them have been told.
        suspect: whether this one item was begun by a worker that died.
        halted: whether its worker was asked to leave the rest of it.
    """

    first: int
    items: list[object]
    done: int = 0
    suspect: bool = False
    halted: bool = False

    def rest(self) -> Chunk:
        """What has not been told of it."""
        return Chunk(self.first + self.done, self.items[self.done :], suspect=self.suspect)

    def cut(self, count: int) -> tuple[Chunk, Chunk]:
        """The first `count` items of what has not been told, and the others."""
        rest = self.rest()
        return Chunk(rest.first, rest.items[:count]), Chunk(rest.first + count, rest.items[count:])


class Sizer:
    """Tells how many items the next chunk should have. `fixed`: always so many."""

    def __init__(self, workers: int, fixed: int | None = None):
        self._workers = workers
        self._fixed = fixed
        self._count = fixed or 1
        self._seconds: float | None = None
        self._bytes = 0.0

    def size(self, left: int | None = None) -> int:
        """So many. `left`: how many items there are still, if that is known."""
        if self._fixed is None and left is not None:
            return max(1, min(self._count, -(-left // (2 * self._workers))))
        return self._count

    def learn(self, count: int, seconds: float, size: int) -> None:
        """So many items took so long, and so many bytes went both ways."""
        if not count:
            return
        each = seconds / count
        self._seconds = each if self._seconds is None else self._seconds + _NEW * (each - self._seconds)
        self._bytes += _NEW * (size / count - self._bytes)
        if self._fixed is None:
            by_time, by_size = int(TARGET / max(self._seconds, 1e-9)), int(LARGEST / max(self._bytes, 1.0))
            self._count = max(1, min(MOST, _FASTER * self._count, by_time, by_size))


@dataclass(slots=True)
class Progress:
    """What has become of the next items of a chunk.

    Attributes:
        worker: the number of the worker that has it.
        values: of the items that follow those told before, in order; a Raised for each that there is not.
        raised: whether there is any such.
        ended: whether the worker is done with the chunk, though items may be left of it.
        seconds, size: how long these items took, and how many bytes were sent for them.
        death: why the worker is not there any more.
        begun: the item of the chunk at which it died; None: it had not come so far.
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
    """A row of workers, numbered from 0. All verbs are called by one thread."""

    def send(self, item: object) -> object:
        """The item as it is given to a worker. Raises UnsendableItem."""
        ...

    def start(self, worker: int, chunk: Chunk) -> None:
        """Give `chunk` to a worker, after those that it has; the first one starts it."""
        ...

    def wait(self, timeout: float | None) -> Sequence[Progress]:
        """What has been told since the last time; at least one unless `timeout` seconds passed."""
        ...

    def halt(self) -> None:
        """Ask all to leave the chunks that they have, each after the item that it has begun."""
        ...

    def stop(self, patience: float | None) -> None:
        """End them all. What runs is ended where that can be; else it is waited for, so many seconds at most."""
        ...
