"""The runner for an executor, and how many tasks it may run at once."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from taskproc.checks import at_least
from taskproc.errors import BuildError, OptionError
from taskproc.kernel.model import Outcome
from taskproc.machine import available_cpus
from taskproc.run.combined_runners import Lanes, LateRunner
from taskproc.run.far_end import is_far_end
from taskproc.run.group import Grace
from taskproc.run.inbox import Inbox
from taskproc.run.pool import LocalExecutor, PoolRunner, is_in_process
from taskproc.run.runner import Ending, Runner
from taskproc.tasks.running_job import running_job

BEHIND_COMMANDS = 64  # tasks behind prefix commands at once: each takes a process, but not a worker


def choose(executor: object, max_workers: object) -> Executor | None:
    """The executor to use; None: our own worker processes. OptionError for a wrong type, or too few workers."""
    if executor is not None and not isinstance(executor, Executor):
        raise OptionError(f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}")
    if max_workers is not None:
        if executor is not None:
            raise OptionError("max_workers is for the default workers: pass it to the executor itself")
        at_least(max_workers, 1, "max_workers")
    if is_far_end() and running_job() is None:
        # Its workers would import the script as well, and so would theirs, without end
        raise BuildError(
            "run_graph() was called while a worker imported the script: put the call under `if __name__ == '__main__':`"
        )
    if executor is None and running_job() is not None:
        return LocalExecutor()  # in a task: workers of workers would only wait for each other
    return executor


def _workers(inbox: Inbox[Ending[str, Outcome[str]]], grace: Grace, count: int | None) -> Runner[str, Outcome[str]]:
    from taskproc.run.resident import ResidentRunner  # here: 10 ms, and many runs find all they need

    return ResidentRunner[str, Outcome[str]](inbox, count, grace=grace)


def _commands(inbox: Inbox[Ending[str, Outcome[str]]], grace: Grace, left: list[str]) -> Runner[str, Outcome[str]]:
    from taskproc.run.prefix_runner import PrefixRunner  # here: 5 ms, and most runs have no prefix

    return PrefixRunner[str, Outcome[str]](inbox, BEHIND_COMMANDS, grace=grace, left=left)


@contextmanager
def runner_for(
    executor: Executor | None, max_workers: int | None, grace: Grace | None = None
) -> Iterator[Lanes[str, Outcome[str]]]:
    """The runner of a run. What it started is ended with the block; an executor of the caller's is left open."""
    inbox: Inbox[Ending[str, Outcome[str]]] = Inbox()
    grace = grace or Grace()
    own: Executor | None = None
    ordinary: Runner[str, Outcome[str]]
    if executor is None and sys.platform == "win32":
        own = executor = ThreadPoolExecutor(max_workers)  # Windows has no resident workers
    if executor is None:
        ordinary = LateRunner(max_workers or available_cpus(), partial(_workers, inbox, grace, max_workers))
    elif is_in_process(executor) or sys.platform == "win32":
        ordinary = PoolRunner[str, Outcome[str]](executor, inbox)
    else:
        from taskproc.run.foreign import ForeignRunner  # here: 1 ms, and most runs have workers of their own

        workers = partial(_workers, inbox, grace)
        ordinary = ForeignRunner[str, Outcome[str]](executor, inbox, workers, grace=grace)
    left: list[str] = []
    prefixed: Runner[str, Outcome[str]] = LateRunner(BEHIND_COMMANDS, partial(_commands, inbox, grace, left))
    lanes = Lanes[str, Outcome[str]](inbox, ordinary, prefixed, left)
    try:
        yield lanes
    finally:
        lanes.stop()
        inbox.close()
        if own is not None:
            own.shutdown()
