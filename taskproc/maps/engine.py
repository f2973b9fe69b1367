"""The engine of a map: reads the input only as far as needed, keeps the workers busy, yields the values one by one.

It runs in the thread that requests values; between two values the workers continue with the chunks that they have. The
number of items that are read and not yet yielded is bounded, even if a slow item delays the values after it.
"""
from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count
from typing import NoReturn

from taskproc.errors import ItemErrors, UnsendableItem, WorkerDied
from taskproc.frozen import frozen
from taskproc.maps.chunks import Chunk, Crew, Progress, Sizer
from taskproc.maps.map_options import ExceptionBehaviour
from taskproc.maps.transfer import Raised

logger = logging.getLogger("taskproc")

SHARE_AFTER = 0.05  # seconds without news, after which idle workers get items of busy ones
FIRST = 8           # items that a chunk has at most before any value was yielded
MOST_DEATHS = 2     # of one worker before it has begun an item


@frozen
class Order:
    """How to run a map.

    Attributes:
        behaviour: what happens with exceptions.
        ordered: values in the order of the items, not as they complete.
        chunk_size: how many items are sent to a worker together; None: by the time that they take.
        ahead: how many chunks a worker has at once; twice as many may be read and not yet yielded.
        bounded: whether the input is read only that far; else all of it first.
        patience: seconds to wait for running items when an exception has ended the map; None: until they end.
    """

    behaviour: ExceptionBehaviour = ExceptionBehaviour.IMMEDIATE
    ordered: bool = True
    chunk_size: int | None = None
    ahead: int = 2
    bounded: bool = True
    patience: float | None = None


class Engine:
    """One run of a crew over one input: iterate over `values`."""

    def __init__(self, crew: Crew, workers: int, source: Iterator[object], length: int | None, order: Order):
        self._crew, self._workers, self._order = crew, workers, order
        self._source, self._length = source, length
        self._sizer = Sizer(workers, order.chunk_size)
        self._read = self._given = 0
        self._exhausted = False
        self._input_error: Exception | None = None
        self._again: list[tuple[int, int, Chunk]] = []   # a heap: chunks to be given to a worker again
        self._turns = count()
        self._loads: list[list[Chunk]] = [[] for _ in range(workers)]
        self._ready: dict[int, tuple[list[object], bool]] = {}  # first item → values, and whether any is a Raised
        self._arrived: deque[int] = deque()                     # the first items, in the order of arrival
        self._failures: dict[int, Exception] = {}               # by item, if the map ends with them
        self._until: float = float("inf")                       # items from this one on are not begun any more
        self._deadline: float | None = None                     # for running items, when the map ends
        self._deaths = [0] * workers
        self._absent = set[int]()                               # workers that the system does not allow

    def values(self) -> Iterator[object]:
        """Yield the value of each item. Raises what ends the map."""
        if not self._order.bounded:
            items = list(self._source)
            self._source, self._length = iter(items), len(items)
        deferred: list[Exception] = []
        while True:
            for progress in self._crew.wait(0):
                self._take(progress)
            self._fill()
            if (first := self._next_ready()) is not None:
                values, raised = self._ready.pop(first)
                if raised:
                    yield from self._with_errors(values, deferred)
                else:
                    yield from values
                self._given += len(values)
            elif self._waits():
                self._listen()
            else:
                self._end(deferred)
                return

    def idle(self) -> bool:
        """Whether no worker has a chunk of this run."""
        return not any(self._loads)

    def _next_ready(self) -> int | None:
        if self._order.ordered:
            return self._given if self._given in self._ready else None
        return self._arrived.popleft() if self._arrived else None

    def _with_errors(self, values: list[object], deferred: list[Exception]) -> Iterator[object]:
        for value in values:
            if isinstance(value, Raised):
                if self._order.behaviour is ExceptionBehaviour.DEFERRED:
                    deferred.append(value.error)
                yield value.error
            else:
                yield value

    def _end(self, deferred: list[Exception]) -> None:
        if self._failures:
            raise self._failures[min(self._failures)]
        if self._input_error is not None:
            raise self._input_error
        if deferred:
            raise ItemErrors("items of the map raised", deferred)

    # Giving chunks

    def _fill(self) -> None:
        """Give chunks to the workers: first one to each, then those that they should have ahead."""
        for level in range(self._order.ahead):
            for worker, load in enumerate(self._loads):
                if len(load) == level and worker not in self._absent:
                    chunk = self._next_chunk()
                    if chunk is None:
                        return
                    load.append(chunk)
                    self._crew.start(worker, chunk)

    def _next_chunk(self) -> Chunk | None:
        while self._again:
            chunk = heappop(self._again)[2]
            if chunk.first >= self._until:
                continue
            size = self._sizer.size()
            if len(chunk.items) > size:
                chunk, rest = chunk.cut(size)
                self._do_again(rest)
            return chunk
        return self._read_chunk()

    def _read_chunk(self) -> Chunk | None:
        """The next items of the input; None at its end, or if enough items are on their way."""
        while not self._exhausted and not self._failures and (size := self._room()):
            chunk = Chunk(self._read, [])
            whole = self._read_into(chunk, size)
            if chunk.items:
                return chunk
            if whole:
                return None
        return None

    def _room(self) -> int:
        """How many items may be read for the next chunk; 0 if enough are on their way."""
        size = self._sizer.size(None if self._length is None else max(1, self._length - self._read))
        if not self._order.bounded:
            return size
        chunks = 2 * self._order.ahead * self._workers
        bound = chunks * self._sizer.size()
        if self._order.chunk_size is None:
            # So that few values of an endless input read few items
            bound = min(bound, FIRST * chunks + 2 * self._given)
            size = min(size, bound // chunks)
        return size if self._read - self._given + size <= bound else 0

    def _read_into(self, chunk: Chunk, size: int) -> bool:
        """Read up to `size` items. False: the chunk ends before an item that cannot be sent; that item has failed."""
        send, items = self._crew.send, chunk.items
        try:
            for _ in range(size):
                item = next(self._source)
                self._read += 1
                items.append(send(item))
        except StopIteration:
            self._exhausted = True
        except UnsendableItem as error:
            self._store(self._read - 1, [Raised(error)], True)
            return False
        except Exception as error:  # noqa: BLE001  # of the input: raised when all values before it have been yielded
            self._exhausted = True
            self._input_error = error
        return True

    def _do_again(self, chunk: Chunk) -> None:
        if chunk.items:
            heappush(self._again, (chunk.first, next(self._turns), chunk))

    # Taking values

    def _listen(self) -> None:
        """Wait for news. If some workers are idle, the others share items that they have not begun."""
        shares = not all(self._loads) and any(_divisible(load) for load in self._loads)
        patience = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        news = self._crew.wait(SHARE_AFTER if shares else patience)
        for progress in news:
            self._take(progress)
        if shares and not news:
            self._halt()

    def _waits(self) -> bool:
        """Whether there is anything to wait for, and time left."""
        return any(self._loads) and (self._deadline is None or time.monotonic() < self._deadline)

    def _halt(self) -> None:
        for load in self._loads:
            for chunk in load:
                chunk.halted = True
        self._crew.halt()

    def _take(self, progress: Progress) -> None:
        chunk = progress.chunk
        if progress.ended:
            self._loads[progress.worker].remove(chunk)
        if progress.broken is not None:
            raise progress.broken
        if progress.absent is not None:
            self._do_without(progress.worker, progress.absent)
        if progress.values:
            self._deaths[progress.worker] = 0
            self._sizer.learn(len(progress.values), progress.seconds, progress.size)
            first = chunk.first + chunk.done
            chunk.done += len(progress.values)
            self._store(first, progress.values, progress.raised)
        if progress.death is not None:
            self._bury(progress, chunk)
        elif progress.ended:
            self._do_again(chunk.rest())

    def _do_without(self, worker: int, why: Exception) -> None:
        """Let the other workers do its work, if there are any."""
        self._absent.add(worker)
        if len(self._absent) == self._workers:
            raise why
        if len(self._absent) == 1:
            logger.warning("worker %d of a map is missing, and the others do its work: %s", worker, why)

    def _bury(self, progress: Progress, chunk: Chunk) -> None:
        """A worker has died: other workers do the items that it had not begun; the one that it had begun runs alone."""
        if progress.begun is None:
            self._deaths[progress.worker] += 1
            if self._deaths[progress.worker] >= MOST_DEATHS:
                self._give_up(progress)
            self._do_again(chunk.rest())
            return
        self._deaths[progress.worker] = 0
        before, rest = chunk.cut(max(0, progress.begun - chunk.done))
        if progress.begun < chunk.done or not rest.items:  # it died between two items
            self._do_again(chunk.rest())
            return
        item, after = rest.cut(1)
        self._do_again(before)
        self._do_again(after)
        if chunk.suspect:
            assert progress.death is not None
            self._store(item.first, [Raised(progress.death)], True)
        else:
            item.suspect = True
            self._do_again(item)

    def _give_up(self, progress: Progress) -> NoReturn:
        text = f"worker {progress.worker} died {MOST_DEATHS} times before it had begun an item: {progress.death}"
        raise WorkerDied(text) from progress.death

    def _store(self, first: int, values: list[object], raised: bool) -> None:
        """Store values until it is their turn."""
        if raised and self._order.behaviour is ExceptionBehaviour.IMMEDIATE:
            self._fail(first, values)
        else:
            self._ready[first] = values, raised
            self._arrived.append(first)

    def _fail(self, first: int, values: list[object]) -> None:
        """End the map: no item is read any more, and only items before the first failed one are begun."""
        failed = {first + place: value.error for place, value in enumerate(values) if isinstance(value, Raised)}
        self._failures.update(failed)
        if self._order.ordered:
            good = values[: min(failed) - first]
            until = float(min(self._failures))
        else:
            good = [value for value in values if not isinstance(value, Raised)]
            until = 0.0
        if good:
            self._ready[first] = good, False
            self._arrived.append(first)
        if until < self._until:
            self._until = until
            self._halt()
        if self._deadline is None and self._order.patience is not None:
            self._deadline = time.monotonic() + self._order.patience


def _divisible(load: list[Chunk]) -> bool:
    """Whether a worker has items that another one could do, and has not been asked for them yet."""
    return any(not chunk.halted for chunk in load) and sum(len(chunk.items) - chunk.done for chunk in load) > 1
