"""What the engine needs of its workers, in threads or in processes."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from taskproc.maps.chunks import Chunk


@dataclass(slots=True)
class Told:
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

    def wait(self, timeout: float | None) -> Sequence[Told]:
        """What has been told since the last time; at least one unless `timeout` seconds passed."""
        ...

    def halt(self) -> None:
        """Ask all to leave the chunks that they have, each after the item that it has begun."""
        ...

    def stop(self, patience: float | None) -> None:
        """End them all. What runs is ended where that can be; else it is waited for, so many seconds at most."""
        ...
