"""TaskManager: a list of commands, of which so many run at once, to be extended by inheritance."""
from __future__ import annotations

import logging
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskproc.checks import at_least
from taskproc.commands.alone import Alone
from taskproc.commands.feed import SLOT, Feed
from taskproc.commands.record import Finished
from taskproc.drive import drive
from taskproc.errors import OptionError
from taskproc.folders import absolute
from taskproc.kernel.limits import Limits
from taskproc.kernel.model import Outcome
from taskproc.kernel.plan import Plan
from taskproc.machine import available_cpus
from taskproc.run.base import Ending
from taskproc.run.child import Child
from taskproc.run.children import Children
from taskproc.run.command import CommandRunner, use
from taskproc.run.group import Grace, has_ended
from taskproc.run.inbox import Inbox
from taskproc.run.pool import PoolRunner
from taskproc.run.signals import Signals

if TYPE_CHECKING:
    from taskproc.store.cache import Cache

logger = logging.getLogger("taskproc")

_TIMEOUTS = {"proc_poll_dt": 0.2, "next_free_dt": 0.5, "proc_popen_dt": 0.5}


class TaskManager:
    """Runs the commands in `task_descriptors`, at most `n_threads` at once, until the list is empty and all have ended.

    A task descriptor is a list of strings: the program, and its arguments in their order. No shell is run. Override
    `update_task_descriptors` to fill the list, also while commands run.

    The document that this class is from contradicts itself and its code, and here the reading is taken that loses
    nothing: `run` waits for the commands that run still when the list is empty; the first in the list is run first;
    exit codes and what is printed are kept; nothing is polled.

    Args:
        n_threads: how many commands run at once; None: as many as this process may use processors.
        timeouts: the seconds that the document lists (`proc_poll_dt`, `next_free_dt`, `proc_popen_dt`) and any others.
            They are there as attributes for hooks that want to wait, and nothing else waits for them.
        output_folder: where what commands print goes, as `<number>.stdout.txt` and `<number>.stderr.txt`; None: a
            temporary folder, which is removed with the manager.
        shared_folder: a folder, or a Cache, that several managers share, on one computer or on several: each descriptor
            is run once, by one of them, and the others wait for it or do another one meanwhile. What a computer that
            dies had begun another one does. Outputs are kept there. A descriptor may be a `Command`, built in
            `manager.cache`.

    Attributes:
        procs: for each slot the process that runs there, or None.
        task_descriptors: what has not been started. With a shared folder it is emptied as soon as it is seen, for what
            others do takes no slot here.
        finished: how each ended, in the order in which they did: a list of Finished.
        cache: that of the shared folder, in force while `run` runs; None without one.

    A command that cannot be started, or ends with another exit code than 0, is told in `finished` and by a warning of
    the logger 'taskproc'; the others go on.
    """

    def __init__(
        self,
        n_threads: int | None = None,
        timeouts: Mapping[str, float] | None = None,
        *,
        output_folder: str | os.PathLike[str] | None = None,
        shared_folder: str | os.PathLike[str] | Cache | None = None,
    ):
        count = available_cpus() if n_threads is None else at_least(n_threads, 1, "n_threads")
        if output_folder is not None and shared_folder is not None:
            raise OptionError("output_folder is of no use with a shared_folder, where outputs are kept")
        self.n_threads = count
        self.timeouts = {**_TIMEOUTS, **(timeouts or {})}
        self.proc_poll_dt = self.timeouts["proc_poll_dt"]
        self.next_free_dt = self.timeouts["next_free_dt"]
        self.proc_popen_dt = self.timeouts["proc_popen_dt"]
        self.procs: list[Child | None] = [None] * count
        self.task_descriptors: list[Any] = []
        self.finished: list[Finished] = []
        self.output_folder = None if output_folder is None else Path(absolute(output_folder))
        self.cache = None if shared_folder is None else _cache(shared_folder)
        self._inbox: Inbox[Ending[Any, Outcome[Any]]] | None = None
        self._count = 0

    def update_task_descriptors(self) -> None:
        """To be overridden: bring `task_descriptors` up to date. It may wait as long as it likes; others run meanwhile.

        Called before each command is started, and whenever one has ended and a slot is free; when it leaves the list
        empty and nothing runs, `run` ends.
        """

    def final_task_descriptor(self) -> Any:
        """To be overridden: a last command, when all others have ended well, or None. Asked once a run.

        It is there to combine what they made. With a shared folder it is run by one of the managers, as all are.
        """
        return None

    def update_tasks_status(self) -> int | None:
        """Clear the slots of processes that have ended; the index of a free slot (the last one), or None."""
        found = None
        for index, child in enumerate(self.procs):
            if child is not None and has_ended(child):
                self.procs[index] = child = None
            found = index if child is None else found
        return found

    def wake(self) -> None:
        """Have `update_task_descriptors` asked soon, though nothing has ended. From any thread."""
        if self._inbox is not None:
            self._inbox.ring()

    def run(self) -> None:
        """Run all, and return when the list is empty and the last command has ended.

        Ctrl-C (and SIGTERM, SIGHUP) ends all commands with their children, TERM and then KILL; what had not ended
        stands at the head of the list again. So it is with an exception of a hook.
        """
        if self._inbox is not None:
            raise RuntimeError("this manager runs already")
        grace = Grace()
        with ExitStack() as stack:
            inbox = self._inbox = Inbox()
            stack.callback(self._close, inbox)
            children = Children(grace, self._note)
            feed: Feed[Any] = Feed(self, self._count)
            signals = Signals(inbox.ring, grace.hurry, lambda: feed.is_asking, wakeup=inbox.button())
            with signals:
                try:
                    self._run(feed, children, signals)
                except BaseException:
                    if not signals.first:
                        raise
            signals.check()

    def _run(self, feed: Feed[Any], children: Children, signals: Signals) -> None:
        plan: Plan[Any] = Plan(Limits({SLOT: self.n_threads}))
        with self._set_up(feed, children) as (work, runner):
            try:
                for event in drive(plan, work, runner, stop_on_failure=False, check=signals.check):
                    self._tell(work.finished(event))
                self._tell(work.finished(None))
            finally:
                children.end(os.getpid())
                self.task_descriptors[:0] = feed.unfinished(plan)
                self._count = feed.count

    @contextmanager
    def _set_up(self, feed: Feed[Any], children: Children) -> Iterator[tuple[Any, Any]]:
        """Who answers the questions, and who runs: alone or with others."""
        assert self._inbox is not None, "it was set by `run` [this is a bug]"
        if self.cache is None:
            runner: CommandRunner[int] = CommandRunner(self._inbox, self.n_threads, children)
            yield Alone(feed, self._folder(), self.n_threads, self._inbox.ring), runner
            return
        from taskproc.commands.shared import Shared  # here: 20 ms, for what others are told of

        with self.cache, ThreadPoolExecutor(self.n_threads, "taskproc-command", use, (children,)) as pool:
            work = Shared(feed, self.cache.store)
            try:
                yield work, PoolRunner(pool, self._inbox)
            finally:
                pool.shutdown()
                work.end()

    def _folder(self) -> Path:
        if self.output_folder is None:
            temporary = tempfile.TemporaryDirectory(prefix="taskproc-")
            weakref.finalize(self, temporary.cleanup)
            self.output_folder = Path(temporary.name)
        self.output_folder.mkdir(parents=True, exist_ok=True)
        return self.output_folder

    def _note(self, child: Child, runs: bool) -> None:
        """A process has started or ended; see Children."""
        try:
            self.procs[self.procs.index(None if runs else child)] = child if runs else None
        except ValueError:
            pass  # its slot was cleared by `update_tasks_status`

    def _tell(self, records: Iterable[Finished]) -> None:
        for record in records:
            self.finished.append(record)
            if record.problem:
                logger.warning("task descriptor %d: %s", record.number, record.problem)

    def _close(self, inbox: Inbox[Ending[Any, Outcome[Any]]]) -> None:
        self._inbox = None
        inbox.close()


def _cache(given: str | os.PathLike[str] | Cache) -> Cache:
    from taskproc.store.cache import Cache  # here: for those who share

    return given if isinstance(given, Cache) else Cache(given)
