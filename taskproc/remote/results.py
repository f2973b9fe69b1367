"""Results that are there, in the order in which they came, and those who wait for one."""
from __future__ import annotations

import threading
from collections.abc import Container

from taskproc.kernel.limits import Limits, Line
from taskproc.remote.desk import Desk
from taskproc.remote.nouns import PUBLIC, Finished, is_private, termination


class Results:
    """The part of a task manager that hands them out, with its lock. `terminated` is when nobody waits any more."""

    def __init__(self, lock: threading.Lock, terminated: threading.Event) -> None:
        self._lock, self._terminated = lock, terminated
        self._finished: dict[str, Finished] = {}
        self._results: Line[str] = Line(Limits({}))
        self._results_desk: Desk[Finished] = Desk(self._lock, self._pick, self._unpick)

    def get_any_result(self, timeout: float | None = None) -> tuple[str, str, object]:
        """The result that has been there longest: task id, tag and value; it is taken away. TaskRaisedException."""
        finished = self.take_result(None, timeout)
        return finished.task_id, finished.tag, finished.result()

    def get_result_with_tag(self, tag: str, timeout: float | None = None) -> tuple[str, object]:
        """The same among those of one tag: task id and value."""
        finished = self.take_result(tag, timeout)
        return finished.task_id, finished.result()

    def take_result(self, tag: str | None, timeout: float | None = None) -> Finished:
        """A result as it is kept, also one that raised; None: of any tag that is not private."""
        among: Container[str] = PUBLIC if tag is None else frozenset({tag})
        with self._lock:
            found = self._pick(among, None)
            if found is None:
                self._refuse_if_terminated()  # only now: what is there is nobody else's
                found = self._results_desk.wait(among, None, timeout)
            return found

    def put_back_result(self, finished: Finished) -> None:
        """Undo `take_result`: whoever took it never got it."""
        with self._lock:
            self._unpick(finished)
            self._results_desk.serve()

    # Below here the lock is held

    def _publish(self, finished: Finished) -> None:
        self._finished[finished.task_id] = finished
        self._results.join(finished.task_id, (finished.reply_tag,))
        self._results_desk.serve()

    def _pick(self, among: Container[str], _: int | None) -> Finished | None:
        task_id = self._results.next(among)
        if task_id is None:
            return None
        found = self._finished.pop(task_id)
        self._results.leave(task_id, (found.reply_tag,))
        return found

    def _unpick(self, finished: Finished) -> None:
        self._finished[finished.task_id] = finished
        self._results.join(finished.task_id, (finished.reply_tag,), first=True)

    def _drop_private_results(self, process: int) -> None:
        """What only that process could have got."""
        for finished in list(self._finished.values()):
            if finished.requester == process and is_private(finished.reply_tag):
                del self._finished[finished.task_id]
                self._results.leave(finished.task_id, (finished.reply_tag,))

    def _refuse_if_terminated(self) -> None:
        if self._terminated.is_set():
            raise termination()
