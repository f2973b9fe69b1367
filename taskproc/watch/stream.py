"""The events of a run, sent to all watchers; a watcher that raises is dropped, and the run goes on."""
from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from taskproc.frozen import frozen
from taskproc.kernel.model import Event

logger = logging.getLogger("taskproc")

# Labels of places in a run that is watched; what no user writes as a label
WORKERS, COMMANDS = "(workers)", "(commands)"


class Remaining(NamedTuple):
    """Seconds that a run will still take: most likely, at least and at most, as far as is known.

    Attributes:
        unknown: tasks that are not counted, since no task of their class has run before.
    """

    likely: float
    low: float
    high: float
    unknown: int = 0


def left_unknown() -> Remaining | None:
    """Where nobody computes what is left."""
    return None


@frozen
class Outline:
    """What is known of a run when it begins.

    Attributes:
        totals: task class → how many tasks of it there are.
        waits: asked at any time and in any thread: label → how many tasks are ready, and wait for a slot of it right
            now. `(workers)` and `(commands)` are the places of the run itself; empty: those that start at once.
        left: asked at any time and in any thread: how long the run will still take; None while nothing is known. It
            does not wait: the answer is computed beside the run, and is there some time after the first question.
    """

    totals: Mapping[str, int]
    waits: Callable[[], Mapping[str, int]]
    left: Callable[[], Remaining | None] = left_unknown


class Watcher(Protocol):
    """Consumes the events of one run, all of them in the thread that drives it. Slow watchers slow the run.

    A watcher may also have a method `begin(outline)`, which gets an `Outline` before the first event.
    """

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        """Take note of `event`.

        Args:
            name: of the task's class.
            text: gives the task as people write it; costs some microseconds, so it is asked only where it is shown.
        """
        ...

    def close(self) -> None:
        """The run is over, however it ended; no more events come."""
        ...


class Stream:
    """Several watchers as one, and none that can hurt the run.

    Attributes:
        is_watched: whether there is a watcher; else nothing need be put into words.
    """

    def __init__(self, watchers: Iterable[Watcher]):
        self._watchers = list(watchers)
        self.is_watched = bool(self._watchers)

    def begin(self, outline: Outline) -> None:
        """Give the outline of the run to those who want it."""
        self._call_all(lambda watcher: getattr(watcher, "begin", _nothing)(outline))

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        """Tell each watcher, in the order in which they were given."""
        self._call_all(lambda watcher: watcher.tell(event, name, text))

    def _call_all(self, call: Callable[[Watcher], object]) -> None:
        for watcher in self._watchers[:]:
            try:
                call(watcher)
            except Exception as error:  # noqa: BLE001  # whoever watches must not decide how a run ends
                self._drop(watcher, error)

    def close(self) -> None:
        """Close each watcher, also after one that raised. Idempotent."""
        watchers, self._watchers, self.is_watched = self._watchers, [], False
        for watcher in watchers:
            _close(watcher)

    def _drop(self, watcher: Watcher, error: Exception) -> None:
        self._watchers.remove(watcher)
        self.is_watched = bool(self._watchers)
        logger.warning(
            "%s raised %s: %s; it gets no more events, the run goes on",
            type(watcher).__name__,
            type(error).__name__,
            error,
        )
        _close(watcher, again=True)


def _nothing(outline: Outline) -> None:
    """What a watcher without a `begin` does."""


def _close(watcher: Watcher, *, again: bool = False) -> None:
    """Close it in any case: it may hold the terminal. `again`: it was complained of already."""
    try:
        watcher.close()
    except Exception as error:  # noqa: BLE001  # see above
        if not again:
            logger.warning("%s raised %s at the end: %s", type(watcher).__name__, type(error).__name__, error)
