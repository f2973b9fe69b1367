"""A crew in one thread, whose workers proceed, die and return chunks at random."""
from __future__ import annotations

from collections.abc import Callable
from random import Random

from taskproc.errors import UnsendableItem, WorkerDied
from taskproc.maps.chunks import Chunk, Progress
from taskproc.maps.transfer import Raised


class FakeCrew:
    """Does each item by `call`.

    Attributes:
        begun: how often each item was begun, in all workers.
        deadly: items at which a worker dies, and how often; any other death is `chance`, once in so many events.
        between: 1 if those by chance come after an item has been told, before the next one; 0 if within an item.
    """

    def __init__(self, call: Callable[[object], object], workers: int, random: Random, *, chance: int = 0):
        self._call, self._random, self._chance = call, random, chance
        self._loads: list[list[Chunk]] = [[] for _ in range(workers)]
        self._done: dict[int, int] = {}
        self._returned: list[Progress] = []
        self.begun: dict[int, int] = {}
        self.deadly: dict[int, int] = {}
        self.unsendable: set[object] = set()
        self.halts = self.between = 0
        self.stopped = False

    def send(self, item: object) -> object:
        if item in self.unsendable:
            raise UnsendableItem(str(item))
        return item

    def start(self, worker: int, chunk: Chunk) -> None:
        assert chunk.items
        self._loads[worker].append(chunk)

    def wait(self, timeout: float | None) -> list[Progress]:
        back, self._returned = self._returned, []
        if back:
            return back
        busy = [number for number, load in enumerate(self._loads) if load]
        if timeout is not None and (not busy or self._random.random() < 0.5):
            return []
        assert busy, "waits for nobody"
        return [self._event(self._random.choice(busy))]

    def halt(self) -> None:
        self.halts += 1
        for worker, load in enumerate(self._loads):
            if load:
                self._returned += [Progress(worker, chunk, []) for chunk in load[1:]]
                del load[1:]

    def retire(self) -> list[Exception]:
        return []

    def stop(self, patience: float | None) -> None:
        self.stopped = True

    def _event(self, worker: int) -> Progress:
        """The worker does some items of its first chunk, and may end it, or itself."""
        chunk = self._loads[worker][0]
        if self._chance and chunk.done >= self.between and not self._random.randrange(self._chance):
            del self._loads[worker][0]
            return Progress(worker, chunk, [], death=WorkerDied("by chance"), begun=chunk.done - self.between)
        left = len(chunk.items) - chunk.done
        told = Progress(worker, chunk, [], ended=False, seconds=1e-6, size=1)
        for place in range(chunk.done, chunk.done + self._random.randint(0, left)):
            number = chunk.first + place
            self.begun[number] = self.begun.get(number, 0) + 1
            if self.deadly.get(number, 0):
                self.deadly[number] -= 1
                del self._loads[worker][0]
                told.ended, told.death, told.begun = True, WorkerDied(f"of {number}"), place
                return told
            try:
                told.values.append(self._call(chunk.items[place]))
            except Exception as error:
                told.values.append(Raised(error))
                told.raised = True
        told.ended = chunk.halted or len(told.values) == left
        if told.ended:
            del self._loads[worker][0]
        return told
