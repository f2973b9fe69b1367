"""How results come to a saver and to the handler: in pieces of the interval, each with how far in the input it goes.

A saved piece may end within a chunk. Then a batch that goes on does that chunk once more, and passes over as many of
its results as are saved. So a chunk must give the same results again; what it gave was in part seen already.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from itertools import islice
from typing import Any

from taskproc.batch.handlers import ResultHandler
from taskproc.batch.savers.file_saver import FileSaver, Saved
from taskproc.errors import OptionError, SaveError

ChunkResults = tuple[int, list[Any]]  # how many items a chunk had, and what they gave


def pieces(
    chunks: Iterator[ChunkResults], interval: int, start: Saved
) -> Generator[tuple[list[Any], Saved], None, None]:
    """The results, `interval` at a time and then the rest, and how far each piece goes.

    When `chunks` fails the rest is given, too, and then the failure is raised.
    """
    cutter = _Cutter(start)
    try:
        for count, results in chunks:
            cutter.add(count, results)
            while len(cutter.pending) >= interval:
                yield cutter.take(interval)
    except (Exception, KeyboardInterrupt):
        # Not a GeneratorExit: then it is who takes the pieces that has failed
        if cutter.pending:
            yield cutter.take(len(cutter.pending))
        raise
    if cutter.pending:
        yield cutter.take(len(cutter.pending))


class _Cutter:
    """Results that wait to be saved, and where in them each chunk ends."""

    def __init__(self, start: Saved):
        self.pending: deque[Any] = deque()
        self._far = start
        self._skipped = start.extra
        self._taken = start.extra                  # results since the first chunk of this run, saved before or not
        self._added = 0
        self._items = start.items
        self._ends: deque[tuple[int, int]] = deque([(0, start.items)])

    def add(self, count: int, results: list[Any]) -> None:
        """What the next chunk has given."""
        if self._skipped > len(results):
            raise SaveError(f"{self._skipped} results of a chunk are saved, which now gives {len(results)}. It is "
                            "another input, or the task gives something else each time: begin anew")
        self.pending.extend(results[self._skipped :])
        self._skipped = 0
        self._added += len(results)
        self._items += count
        self._ends.append((self._added, self._items))

    def take(self, count: int) -> tuple[list[Any], Saved]:
        """The first `count` of those that wait."""
        piece = [self.pending.popleft() for _ in range(count)]
        self._taken += count
        while len(self._ends) > 1 and self._ends[1][0] <= self._taken:
            self._ends.popleft()
        end, items = self._ends[0]
        return piece, Saved(items, self._taken - end, 0, self._far.chunk_size)


def begun_at(saver: Any, resume: bool, appends: bool, chunk_size: int) -> Saved:
    """Where in the input a batch with this saver begins. Raises OptionError where that would mix up results."""
    if not isinstance(saver, FileSaver):
        if resume:
            raise OptionError(f"resume=True needs a FileSaver, which knows how far it has come, got {saver!r}")
        return Saved(chunk_size=chunk_size)
    saved = saver.saved()
    if not resume:
        if saved.results and not saver.used and not appends:
            raise OptionError(f"{saver!r} has {saved.results} results already. Go on with resume=True, add to them "
                              "(save_kwargs = {'append': True}), or remove them")
        return Saved(saved.items, 0, 0, chunk_size)
    if saver.used:
        raise OptionError(f"{saver!r} has saved another batch. To be resumed each batch needs a saver of its own")
    if saved.results and saved.chunk_size != chunk_size:
        raise OptionError(f"{saver!r} was saved with chunk_size={saved.chunk_size}, got {chunk_size}. Give the same")
    return Saved(saved.items, saved.extra, 0, chunk_size)


def go_on(saver: Any, source: Iterator[Any], start: Saved, handler: ResultHandler) -> None:
    """Pass over the items whose results are saved, and give these to the handler. OptionError if there are fewer."""
    found = sum(1 for _ in islice(source, start.items))
    if found < start.items:
        raise OptionError(f"{saver!r} has the results of {start.items} items, the input has {found}: it is another one")
    for rows in saver.load():
        handler.add_chunk(rows)


def save(saver: Any, piece: list[Any], far: Saved, kwargs: dict[str, Any], before: int) -> None:
    """Save a piece. Raises SaveError, which says how many results were saved until then."""
    if isinstance(saver, FileSaver):
        saver.progress = far
    try:
        saver.save(piece, **kwargs)
    except Exception as error:
        raise _failed(saver, error, before) from error


def finish(saver: Any, saved: int) -> None:
    """The batch has ended, in whatever way."""
    if isinstance(saver, FileSaver):
        saver.in_batch = False
        try:
            saver.finish()
        except Exception as error:
            raise _failed(saver, error, saved) from error


def _failed(saver: Any, error: Exception, saved: int) -> SaveError:
    text = f"{saver!r} failed: {type(error).__name__}: {error}. Until then {saved} results were saved"
    return SaveError(text, saved)
