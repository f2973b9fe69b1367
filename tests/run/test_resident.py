"""The runner with worker processes of our own."""
from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs import (
    LIMIT,
    Unloadable,
    Unsendable,
    append_and_exit,
    call,
    change_process,
    endings,
    executable,
    exit_at_once,
    fifo,
    fork_and_exit,
    import_and_ask,
    interrupt_self,
    is_gone,
    kill_self,
    leave_orphan,
    look_at_process,
    package_environ,
    problem,
    read_fifo,
    run_python,
    same,
    stdin,
    ticket,
    value,
    variables,
)

from taskproc.errors import OptionError
from taskproc.frozen import replace
from taskproc.machine import share_of_threads
from taskproc.run.far_end import Setup, register_script
from taskproc.run.inbox import Inbox
from taskproc.run.process import Worker
from taskproc.run.resident import ResidentRunner
from taskproc.run.runner import Ending
from taskproc.run.worker_protocol import READY
from taskproc.text import size_text


@pytest.fixture
def runner() -> Iterator[ResidentRunner[str]]:
    """With one worker, so that one job runs after another in the same process."""
    inbox: Inbox[Ending[str]] = Inbox()
    runner: ResidentRunner[str] = ResidentRunner(inbox, 1)
    yield runner
    runner.stop()
    inbox.close()


def test_no_workers_are_refused() -> None:
    """A number of workers below 1 is refused when the runner is made."""
    with pytest.raises(OptionError, match="at least 1, got 0"):
        ResidentRunner(Inbox(), 0)


def test_the_default_is_one_worker_for_each_processor() -> None:
    """By default there is a worker for each processor that this process may use."""
    assert 1 <= ResidentRunner(Inbox()).capacity() <= (os.cpu_count() or 1)


def test_without_a_job_there_is_no_process(runner: ResidentRunner[str]) -> None:
    """Without a job no process starts."""
    assert [] == list(runner.wait(0))
    assert {} == runner._workers


def test_a_worker_is_kept_and_put_in_order(runner: ResidentRunner[str], tmp_path: Path) -> None:
    """The next job runs in the same process and finds it as the first did."""
    look, change = call(look_at_process), call(change_process, str(tmp_path))
    for number, job in enumerate([call(os.getpid), look, change, look, call(os.getpid)]):
        runner.start(ticket(number), job)

    found = endings(runner, 5)

    assert value(found[0]) == value(found[4]) != str(os.getpid())
    assert value(found[1]) == value(found[3])


def test_a_worker_is_alone_in_its_session(runner: ResidentRunner[str]) -> None:
    """Ctrl-C in the terminal does not reach a worker, SIGINT does nothing there, and stdin is empty."""
    runner.start(ticket(1), call(os.getsid, 0))
    runner.start(ticket(2), call(os.getpid))
    runner.start(ticket(3), call(interrupt_self))
    runner.start(ticket(4), call(stdin))

    found = endings(runner, 4)

    assert value(found[1]) == value(found[2])
    assert ("still here", "") == (value(found[3]), value(found[4]))


def test_the_environment_is_that_of_the_main_process(
    runner: ResidentRunner[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job sees the environment of the main process, with its share of the threads of BLAS."""
    monkeypatch.setenv("TASKPROC_TEST", "x")
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    runner.start(ticket(1), call(variables, "TASKPROC_TEST", "MKL_NUM_THREADS", "PYTHONSAFEPATH", "PYTHONPATH"))

    expected = ["x", "7", None, os.environ.get("PYTHONPATH")]

    assert str(expected) == value(endings(runner, 1)[1])


def test_threads_of_blas_are_shared_out() -> None:
    """Each worker has at least one thread of BLAS, and a setting of the user stays."""
    shared = share_of_threads(10_000, {"MKL_NUM_THREADS": "3"})

    assert {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "3"} == shared


def test_pickles_that_fail_at_the_far_end_are_endings(runner: ResidentRunner[str]) -> None:
    """A job that cannot be unpickled, or an outcome that cannot be pickled, costs no worker."""
    runner.start(ticket(0), call(os.getpid))
    runner.start(ticket(1), call(same, Unloadable()))
    runner.start(ticket(2), Unsendable())
    runner.start(ticket(3), call(os.getpid))

    found = endings(runner, 4)

    assert "could not be unpickled" in problem(found[1]).text
    assert "cannot be pickled" in problem(found[2]).text
    assert value(found[0]) == value(found[3])


def test_a_job_that_died_is_not_run_again(runner: ResidentRunner[str], tmp_path: Path) -> None:
    """A job that had begun is blamed for the death and does not run again."""
    runner.start(ticket(1), call(append_and_exit, str(tmp_path / "journal")))

    assert 5 == problem(endings(runner, 1)[1]).exit_code
    assert "x" == (tmp_path / "journal").read_text()


def test_jobs_that_wait_survive_the_death_of_the_worker(runner: ResidentRunner[str]) -> None:
    """A dead worker is replaced, and its exit code reported once."""
    for number in range(3):
        runner.start(ticket(number), call(exit_at_once, 9) if number == 1 else call(same, number))

    found = endings(runner, 3)

    assert ("0", 9, "2") == (value(found[0]), problem(found[1]).exit_code, value(found[2]))


def test_a_worker_that_was_killed_while_idle_is_nobodys_fault(runner: ResidentRunner[str]) -> None:
    """If an idle worker is killed, the next job runs in another one."""
    runner.start(ticket(1), call(os.getpid))
    pid = int(value(endings(runner, 1)[1]))
    os.kill(pid, signal.SIGKILL)
    assert is_gone(pid)

    runner.start(ticket(2), call(same, "fine"))

    assert "fine" == value(endings(runner, 1)[2])


QUITTER = """#!{python}
import socket, sys
socket.socket(fileno=int(sys.argv[-4])).sendall(bytes([1, 0, 0, 0, 0, 0, 0, 0]) + b"r")
open({tries!r}, "a").write("x")
"""


def test_a_job_that_nobody_begins_is_not_tried_for_ever(
    runner: ResidentRunner[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job fails after three workers have died before they began it."""
    monkeypatch.setattr(sys, "executable", executable(tmp_path / "python", QUITTER.format(
        python=sys.executable, tries=str(tmp_path / "tries")
    )))
    runner.start(ticket(1), call(same, 1))

    assert "died" == problem(endings(runner, 1)[1]).kind
    assert "xxx" == (tmp_path / "tries").read_text()


def test_a_child_that_holds_all_does_not_hide_the_death(runner: ResidentRunner[str], tmp_path: Path) -> None:
    """A death is seen even if a fork holds the socket; the fork is killed too."""
    runner.start(ticket(1), call(fork_and_exit, str(tmp_path / "child")))

    assert 4 == problem(endings(runner, 1)[1]).exit_code
    assert is_gone(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize(
    ("script", "text"),
    [("#!/bin/sh\necho no such thing >&2\nexit 3\n", "exited with code 3\nno such thing"), (None, "could be started")],
)
def test_a_worker_that_cannot_start_is_an_ending(
    runner: ResidentRunner[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, text: str
) -> None:
    """If no worker can start, the job fails after one try, with its last words."""
    python = str(tmp_path / "python") if script is None else executable(tmp_path / "python", script)
    monkeypatch.setattr(sys, "executable", python)
    for number in range(2):
        runner.start(ticket(number), call(same, number))

    found = endings(runner, 2)

    assert ["died", "died"] == [problem(found[number]).kind for number in range(2)]
    assert text in problem(found[0]).text


def test_a_start_after_stop_is_an_ending(runner: ResidentRunner[str]) -> None:
    """After `stop`, no process starts."""
    runner.stop()
    runner.start(ticket(1), call(same, 1))

    assert "the runner has been stopped" == problem(endings(runner, 1)[1]).text


def test_idle_workers_end_by_themselves(runner: ResidentRunner[str], tmp_path: Path) -> None:
    """Idle workers end by themselves and run their exit handlers."""
    module = tmp_path / "at_exit.py"
    done = str(tmp_path / "done")
    module.write_text(f"import atexit, pathlib\natexit.register(pathlib.Path({done!r}).touch)\nX = 1\n")
    register_script("at_exit_of_a_worker", str(module))
    runner.start(ticket(1), call(import_and_ask, "at_exit_of_a_worker", "X"))
    assert "1" == value(endings(runner, 1)[1])

    runner.stop()

    assert (tmp_path / "done").exists()


def test_large_messages_go_both_ways(runner: ResidentRunner[str]) -> None:
    """Messages far larger than a socket buffer go both ways."""
    runner.start(ticket(1), call(same, "x" * 3_000_000))

    assert 3_000_000 == len(value(endings(runner, 1)[1]))


def test_a_fork_of_the_main_process_stops_nothing(runner: ResidentRunner[str], tmp_path: Path) -> None:
    """A fork of the main process does not touch the workers."""
    pipe = fifo(tmp_path / "pipe")
    runner.start(ticket(1), call(read_fifo, pipe))
    child = os.fork()
    if child == 0:
        runner.stop()
        os._exit(0)
    os.waitpid(child, 0)
    Path(pipe).write_text("kept")

    assert "kept" == value(endings(runner, 1)[1])


MAIN = """
import os, sys, signal
from jobs import call, endings, hang_in_c, hang_with_child, ticket
from taskproc.run.inbox import Inbox
from taskproc.run.resident import ResidentRunner
from taskproc.run.prefix_runner import PrefixRunner
from taskproc.run.prefix_job import PrefixedJob
from pathlib import Path
class Mine:
    def __call__(self):
        return call(type(self).__qualname__.lower)()
if __name__ == "__main__":
    kind, how, *pipes = sys.argv[1:]
    inbox = Inbox()
    runner = ResidentRunner(inbox, 2) if kind == "resident" else PrefixRunner(inbox, 2)
    prefix = ("nice",) if kind == "nice" else ()
    def start(number, job):
        if kind != "resident":
            job = PrefixedJob(prefix, job, Path.cwd(), Path("out"), Path("err"))
        runner.start(ticket(number), job)
    if how == "main":
        start(1, Mine())
        print(endings(runner, 1)[1].stamp.value)
        runner.stop()
    else:
        hang = hang_in_c if how == "c" else hang_with_child
        for number, pipe in enumerate(pipes):
            start(number, call(hang, pipe))
        pids = [Path(pipe).read_text() for pipe in pipes]
        if how == "fork":
            pids.append(str(os.fork()))
            if pids[-1] == "0":
                signal.pause()
        print(" ".join(pids), flush=True)
        if how != "exit":
            signal.pause()
"""


def family(tmp_path: Path, kind: str, how: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A main process, and the ids of the processes below it; a fork of it comes last."""
    (tmp_path / "main.py").write_text(MAIN)
    pipes = [fifo(tmp_path / f"pipe {number}") for number in range(2)]
    main = subprocess.Popen(
        [sys.executable, "main.py", kind, how, *pipes], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env=package_environ([str(Path(__file__).parent)]),
    )
    assert main.stdout is not None
    return main, [int(pid) for pid in main.stdout.readline().split()]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "how"), [("resident", "kill"), ("resident", "c"), ("prefix", "kill"), ("nice", "c")])
def test_nothing_outlives_a_main_process_that_is_killed(tmp_path: Path, kind: str, how: str) -> None:
    """Nothing outlives a killed main process, not even C code or a child that is not Python."""
    main, pids = family(tmp_path, kind, how)

    main.kill()
    main.communicate(timeout=LIMIT)

    assert [True] * len(pids) == [is_gone(pid, 2) for pid in pids]
    assert len(pids) == (2 if how == "c" else 4)


@pytest.mark.slow
def test_a_fork_of_the_main_process_does_not_keep_its_workers(tmp_path: Path) -> None:
    """Workers end even if a fork holds the lifeline: their parent has changed."""
    main, [*workers, fork] = family(tmp_path, "resident", "fork")

    main.kill()

    try:
        assert [True] * 4 == [is_gone(pid, 2) for pid in workers]
    finally:
        os.kill(fork, signal.SIGKILL)
        main.communicate(timeout=LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["resident", "prefix"])
def test_the_end_of_the_program_stops_the_runner(tmp_path: Path, kind: str) -> None:
    """The end of the program stops the runner, even without a call of `stop`."""
    main, pids = family(tmp_path, kind, "exit")

    main.communicate(timeout=LIMIT)

    assert (0, [True] * 4) == (main.returncode, [is_gone(pid, 0) for pid in pids])


@pytest.mark.parametrize("kind", ["resident", "prefix"])
def test_a_job_of_the_main_module_is_found(tmp_path: Path, kind: str) -> None:
    """A class that is `__main__.Mine` here is `main.Mine` there."""
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "jobs.py").write_text((Path(__file__).parent / "jobs.py").read_text())

    shown = run_python("main.py", kind, "main", cwd=tmp_path)

    assert "mine\n" == shown.stdout, shown.stderr


def test_a_worker_that_has_become_another_program_is_given_up(runner: ResidentRunner[str]) -> None:
    """A worker that has replaced its process by another program is killed."""
    runner.start(ticket(1), call(os.execvp, "sleep", ["sleep", "1000"]))

    found = problem(endings(runner, 1)[1])

    assert "its worker process closed its end of the channel (exec, or all descriptors closed)" == found.text


def test_a_job_that_leaves_children_takes_its_worker_along(runner: ResidentRunner[str]) -> None:
    """If a job leaves children, they end, and the next job gets a new process; ended children do no harm."""
    jobs = [call(leave_child, "true"), call(os.getpid), call(leave_child, "sleep"), call(os.getpid)]
    for number, job in enumerate(jobs):
        runner.start(ticket(number), job)

    found = endings(runner, 4)

    _, first = value(found[0]).split()
    child, second = value(found[2]).split()
    assert first == value(found[1]) == second
    assert second != value(found[3])
    assert is_gone(int(child), 1)


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are given to nobody elsewhere")
def test_orphans_of_a_job_end_with_it_and_are_no_children_of_the_next(
    runner: ResidentRunner[str], tmp_path: Path
) -> None:
    """Orphans of a job are dead before its answer, and the worker stays."""
    jobs = [call(leave_orphan, fifo(tmp_path / f"told {number}"), "exec sleep 1000") for number in range(2)]
    jobs.append(call(leave_orphan, fifo(tmp_path / "told"), ":"))
    workers, alive = set(), []
    for number, job in enumerate(jobs):
        runner.start(ticket(number), job)
        worker, pid = value(endings(runner, 1)[number]).split()
        workers.add(worker)
        alive.append(os.path.exists(f"/proc/{pid}"))

    assert (1, [False] * 3) == (len(workers), alive)


def leave_child(command: str) -> str:
    child = subprocess.Popen([command, *(["1000"] if command == "sleep" else [])])
    if command == "true":
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    child.returncode = 0  # Python would warn that it runs
    return f"{child.pid} {os.getpid()}"


@pytest.mark.parametrize("hard", [False, True])
def test_a_limit_is_lifted_after_the_job(runner: ResidentRunner[str], hard: bool) -> None:
    """A limit that a job sets is lifted afterwards, or the worker is replaced."""
    runner.start(ticket(1), call(lower_limit, hard))
    runner.start(ticket(2), call(resource.getrlimit, resource.RLIMIT_CORE))

    assert str(resource.getrlimit(resource.RLIMIT_CORE)) == value(endings(runner, 2)[2])


def lower_limit(hard: bool) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0 if hard else resource.getrlimit(resource.RLIMIT_CORE)[1]))


def test_a_worker_whose_folder_was_removed_meanwhile_is_ready(tmp_path: Path) -> None:
    """A worker starts even if its folder was removed meanwhile."""
    worker = Worker(replace(Setup.here(), folder=str(tmp_path / "gone")))
    try:
        assert select.select([worker.channel], [], [], LIMIT)[0]
        assert [READY] == list(worker.read())
    finally:
        worker.close()


def test_a_peak_that_may_be_the_main_process_is_only_a_bound(runner: ResidentRunner[str]) -> None:
    """A peak memory that may be that of the main process is reported as a bound."""
    much = b"x" * 100_000_000
    runner.start(ticket(1), call(kill_self, signal.SIGKILL))

    found = problem(endings(runner, 1)[1])

    assert found.text.endswith(f"SIGKILL), peak memory at most {size_text(found.memory)}")
    assert found.memory > len(much)
