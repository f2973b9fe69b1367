"""The events of a run, sent to all watchers; a watcher that raises is dropped, and the run goes on."""
from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from taskproc.frozen import frozen
from taskproc.kernel.model import Event

logger = logging.getLogger("taskproc")

# Labels of places in a run; no user writes such a label
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
    """The facts about a run that are known when it begins.

    Attributes:
        totals: task class → the number of its tasks.
        waits: may be called at any time and in any thread: label → the number of ready tasks that wait for a slot of
            it now. `(workers)` and `(commands)` are the places of the run itself; "": tasks that start at once.
        left: may be called at any time and in any thread: how long the run will still take; None while nothing is
            known. It does not wait: the answer is computed beside the run, some time after the first call.
    """

    totals: Mapping[str, int]
    waits: Callable[[], Mapping[str, int]]
    left: Callable[[], Remaining | None] = left_unknown


class Watcher(Protocol):
    """Consumes the events of one run. All methods are called in the thread that drives it: slow watchers slow the run.

    A watcher may also have a method `begin(outline)`, which gets an `Outline` before the first event.
    """

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        """Consume `event`.

        Args:
            name: the name of the task class.
            text: gives the task as people write it. It costs some microseconds, so call it only to show the text.
        """
        ...

    def close(self) -> None:
        """The run is over, in whatever way; no more events come."""
        ...


class Stream:
    """Several watchers as one; an error of a watcher does not affect the run.

    Attributes:
        is_watched: whether there is a watcher; if not, no text needs to be made.
    """

    def __init__(self, watchers: Iterable[Watcher]):
        self._watchers = list(watchers)
        self.is_watched = bool(self._watchers)

    def begin(self, outline: Outline) -> None:
        """Give the outline of the run to the watchers that have a `begin`."""
        self._call_all(lambda watcher: getattr(watcher, "begin", _nothing)(outline))

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        """Give the event to each watcher, in their order."""
        self._call_all(lambda watcher: watcher.tell(event, name, text))

    def _call_all(self, call: Callable[[Watcher], object]) -> None:
        for watcher in self._watchers[:]:
            try:
                call(watcher)
            except Exception as error:  # noqa: BLE001  # a watcher must not decide how a run ends
                self._drop(watcher, error)

    def close(self) -> None:
        """Close all watchers, also if one raises. Idempotent."""
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
    """The `begin` of a watcher without one."""


def _close(watcher: Watcher, *, again: bool = False) -> None:
    """Close the watcher in any case: it may hold the terminal. `again`: a warning of it was logged already."""
    try:
        watcher.close()
    except Exception as error:  # noqa: BLE001  # see above
        if not again:
            logger.warning("%s raised %s at the end: %s", type(watcher).__name__, type(error).__name__, error)
