"""Calls in processes of their own: a warm one without threads, and the children that are forked from it.

A test's own process has threads, and a fresh interpreter takes 0.2 s; a child of a warm one takes 3 ms, and may be
killed, run out of space or give up its rights without harm to anybody.
"""
from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import os
import pickle
import signal
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.pace import limit

_processes = multiprocessing.get_context("forkserver")
_WARM = "tests.fault.warm"
_processes.set_forkserver_preload(["__main__", _WARM])

CRASHED = 70  # exit code of a child whose function raised


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code, negative for a signal, and what it said; the traceback if it raised."""

    code: int
    answer: Any = None

    def value(self) -> Any:
        """The answer of a child that is to have ended well."""
        assert self.code == 0, f"exit code {self.code}: {self.answer}"
        return self.answer


def nursed(function: Callable[..., Any], *arguments: Any, seconds: float = limit(110.0)) -> Any:
    """What `function` returns, called in a warm process that has no threads, from which it may fork."""
    receiver, sender = _processes.Pipe(duplex=False)
    with tempfile.NamedTemporaryFile("r") as stacks:
        process = _processes.Process(target=_answer, args=(sender, function, arguments, stacks.name, seconds))
        process.start()
        sender.close()
        try:
            assert receiver.poll(seconds), f"{function.__name__} hangs:\n{stacks.read()}"
            failed, answer = receiver.recv()
        finally:
            process.kill()
            process.join(limit(10))
    assert not failed, answer
    return answer


def _answer(
    sender: Any, function: Callable[..., Any], arguments: tuple[Any, ...], stacks: str, seconds: float
) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the tasks print is of no interest
    # A server that another test started from another folder has not found it: each child would warm up by itself
    importlib.import_module(_WARM)
    file = open(stacks, "a")  # noqa: SIM115  # open until the process ends
    faulthandler.dump_traceback_later(0.9 * seconds, file=file)
    faulthandler.register(signal.SIGALRM, file=file, chain=True)  # of a child that hangs
    try:
        answer = (False, function(*arguments))
    except BaseException:
        answer = (True, traceback.format_exc())
    sender.send(answer)


def forked(function: Callable[..., Any], *arguments: Any, seconds: float = limit(30)) -> Ended:
    """Call `function` in a child forked from here. One that hangs is ended by SIGALRM."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _be_child(writer, function, arguments, seconds)
    os.close(writer)
    with open(reader, "rb") as file:
        content = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Ended(code, pickle.loads(content) if content else None)


def _be_child(writer: int, function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float) -> None:
    signal.alarm(int(seconds))
    code = CRASHED
    try:
        try:
            answer = function(*arguments)
            code = 0
        except BaseException:
            answer = traceback.format_exc()
        content = pickle.dumps(answer)
        while content:
            content = content[os.write(writer, content) :]
    finally:
        os._exit(code)
