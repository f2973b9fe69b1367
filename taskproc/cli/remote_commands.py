"""`python -m taskproc.remote`: create a key, serve a task manager, work for one, and show its status."""
from __future__ import annotations

import ipaddress
import os
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from taskproc.cli.parsing import call
from taskproc.cli.table import REMOTE, REMOTE_COMMANDS, command_lines
from taskproc.cli.usage import DONE, INTERRUPTED, UsageError, UserError, guarded, output, say, tell
from taskproc.run.group import Grace
from taskproc.run.inbox import Inbox
from taskproc.run.signals import Signals
from taskproc.text import counted, did_you_mean

if TYPE_CHECKING:
    from taskproc.remote.server import Server
    from taskproc.remote.task_manager import TaskManager

T = TypeVar("T")
_LAST_WORDS = 5.0  # seconds for which a terminated manager answers while processes are registered
_LAST_CALLS = 0.5  # seconds for which it answers in any case, so that pending requests learn that it ends

_HELP = """\
usage: {prog} COMMAND …

Distribute tasks to processes on any machine, and collect the results.

commands:
{commands}

options:
  -h, --help   show this and exit; after a command: all its options
"""


class _Ending:
    """How signals end a command: the first one asks it to end, each further one leaves it no time.

    While the command starts, a signal interrupts it. Later the main thread waits only in `inbox`, where no signal is
    lost (run/signals.py); other calls that may take long are made in other threads.
    """

    def __init__(self) -> None:
        self.inbox: Inbox[object] = Inbox()
        self.grace = Grace()
        self.is_starting, self.is_pressed = True, False
        self.signals = Signals(self.inbox.ring, self._press, lambda: self.is_starting, wakeup=self.inbox.button())

    def has_come(self) -> bool:
        """Whether a signal has come."""
        return bool(self.signals.first)

    def code(self) -> int:
        """The exit code of a command that has ended in order."""
        return INTERRUPTED if self.has_come() else DONE

    def _press(self) -> None:
        self.is_pressed = True
        self.grace.hurry()
        self.inbox.ring()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of this process, and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    known = [word for word in words[:1] if word in REMOTE_COMMANDS]
    ending = _Ending()
    with ending.signals:
        code = guarded(lambda: _dispatch(words, ending), f"see `{' '.join([REMOTE, *known])} --help`")
        if argv is None and ending.has_come():
            ending.signals.ignore()
    return code


def _dispatch(words: list[str], ending: _Ending) -> int:
    try:
        if words[:1] in (["-h"], ["--help"]):
            print(_HELP.format(prog=REMOTE, commands=command_lines(REMOTE_COMMANDS.values())), end="")
            return DONE
        if not words or words[0] not in REMOTE_COMMANDS:
            word = f", got {words[0]!r}{did_you_mean(words[0], REMOTE_COMMANDS)}" if words else ""
            raise UsageError(f"the command must be one of {', '.join(REMOTE_COMMANDS)}{word}")
        return call(REMOTE_COMMANDS[words[0]], f"{REMOTE} {words[0]}", words[1:], ending)
    finally:
        ending.is_starting = False


def key_command(given: Namespace, _: _Ending) -> int:
    """`key FILE`: create a key."""
    from taskproc.store.rules import make_key_file

    make_key_file(given.file)
    tell(f"created {given.file}: anyone who can read it can send tasks to all processes that use it")
    return DONE


def serve_command(given: Namespace, ending: _Ending) -> int:
    """`serve`: serve a task manager until it is terminated or interrupted."""
    from taskproc.remote.server import Server
    from taskproc.remote.task_manager import TaskManager

    class RingingManager(TaskManager):
        """Ends the wait of this command when a process terminates it."""

        def terminate(self) -> None:
            super().terminate()
            ending.inbox.ring()

    manager = RingingManager(most_deaths=given.most_deaths)
    with Server(manager, given.address, key=given.key_file) as server:
        _warn_if_open(server)
        from taskproc.remote.channel import address_text

        tell(f"serving on {address_text(server.address)}")
        with output():
            sys.stdout.flush()
        ending.is_starting = False
        while not (ending.has_come() or manager.wait_for_termination(0)):
            ending.inbox.wait(None)
        manager.terminate()
        _wait_for_last_requests(manager, ending)
        say(f"{'interrupted' if ending.has_come() else 'terminated'}, with {_counts(manager)}")
    return ending.code()


def _wait_for_last_requests(manager: TaskManager, ending: _Ending) -> None:
    """Keep answering: results can be collected, workers unregister, and pending requests get their answer."""
    now = time.monotonic()
    first, last = now + _LAST_CALLS, now + _LAST_WORDS
    while not ending.is_pressed and time.monotonic() < (last if manager.number_of_active_processes() else first):
        ending.inbox.wait(0.05)


def _counts(manager: TaskManager) -> str:
    waiting, running, results = (sum(counts.values()) for counts in manager.number_of_tasks())
    return f"{counted(waiting, 'task')} waiting, {running:,} running, {counted(results, 'result')} not collected"


def _warn_if_open(server: Server) -> None:
    host = server.address[0]
    if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        say(
            f"warning: {host} can be reached from other machines. Processes without the key are refused, but the "
            "traffic is not encrypted: it can be read and changed on its way\n\n"
            "hint: serve on 127.0.0.1 and connect by `ssh -N -L PORT:127.0.0.1:PORT HOST` or TLS (docs/remote.md)"
        )


def work_command(given: Namespace, ending: _Ending) -> int:
    """`work`: run tasks until the task manager is terminated or does not answer."""
    module = _module_and_tags(given.module)
    ending.is_starting = False
    from taskproc.remote.agent import Agent
    from taskproc.remote.client import connect

    manager = _aside(lambda: connect(given.address, given.key_file, retry=given.retry), ending)
    options = {"jobs": given.jobs, "period": given.period, "inbox": ending.inbox, "grace": ending.grace}
    # If it has registered, it should also unregister
    agent = _aside(lambda: Agent(manager, *module, **options), ending, patience=_LAST_WORDS)
    try:
        agent.run(ending.has_come)
    finally:
        tasks = f"{counted(agent.done, 'task')} done"
        say(f"{tasks}, unfinished tasks are returned" if ending.has_come() else tasks)
    return ending.code()


def _aside(call: Callable[[], T], ending: _Ending, patience: float = 0.0) -> T:
    """Make a call that may take long in another thread; return its value, or raise its exception.

    Raises KeyboardInterrupt if a signal comes and the call has not ended `patience` seconds later.
    """
    values: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            values.append(call())
        except BaseException as error:  # noqa: BLE001  # raised again in the main thread
            errors.append(error)
        ending.inbox.ring()

    def has_ended(seconds: float | None) -> bool:
        if not (values or errors):
            ending.inbox.wait(seconds)
        return bool(values or errors)

    threading.Thread(target=run, name="taskproc-connect", daemon=True).start()
    while not (ending.has_come() or has_ended(None)):
        pass
    if not ending.grace.wait(has_ended, time.monotonic() + patience):
        raise KeyboardInterrupt
    if errors:
        raise errors[0]
    return values[0]


def _module_and_tags(target: str) -> tuple[str, list[str]]:
    """The name by which worker processes import the module, and the tags it has functions for, with that of calls."""
    from taskproc.remote.calls import PREFIX
    from taskproc.remote.requests import CALL

    if not target:
        return "", [CALL]
    module = _loaded_module(target)
    tags = [name.removeprefix(PREFIX) for name, value in vars(module).items()
            if name.startswith(PREFIX) and callable(value)]
    if not tags:
        raise UsageError(f"{target!r} has no function called {PREFIX}<tag>", hint="")
    return module.__name__, [*tags, CALL]


def _loaded_module(target: str) -> ModuleType:
    if target.endswith(".py") or os.sep in target:
        from taskproc.cli.entry_class import load_script  # here: it imports modules that run tasks

        return load_script(target)
    from importlib import import_module

    try:
        return import_module(target)
    except ModuleNotFoundError as error:
        if error.name not in (target, target.partition(".")[0]):
            raise UserError from error
        raise UsageError(f"no module {target!r} can be imported from here", hint="") from None
    except Exception as error:
        raise UserError from error


def remote_status_command(given: Namespace, _: _Ending) -> int:
    """`status`: show the numbers of processes and tasks."""
    from taskproc.remote.client import connect
    from taskproc.remote.waiting import missing_worker_text

    with connect(given.address, given.key_file) as manager:
        waiting, running, results = manager.number_of_tasks()
        tell(counted(manager.number_of_active_processes(), "process", "processes"))
        missing = manager.tags_without_worker()
    for tag in sorted({*waiting, *running, *results}):
        counts = [f"{numbers.get(tag, 0):,} {state}" for numbers, state in
                  ((waiting, "waiting"), (running, "running"), (results, "results"))]
        tell(f"{tag}: {', '.join(counts)}")
    for tag in missing:
        say(f"warning: {missing_worker_text(tag)}")
    return DONE
