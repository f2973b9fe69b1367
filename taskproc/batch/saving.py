"""How results reach a saver and the handler: `save_interval` at a time, each piece with its place in the input.

A saved piece may end within a chunk. Then a resumed batch processes that chunk again and skips as many of its results
as are saved. So the chunk must give the same results again.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from itertools import islice
from typing import Any

from taskproc.batch.handlers import ResultHandler
from taskproc.batch.savers.file_saver import FileSaver, Saved
from taskproc.errors import OptionError, SaveError

ChunkResults = tuple[int, list[Any]]  # the number of items of a chunk, and their results


def pieces(
    chunks: Iterator[ChunkResults], interval: int, start: Saved
) -> Generator[tuple[list[Any], Saved], None, None]:
    """Yield the results, `interval` at a time and then the rest, each piece with how far the batch has come.

    If `chunks` raises, the rest is yielded, and then the exception is raised.
    """
    cutter = _Cutter(start)
    try:
        for count, results in chunks:
            cutter.add(count, results)
            while len(cutter.pending) >= interval:
                yield cutter.take(interval)
    except (Exception, KeyboardInterrupt):
        # Not a GeneratorExit: then the consumer of the pieces has failed
        if cutter.pending:
            yield cutter.take(len(cutter.pending))
        raise
    if cutter.pending:
        yield cutter.take(len(cutter.pending))


class _Cutter:
    """Results that wait to be saved, and the ends of the chunks in them."""

    def __init__(self, start: Saved):
        self.pending: deque[Any] = deque()
        self._far = start
        self._skipped = start.extra
        self._taken = start.extra                  # results since the first chunk of this run, saved before or not
        self._added = 0
        self._items = start.items
        self._ends: deque[tuple[int, int]] = deque([(0, start.items)])

    def add(self, count: int, results: list[Any]) -> None:
        """Add the results of the next chunk, which had `count` items."""
        if self._skipped > len(results):
            raise SaveError(f"{self._skipped} results of a chunk are saved, which now gives {len(results)}. The "
                            "input has changed, or the task gives different results each time: start again")
        self.pending.extend(results[self._skipped :])
        self._skipped = 0
        self._added += len(results)
        self._items += count
        self._ends.append((self._added, self._items))

    def take(self, count: int) -> tuple[list[Any], Saved]:
        """Remove the first `count` results that wait, and say how far they go."""
        piece = [self.pending.popleft() for _ in range(count)]
        self._taken += count
        while len(self._ends) > 1 and self._ends[1][0] <= self._taken:
            self._ends.popleft()
        end, items = self._ends[0]
        return piece, Saved(items, self._taken - end, 0, self._far.chunk_size)


def begun_at(saver: Any, resume: bool, appends: bool, chunk_size: int) -> Saved:
    """Where in the input a batch with this saver begins. Raises OptionError if it would mix up results."""
    if not isinstance(saver, FileSaver):
        if resume:
            raise OptionError(f"resume=True needs a FileSaver, which records its progress, got {saver!r}")
        return Saved(chunk_size=chunk_size)
    saved = saver.saved()
    if not resume:
        if saved.results and not saver.used and not appends:
            raise OptionError(f"{saver!r} already has {saved.results} results. Continue with resume=True, append to "
                              "them (save_kwargs = {'append': True}), or remove them")
        return Saved(saved.items, 0, 0, chunk_size)
    if saver.used:
        raise OptionError(f"{saver!r} has saved another batch. To resume a batch, pass a saver that has not been used")
    if saved.results and saved.chunk_size != chunk_size:
        raise OptionError(f"{saver!r} was saved with chunk_size={saved.chunk_size}, got {chunk_size}. Pass the same")
    return Saved(saved.items, saved.extra, 0, chunk_size)


def skip_saved(saver: Any, source: Iterator[Any], start: Saved, handler: ResultHandler) -> None:
    """Skip the items whose results are saved, and pass these to the handler. OptionError if the input is shorter."""
    count = sum(1 for _ in islice(source, start.items))
    if count < start.items:
        raise OptionError(f"{saver!r} has the results of {start.items} items, the input has {count}: it has changed")
    for rows in saver.load():
        handler.add_chunk(rows)


def save(saver: Any, piece: list[Any], far: Saved, kwargs: dict[str, Any], before: int) -> None:
    """Save a piece. Raises SaveError with the number of results that this batch has saved before."""
    if isinstance(saver, FileSaver):
        saver.progress = far
    try:
        saver.save(piece, **kwargs)
    except Exception as error:
        raise _save_error(saver, error, before) from error


def finish(saver: Any, saved: int) -> None:
    """Finish saving, however the batch has ended. Raises SaveError."""
    if isinstance(saver, FileSaver):
        saver.in_batch = False
        try:
            saver.finish()
        except Exception as error:
            raise _save_error(saver, error, saved) from error


def _save_error(saver: Any, error: Exception, saved: int) -> SaveError:
    text = f"{saver!r} failed: {type(error).__name__}: {error}. Until then {saved} results were saved"
    return SaveError(text, saved)
