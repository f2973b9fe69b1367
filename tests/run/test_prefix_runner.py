"""The runner for jobs behind a command."""
from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from jobs import (
    Timed,
    boom,
    call,
    endings,
    executable,
    exit_at_once,
    fifo,
    hang_in_c,
    hang_politely,
    hang_with_child,
    is_gone,
    kill_self,
    look_at_process,
    problem,
    read_fifo,
    same,
    ticket,
    value,
    variables,
)

from taskproc.errors import OptionError
from taskproc.kernel.model import Failed, Outcome
from taskproc.run.group import Grace
from taskproc.run.inbox import Inbox
from taskproc.run.lifeline import VARIABLE
from taskproc.run.prefix_job import PrefixedJob, fill_places, split_prefix
from taskproc.run.prefix_runner import PrefixRunner
from taskproc.run.problem import rebuild
from taskproc.run.runner import Ending, Job


@dataclass
class Desk:
    """A runner, the folder of its jobs, and the jobs that it may have left on a cluster."""

    runner: PrefixRunner[str, Outcome[str]]
    folder: Path
    on_cluster: list[str] = field(default_factory=list)
    grace: Grace = field(default_factory=Grace)

    def start(self, number: int, job: Job[Outcome[str]], *command: str) -> None:
        stdout, stderr = self.folder / "out.txt", self.folder / "err.txt"
        self.runner.start(ticket(number), PrefixedJob(command, job, self.folder / "jobs", stdout, stderr))

    def run(self, job: Job[Outcome[str]], *command: str) -> Outcome[str]:
        self.start(1, job, *command)
        return endings(self.runner, 1)[1]

    def left(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "jobs").iterdir())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    inbox: Inbox[Ending[str, Outcome[str]]] = Inbox()
    left: list[str] = []
    grace = Grace()
    runner: PrefixRunner[str, Outcome[str]] = PrefixRunner(inbox, grace=grace, left=left)
    yield Desk(runner, tmp_path, left, grace)
    runner.stop()
    inbox.close()


def test_a_command_carries_the_job(desk: Desk) -> None:
    """The job behind a command gives the outcome; both logs exist, and no other file is left."""
    assert "7" == value(desk.run(call(same, 7), "env", "A=b"))
    assert ("", "") == ((desk.folder / "out.txt").read_text(), (desk.folder / "err.txt").read_text())
    assert [] == desk.left()


def test_the_command_and_the_job_print_into_the_logs(desk: Desk) -> None:
    """Command and job append to the logs."""
    (desk.folder / "out.txt").write_text("before\n")
    desk.run(call(print, "job"), "sh", "-c", 'echo command; echo complaint >&2; "$@"', "sh")

    assert "before\ncommand\njob\n" == (desk.folder / "out.txt").read_text()
    assert "complaint\n" == (desk.folder / "err.txt").read_text()


def test_the_far_end_is_set_up_like_here_but_keeps_its_environment(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The far end gets our folder and import path, and keeps the environment that the command set."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setenv("HOME", "/here")
    names = ["HOME", "PYTHONPATH", "PYTHONSAFEPATH", "TASKPROC_LIFELINE"]
    desk.start(1, call(look_at_process), "env", "TASKPROC_TEST=there")
    desk.start(2, call(variables, *names), "env", "HOME=/there")

    found = endings(desk.runner, 2)

    assert value(found[1]).startswith(f"({os.getcwd()!r}, 'there', ")
    assert str(["/there", os.environ.get("PYTHONPATH"), None, None]) == value(found[2])


@pytest.mark.parametrize("name", ["with space", "qu'o\"te;$HOME*\n", "-n"])
def test_no_path_is_misread(desk: Desk, name: str) -> None:
    """Paths with special characters work: no shell reads them."""
    desk.folder = desk.folder / name
    desk.folder.mkdir()

    assert "7" == value(desk.run(call(same, 7), "env"))


def test_the_exception_of_the_job_comes_back(desk: Desk) -> None:
    """If the job raises, its exception is reported, not exit code 1 of the command."""
    found = problem(desk.run(call(boom, "x"), "nice"))

    assert ("exception", "KeyError: 'x'") == (found.kind, found.text)
    assert ("x",) == rebuild(found).args


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        (("no-such-command", "-q"), None, "prefix command 'no-such-command' was not found; is it installed"),
        (("/dev/null",), None, "prefix command '/dev/null' is not executable"),
        (("sh", "-c", "echo bad queue >&2; exit 3"), 3, "exited with code 3 before it started the task\nbad queue"),
        (("sh", "-c", "kill -9 $$"), -9, "was killed by signal 9 (SIGKILL) before it started the task"),
        (("true",), 0, "ended with code 0 but never started the task; does it wait for the job (e.g. jbsub -wait)?"),
    ],
)
def test_what_is_wrong_with_the_command_is_told(
    desk: Desk, command: tuple[str, ...], code: int | None, text: str
) -> None:
    """A command that is missing, fails, or never starts the task is reported as such."""
    (desk.folder / "err.txt").write_text("of an earlier attempt\n")
    found = problem(desk.run(call(same, 1), *command))

    assert ("prefix", code) == (found.kind, found.exit_code)
    assert text in found.text
    assert "earlier" not in found.text
    assert [] == desk.left()


@pytest.mark.parametrize(
    ("job", "command", "code", "text"),
    [
        (call(exit_at_once, 0), ("nice",), 0, "its process exited with code 0 without an answer"),
        (call(exit_at_once, 7), ("nice",), 7, "and the prefix command 'nice' exited with code 7"),
        (call(kill_self, signal.SIGKILL), ("sh", "-c", '"$@"; exit $?', "sh"), 137, "exited with code 137"),
    ],
)
def test_the_death_of_the_task_is_no_fault_of_the_command(
    desk: Desk, job: Job[Outcome[str]], command: tuple[str, ...], code: int, text: str
) -> None:
    """If the task has started and dies, the command is not blamed."""
    found = problem(desk.run(job, *command))

    assert ("died", code) == (found.kind, found.exit_code)
    assert text in found.text


def test_an_outcome_that_shows_late_is_waited_for(tmp_path: Path) -> None:
    """An outcome that a network folder shows late counts, if it comes within the patience."""
    inbox: Inbox[Ending[str, Outcome[str]]] = Inbox()
    runner: PrefixRunner[str, Outcome[str]] = PrefixRunner(inbox, patience=30)
    desk = Desk(runner, tmp_path)
    pipe = fifo(tmp_path / "pipe")
    slow = 'read go < "$0"; "$@"'
    desk.start(1, call(same, 7), "setsid", "-f", "sh", "-c", slow, pipe)

    assert [] == list(runner.wait(0.1))
    Path(pipe).write_text("go\n")
    assert "7" == value(endings(runner, 1)[1])
    runner.stop()
    inbox.close()


def test_stop_ends_the_waiting_for_a_late_outcome(tmp_path: Path) -> None:
    """`stop` does not wait for the patience."""
    inbox: Inbox[Ending[str, Outcome[str]]] = Inbox()
    runner: PrefixRunner[str, Outcome[str]] = PrefixRunner(inbox, patience=1000)
    Desk(runner, tmp_path).start(1, call(same, 7), "true")

    runner.stop()

    assert [] == list(inbox.wait(0))
    inbox.close()


def test_a_file_that_is_no_outcome_is_told(desk: Desk) -> None:
    """An outcome file with other bytes fails the task, not the run."""
    found = desk.run(call(same, 7), "sh", "-c", 'for file; do :; done; echo nonsense > "$file.outcome"', "sh")

    assert "the outcome of the job could not be unpickled: " in problem(found).text


def test_a_log_that_cannot_be_written_is_an_ending(desk: Desk) -> None:
    """A log or another file that cannot be written is an ending."""
    (desk.folder / "out.txt").mkdir()

    assert "IsADirectoryError" in problem(desk.run(call(same, 1))).text
    assert [] == desk.left()


def test_a_command_may_be_killed_while_it_runs(desk: Desk) -> None:
    """If a command is killed, its children are, too."""
    pipe, told = fifo(desk.folder / "pipe"), fifo(desk.folder / "told")
    desk.start(1, call(read_fifo, pipe), "sh", "-c", f'sleep 1000 & echo $$ $! > "{told}"; "$@"', "sh")
    command, child = map(int, Path(told).read_text().split())
    os.kill(command, signal.SIGTERM)

    assert -15 == problem(endings(desk.runner, 1)[1]).exit_code
    assert is_gone(child)


def test_a_command_has_its_time_though_there_is_a_hurry(desk: Desk) -> None:
    """A command has its patience even if the user is in a hurry; a plain interpreter does not."""
    told, go, alone = (fifo(desk.folder / name) for name in ("told", "go", "alone"))
    polite = 'trap \'read go < "$1"; echo "Submitted batch job 17"; exit 1\' TERM; echo $$ > "$0"; '
    polite += "while :; do sleep 0.05; done"  # short ones: a sleep that was just forked may lose a TERM
    desk.start(1, call(same, 1), "sh", "-c", polite, told, go)
    desk.start(2, call(hang_with_child, alone))
    pids = [int(pid) for path in (told, alone) for pid in read_fifo(path).split()]
    desk.grace.hurry()

    stop = threading.Thread(target=desk.runner.stop)
    stop.start()
    hasty = [is_gone(pid) for pid in pids[1:]]
    Path(go).write_text("go\n")
    stop.join()

    assert ([True, True], True) == (hasty, is_gone(pids[0]))
    assert ["scancel 17"] == desk.on_cluster


def test_a_job_that_may_be_left_is_named(desk: Desk) -> None:
    """Jobs that were submitted, or held by a killed command, are named with the command that ends them."""
    held = 'echo "srun: job 17 queued and waiting for resources" >&2; '

    found = [
        problem(desk.run(call(same, 1), "echo", "Submitted batch job 16")).text,
        problem(desk.run(call(same, 1), "sh", "-c", f"{held} kill -9 $$")).text,
        problem(desk.run(call(same, 1), "sh", "-c", f"{held} exit 1")).text,
    ]

    ends = ["to end it: scancel 16", "to end it: scancel 17", "exited with code 1"]
    assert [True] * 3 == [end in text for end, text in zip(ends, found)], found
    assert "scancel" not in found[2]


def test_a_far_end_in_a_job_is_named_when_its_command_is_killed(desk: Desk) -> None:
    """If a command is killed, the cluster job of its far end is named."""
    pipe = fifo(desk.folder / "pipe")
    there = f'SLURM_JOB_ID=18 {VARIABLE}= setsid "$@" & wait'
    desk.start(1, call(hang_politely, pipe), "sh", "-c", there, "sh")
    far, child = map(int, read_fifo(pipe).split())
    command = int(Path(f"/proc/{far}/stat").read_text().rpartition(")")[2].split()[1])

    os.kill(command, signal.SIGKILL)

    assert "to end it: scancel 18" in problem(endings(desk.runner, 1)[1]).text
    assert [True, True] == [is_gone(far), is_gone(child)]


def test_a_missing_working_directory_is_told(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A far end that does not see the working directory fails, since relative paths would be wrong."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    script = executable(tmp_path / "command", f'#!/bin/sh\nrmdir "{tmp_path}/gone"\ncd /\n"$@"\n')

    found = problem(desk.run(call(same, 1), script))

    assert "prefix" == found.kind
    assert f"the working directory '{tmp_path / 'gone'}' cannot be used" in found.text


def test_a_prefixed_job_can_be_called_here(tmp_path: Path) -> None:
    """A prefixed job can be called here, without its command."""
    job = PrefixedJob(("no-such-command",), call(os.getpid), tmp_path, tmp_path, tmp_path)

    assert str(os.getpid()) == value(job())


def test_no_room_is_refused() -> None:
    """A capacity below 1 is refused when the runner is made."""
    with pytest.raises(OptionError, match="at least 1, got 0"):
        PrefixRunner(Inbox(), 0)


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("jbsub -wait -mem 64g", ("jbsub", "-wait", "-mem", "64g")),
        ("srun --comment='a b'", ("srun", "--comment=a b")),
        ("", ()),
        (["srun", "a b"], ("srun", "a b")),
    ],
)
def test_a_prefix_is_split_as_by_a_shell(prefix: str | list[str], words: tuple[str, ...]) -> None:
    """A text is split as by a shell; a sequence is taken as it is."""
    assert words == split_prefix(prefix)


def test_an_open_quote_is_refused() -> None:
    """An open quote is refused, with the prefix and the reason."""
    with pytest.raises(OptionError, match="prefix \"srun 'a\" cannot be split into words: No closing quotation"):
        split_prefix("srun 'a")


@pytest.mark.parametrize(
    ("word", "filled"),
    [
        ("-o{stdout}", "-o/a b/out"),
        ("{task_name}-{task_id}", "m.T-5"),
        ("{other} {} {{stdout} ${HOME} {", "{other} {} {/a b/out ${HOME} {"),
        ("{stderr}", "{stderr}"),
        ("{task_directory}", "{task_id}"),
    ],
)
def test_places_are_filled_and_other_braces_stay(word: str, filled: str) -> None:
    """A value is neither split nor filled again."""
    values = {"stdout": "/a b/out", "task_name": "m.T", "task_id": "5", "task_directory": "{task_id}", "other": "no"}

    assert (filled, "x") == fill_places([word, "x"], values)


def test_a_plain_job_is_a_fault_of_ours(desk: Desk) -> None:
    """A plain job in this lane is a bug."""
    with pytest.raises(AssertionError, match="this is a bug"):
        desk.runner.start(ticket(1), call(same, 1))


def test_failed_far_ends_exit_with_1(desk: Desk) -> None:
    """The exit code of the far end says whether the task failed."""
    command = ("sh", "-c", '"$@"; echo "code $?"', "sh")
    assert isinstance(desk.run(call(boom, "x"), *command), Failed)
    desk.run(call(same, 1), *command)

    assert "code 1\ncode 0\n" == (desk.folder / "out.txt").read_text()


@pytest.mark.slow
def test_the_far_end_ends_itself_where_the_near_end_cannot(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The far end enforces the timeout if signals do not reach it; time in a queue does not count."""
    monkeypatch.setattr("taskproc.run.prefix_runner.LOOK_FOR_BEGIN_EVERY", 1000)
    pipe = fifo(desk.folder / "pipe")
    desk.start(1, Timed(hang_politely, (pipe,), timeout=0.2), "setsid", "--wait", "env", f"{VARIABLE}=")
    pids = read_fifo(pipe).split()

    found = problem(endings(desk.runner, 1)[1])

    assert ("timeout", "timed out after 0.2 s") == (found.kind, found.text)
    assert [True, True] == [is_gone(int(pid), 1) for pid in pids]


@pytest.mark.slow
def test_the_near_end_ends_what_the_far_end_cannot(desk: Desk) -> None:
    """The near end enforces the timeout if C code holds the interpreter of the far end."""
    pipe = fifo(desk.folder / "pipe")
    desk.start(1, Timed(hang_in_c, (pipe,), timeout=0.2))
    pid = int(read_fifo(pipe))

    assert "timed out after 0.2 s" == problem(endings(desk.runner, 1)[1]).text
    assert is_gone(pid, 1)
