"""What a run does when it is interrupted: it says so, ends or waits for what runs, and tells how to go on."""
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from taskproc.errors import CacheError
from taskproc.kernel.model import Outcome
from taskproc.kernel.plan import Plan
from taskproc.run.cluster import jobs_left
from taskproc.run.group import Grace
from taskproc.run.lanes import Lanes
from taskproc.run.pool import PoolRunner
from taskproc.run.signals import Signals
from taskproc.streams import write_error
from taskproc.tasks.graph_work import GraphWork
from taskproc.tasks.now import running_job


class Interrupts:
    """The signals of one run.

    Attributes:
        signals: to be entered for the time of the run. Of a run inside a task none: they are for the outer one.
    """

    def __init__(self, work: GraphWork, plan: Plan[str], runner: Lanes[str, Outcome[str]], grace: Grace):
        self._work, self._plan, self._runner, self._grace = work, plan, runner, grace
        inside = running_job() is not None
        self.signals = Signals(
            runner.ring, self._press, lambda: running_job() is not None, enabled=not inside, wakeup=runner.button()
        )

    def wind_down(self, settle: Callable[[], None]) -> None:
        """After the first signal: end what can be ended. Threads cannot: `settle` is called until they are through.

        But commands that they wait for can.
        """
        if count := len(self._in_threads()):
            from taskproc.run.command import all_ended  # here: 3 ms, and most runs are not interrupted

            tasks = "a running task" if count == 1 else f"{count} running tasks"
            why = f"waiting for {tasks}, which cannot be ended in threads"
            write_error(f"interrupted: {why}; a second signal leaves at once")
            self._runner.prefixed.stop()
            with all_ended():
                while self._in_threads():
                    settle()
        self._runner.stop()

    def tell(self) -> None:
        """Put away what was left, and write the one line that says how far the run came."""
        running = [key for key in self._work.known.graph.needs if self._plan.state(key) == "running"]
        published = sum(map(self._was_published, running))
        done, stopped = self._plan.count("done") + published, len(running) - published
        part = f", {stopped:,} stopped" if stopped else ""
        write_error(f"interrupted: {done:,} of {len(self._work.known.graph.needs):,} done{part}; run again to resume")

    def _was_published(self, key: str) -> bool:
        try:
            return self._work.interrupted(key)
        except (OSError, CacheError):
            return False  # the cache was removed under the run

    def _in_threads(self) -> list[str]:
        work, pool = self._work, self._runner.ordinary
        if not isinstance(pool, PoolRunner) or pool.is_inline:
            return []
        keys = (key for key in work.known.graph.needs if self._plan.state(key) == "running")
        return [key for key in keys if key not in work.placement.commands]

    def _press(self) -> None:
        self._grace.hurry()
        # What runs behind commands can be ended, and has its own time for it
        if self._in_threads() or (isinstance(self._runner.ordinary, PoolRunner) and running_job() is not None):
            self._work.end()  # claims that threads hold count as dead from now on
            for stream in (sys.stdout, sys.stderr):
                _flush(stream)
            os._exit(128 + self.signals.first)


def tell_of_jobs(left: Sequence[str]) -> None:
    """Say which jobs may be left on a cluster, if any. `left`: the commands that end them."""
    if left:
        write_error(f"\nhint: {jobs_left(left)}")


def _flush(stream: object) -> None:
    try:
        stream.flush()  # type: ignore[attr-defined]  # None, or whatever the user has put there
    except (OSError, ValueError, RuntimeError, AttributeError):
        pass  # as in write_error
