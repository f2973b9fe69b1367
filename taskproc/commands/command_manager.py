"""TaskManager: runs a list of commands, a limited number at once; subclasses fill the list."""
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
from taskproc.commands.descriptors import SLOT, Feed, Finished
from taskproc.commands.local_commands import LocalCommands
from taskproc.drive import drive
from taskproc.errors import OptionError
from taskproc.folders import absolute_path
from taskproc.kernel.limits import Limits
from taskproc.kernel.model import Outcome
from taskproc.kernel.plan import Plan
from taskproc.machine import available_cpus
from taskproc.run.child import Child
from taskproc.run.children import Children
from taskproc.run.command_runner import CommandRunner, use_children
from taskproc.run.group import Grace, has_ended
from taskproc.run.inbox import Inbox
from taskproc.run.pool import PoolRunner
from taskproc.run.runner import Ending
from taskproc.run.signals import Signals

if TYPE_CHECKING:
    from taskproc.store.cache import Cache

logger = logging.getLogger("taskproc")

_TIMEOUTS = {"proc_poll_dt": 0.2, "next_free_dt": 0.5, "proc_popen_dt": 0.5}


class TaskManager:
    """Runs the commands in `task_descriptors`, at most `n_threads` at once, until the list is empty and all have ended.

    A task descriptor is a list of strings: the program and its arguments. No shell is used. The first descriptor in the
    list is run first. Override `update_task_descriptors` to fill the list, even while commands run.

    If a command cannot be started, or its exit code is not 0, `finished` and a warning of the logger 'taskproc' report
    it, and the other commands continue.

    Args:
        n_threads: how many commands run at once; None: the number of processors that this process may use.
        timeouts: seconds by name: `proc_poll_dt`, `next_free_dt`, `proc_popen_dt` and any others. The first three are
            attributes, for hooks that want to wait; the manager itself does not wait for them.
        output_folder: receives the output of commands as `<number>.stdout.txt` and `<number>.stderr.txt`; None: a
            temporary folder, which is removed with the manager.
        shared_folder: a folder, or a Cache, that several managers share, on one computer or several. Each descriptor is
            run once, by one of them; if its computer dies, another one runs it. Outputs are stored there. A descriptor
            may be a `Command`, built in `manager.cache`.

    Attributes:
        procs: the running process of each slot, or None; `n_threads` entries.
        task_descriptors: descriptors that have not been started. With a shared folder the list is emptied at once,
            because commands that other managers run need no slot here.
        finished: a Finished for each descriptor that has ended, in the order of their ends.
        cache: that of the shared folder, active during `run`; None without one.

    Raises:
        OptionError: an argument is wrong.
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
            raise OptionError("output_folder and shared_folder both store outputs; pass only one of them")
        self.n_threads = count
        self.timeouts = {**_TIMEOUTS, **(timeouts or {})}
        self.proc_poll_dt = self.timeouts["proc_poll_dt"]
        self.next_free_dt = self.timeouts["next_free_dt"]
        self.proc_popen_dt = self.timeouts["proc_popen_dt"]
        self.procs: list[Child | None] = [None] * count
        self.task_descriptors: list[Any] = []
        self.finished: list[Finished] = []
        self.output_folder = None if output_folder is None else Path(absolute_path(output_folder))
        self.cache = None if shared_folder is None else _as_cache(shared_folder)
        self._inbox: Inbox[Ending[Any, Outcome[Any]]] | None = None
        self._count = 0

    def update_task_descriptors(self) -> None:
        """To be overridden: bring `task_descriptors` up to date. It may wait: running commands continue.

        Called before each command is started, and whenever one has ended and a slot is free. When it leaves the list
        empty and no command runs, `run` ends.
        """

    def final_task_descriptor(self) -> Any:
        """To be overridden: a last command, or None. Called once a run, when all other commands have succeeded.

        It can combine their results. With a shared folder, one of the managers runs it.
        """
        return None

    def update_tasks_status(self) -> int | None:
        """Clear the slots of processes that have ended, and return the index of the last free slot, or None."""
        free = None
        for index, child in enumerate(self.procs):
            if child is not None and has_ended(child):
                self.procs[index] = child = None
            free = index if child is None else free
        return free

    def wake(self) -> None:
        """Make the manager call `update_task_descriptors` soon, though no command has ended. From any thread."""
        if self._inbox is not None:
            self._inbox.ring()

    def run(self) -> None:
        """Run all commands, and return when the list is empty and the last command has ended.

        Ctrl-C, SIGTERM, SIGHUP or an exception of a hook end all commands with their child processes, by TERM and then
        KILL. Descriptors that had not ended are put back at the head of the list.

        Raises:
            RuntimeError: this manager is already running.
            KeyboardInterrupt: after Ctrl-C.
        """
        if self._inbox is not None:
            raise RuntimeError("this manager is already running")
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
        """The work and the runner: local, or shared with other managers."""
        assert self._inbox is not None, "it was set by `run` [this is a bug]"
        if self.cache is None:
            runner: CommandRunner[int] = CommandRunner(self._inbox, self.n_threads, children)
            yield LocalCommands(feed, self._folder(), self.n_threads, self._inbox.ring), runner
            return
        from taskproc.commands.shared_commands import SharedCommands  # here: 20 ms, only for shared folders

        with self.cache, ThreadPoolExecutor(self.n_threads, "taskproc-command", use_children, (children,)) as pool:
            work = SharedCommands(feed, self.cache.store)
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
        """Record that a process has started or ended; see Children."""
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


def _as_cache(folder: str | os.PathLike[str] | Cache) -> Cache:
    from taskproc.store.cache import Cache  # here: only for shared folders

    return folder if isinstance(folder, Cache) else Cache(folder)
