"""The far end of a resident worker, without the process around it."""
from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs import Unloadable, Unsendable, boom, call, change_process, leave, look_at_process, problem, same, value

from taskproc.run.baseline import Baseline
from taskproc.run.worker import run
from taskproc.run.worker_protocol import (
    ANSWER,
    BEGAN,
    JOB,
    KIND,
    LEAVING,
    OF_KIND,
    PART,
    PLAIN,
    READY,
    REFUSED,
    Messages,
    send,
)


@pytest.fixture
def channel() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    yield here, there
    here.close()
    there.close()


@pytest.mark.parametrize("size", [0, 1, 1 << 16, 3_000_000])
def test_a_message_comes_whole(channel: tuple[socket.socket, socket.socket], size: int) -> None:
    """A message of any size arrives whole."""
    here, there = channel
    content = os.urandom(size)
    thread = threading.Thread(target=send, args=(here, content))
    thread.start()

    assert content == Messages(there).next()
    thread.join()


@pytest.mark.parametrize("part", [b"", b"\x05", b"\x05\0\0\0\0\0\0\0ab"])
def test_the_end_is_no_message(channel: tuple[socket.socket, socket.socket], part: bytes) -> None:
    """At the end of the channel there is no message, not even half of one."""
    here, there = channel
    here.sendall(part)
    here.close()

    messages = Messages(there)

    assert (None, True) == (messages.next(), messages.closed)


def test_a_job_is_run_and_its_outcome_pickled() -> None:
    """`run` takes a pickled job and returns the pickled outcome."""
    assert "5" == value(pickle.loads(run(pickle.dumps(call(same, 5)))))


@pytest.mark.parametrize(
    ("job", "kind", "text"),
    [
        (call(boom, "x"), "exception", "KeyError: 'x'"),
        (call(leave, 3), "exception", "SystemExit: 3"),
        (call(same, Unloadable()), "exception", "the job could not be unpickled in its worker process: ValueError: "),
        (Unsendable(), "result", "the outcome of the job cannot be pickled: TypeError: "),
    ],
)
def test_whatever_goes_wrong_is_an_outcome(job: object, kind: str, text: str) -> None:
    """If the job, its pickle or the pickle of its outcome fails, the worker does not."""
    found = problem(pickle.loads(run(pickle.dumps(job))))

    assert kind == found.kind
    assert found.text.startswith(text)


@pytest.fixture
def _own_process_state() -> Iterator[None]:
    handler, environ, folder = signal.getsignal(signal.SIGTERM), dict(os.environ), os.getcwd()
    timer = signal.getitimer(signal.ITIMER_REAL)
    alarm = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, handler)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, *timer)


@pytest.mark.usefixtures("_own_process_state")
def test_what_a_job_changes_is_put_back(tmp_path: Path) -> None:
    """Working directory, environment, signal handlers and timer are put back."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    before = look_at_process()
    baseline = Baseline()
    change_process(str(tmp_path))
    assert before != look_at_process()

    baseline.restore()

    assert before == look_at_process()


@pytest.mark.usefixtures("_own_process_state")
def test_a_folder_that_is_gone_is_left(tmp_path: Path) -> None:
    """A job that removes its working directory does not keep the next one from starting."""
    (tmp_path / "gone").mkdir()
    baseline = Baseline()
    before = os.getcwd()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    baseline.restore()

    assert before == os.getcwd()


@pytest.mark.usefixtures("_own_process_state")
def test_a_folder_that_cannot_be_returned_to_is_done_without(tmp_path: Path) -> None:
    """If the folder cannot be entered again, the worker stays where it is."""
    (tmp_path / "home").mkdir()
    os.chdir(tmp_path / "home")
    baseline = Baseline()
    os.chdir(tmp_path)
    (tmp_path / "home").rmdir()

    baseline.restore()

    assert str(tmp_path) == os.getcwd()


def test_what_is_said_is_told_apart() -> None:
    """The first bytes of all messages in one direction differ."""
    there = JOB, OF_KIND, KIND
    here = READY, BEGAN, LEAVING, REFUSED, ANSWER, PLAIN, PART

    assert (len(set(there)), len(set(here)), set(map(len, there + here))) == (len(there), len(here), {1})
