"""Operating-system commands: their input, their output, and that nothing of them is left."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from jobs import endings, executable, fifo, is_gone, problem, read_fifo, same, ticket

from taskproc.errors import CommandFailed, OptionError
from taskproc.kernel.model import Failed
from taskproc.run.children import Child, Children
from taskproc.run.command_runner import CommandJob, CommandRunner, Exited, all_ended, shown
from taskproc.run.group import Grace, has_ended
from taskproc.run.inbox import Inbox
from taskproc.run.lifeline import can_tie
from taskproc.run.problem import rebuild

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups are of POSIX")

SHELL = "sh", "-c"


@dataclass
class Bench:
    """Commands, and the files for their output."""

    folder: Path

    def job(self, *words: str, **given: object) -> CommandJob:
        return CommandJob(words, self.folder / "out", self.folder / "err", **given)  # type: ignore[arg-type]

    def run(self, *words: str, **given: object) -> Exited | Failed:
        return self.job(*words, **given)()

    def printed(self) -> tuple[str, str]:
        return (self.folder / "out").read_text(), (self.folder / "err").read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def runner() -> Iterator[CommandRunner[str]]:
    made: CommandRunner[str] = CommandRunner(Inbox(), 8)
    yield made
    made.stop()


def test_no_shell_reads_the_words(bench: Bench) -> None:
    """Spaces, quotes, stars and dollars have no special meaning."""
    words = "$HOME *", "a'b\"c", ";", "", "new\nline"

    assert isinstance(bench.run("printf", "%s|", *words), Exited)
    assert ("".join(f"{word}|" for word in words), "") == bench.printed()


def test_what_it_prints_is_appended_to_two_files(bench: Bench) -> None:
    """Output is appended whole, each stream to its own file."""
    for word in "ab":
        bench.run(*SHELL, f"echo out {word}; echo err {word} >&2")

    assert ("out a\nout b\n", "err a\nerr b\n") == bench.printed()


def test_it_reads_nothing_unless_it_is_given_a_file(bench: Bench) -> None:
    """Without a file for stdin there is nothing to read, not even from the terminal."""
    (bench.folder / "in").write_text("given\n")

    bench.run("cat")
    bench.run("cat", stdin=bench.folder / "in")

    assert "given\n" == bench.printed()[0]


def test_folder_and_environment(bench: Bench) -> None:
    """A command may have its own folder and environment."""
    (bench.folder / "there").mkdir()
    outcome = bench.run(*SHELL, "pwd; echo $A", folder=bench.folder / "there", environ={**os.environ, "A": "b"})

    assert isinstance(outcome, Exited)
    assert f"{bench.folder / 'there'}\nb\n" == bench.printed()[0]


def test_the_exit_code_says_whether_it_ended_well(bench: Bench) -> None:
    """Exit code 0, or an allowed one, is success; a failure shows the command, the code and the end of stderr."""
    assert 0 == getattr(bench.run("true"), "code", None)
    assert 3 == getattr(bench.run(*SHELL, "exit 3", codes=(0, 3)), "code", None)

    found = problem(bench.run(*SHELL, "seq 100 >&2; exit 3"))

    assert ("command", 3) == (found.kind, found.exit_code)
    first, *last = found.text.split("\n")
    assert "command sh -c 'seq 100 >&2; exit 3' exited with code 3" == first
    assert [str(number) for number in range(91, 101)] == last
    assert isinstance(rebuild(found), CommandFailed)


def test_a_failure_shows_only_what_this_command_said(bench: Bench) -> None:
    """A failure shows output of this command only, and stdout if stderr is empty."""
    bench.run(*SHELL, "echo before >&2")

    assert problem(bench.run(*SHELL, "echo why; exit 1")).text.endswith("exited with code 1\nwhy")


def test_a_signal_is_named(bench: Bench) -> None:
    """A signal is shown with its number and name."""
    found = problem(bench.run(*SHELL, "kill -9 $$"))

    assert -9 == found.exit_code
    assert found.text.endswith("was killed by signal 9 (SIGKILL)")


def test_what_cannot_be_started_is_told(bench: Bench) -> None:
    """A command that cannot start is reported with the part that is missing or unusable."""
    script = executable(bench.folder / "script", "#!/no/such/interpreter\n")
    plain = bench.folder / "plain"
    plain.write_text("")
    gone = bench.folder / "gone"

    assert "command no-such-tool was not found" in problem(bench.run("no-such-tool")).text
    assert "plain is not executable" in problem(bench.run(str(plain))).text
    assert "was not found" in problem(bench.run(script)).text
    assert f"its working directory, '{gone}': No such file" in problem(bench.run("true", folder=gone)).text
    assert f"the file for its stdin, '{gone}': No such file" in problem(bench.run("true", stdin=gone)).text
    assert "ValueError: embedded null byte" in problem(bench.run("a\0b")).text
    assert isinstance(rebuild(problem(bench.run("no-such-tool"))), CommandFailed)


def test_a_file_that_cannot_be_written_is_told(bench: Bench) -> None:
    """If an output file cannot be written, the command does not run."""
    (bench.folder / "out").mkdir()

    assert "the file for its stdout" in problem(bench.run("true")).text


def test_no_descriptor_is_left_open(bench: Bench) -> None:
    """No descriptor stays open, whether the command could start or not."""
    before = sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []

    for words in (["true"], ["no-such-tool"], [*SHELL, "exit 1"]):
        bench.run(*words)

    assert before == (sorted(os.listdir("/proc/self/fd")) if before else [])


@pytest.mark.parametrize("tied", [True, False])
def test_what_it_leaves_behind_is_killed(bench: Bench, monkeypatch: pytest.MonkeyPatch, tied: bool) -> None:
    """When a command has ended, no process of its group runs, even without help of the kernel."""
    if not tied:
        monkeypatch.setattr("taskproc.run.children.tie", lambda pipe, group: None)
    bench.run(*SHELL, "sleep 1000 & echo $!")

    assert is_gone(int(bench.printed()[0]))


@pytest.mark.slow
def test_one_that_runs_too_long_is_ended_with_its_children(bench: Bench) -> None:
    """A command that runs too long is ended with its children, and fails."""
    found = problem(bench.run(*SHELL, "echo $$; sleep 1000 & echo $!; wait", timeout=0.1))

    assert "timeout" == found.kind
    assert "timed out after 0.1 s" in found.text
    assert [True, True] == [is_gone(int(pid)) for pid in bench.printed()[0].split()]


def interrupt_when_told(path: str) -> None:
    read_fifo(path)
    os.kill(os.getpid(), signal.SIGINT)


def test_what_interrupts_the_waiting_ends_the_command(bench: Bench) -> None:
    """An exception that interrupts the wait passes on after the command has ended."""
    told = fifo(bench.folder / "told")
    thread = threading.Thread(target=interrupt_when_told, args=(told,))
    thread.start()

    with pytest.raises(KeyboardInterrupt):
        bench.run(*SHELL, f"trap 'echo bye; exit' TERM; echo $$; echo > '{told}'; sleep 1000 & wait")

    thread.join()
    pid, said = bench.printed()[0].split()
    assert ("bye", True) == (said, is_gone(int(pid)))


def test_a_runner_tells_the_end_of_each(bench: Bench, runner: CommandRunner[str]) -> None:
    """Each command has one ending under its ticket, even if it could not start."""
    runner.start(ticket(1), bench.job("true"))
    runner.start(ticket(2), bench.job("no-such-tool"))
    runner.start(ticket(3), bench.job("false"))

    found = endings(runner, 3)

    assert isinstance(found[1], Exited)
    assert [None, 1] == [problem(found[number]).exit_code for number in (2, 3)]


def test_stop_asks_politely_first(bench: Bench, runner: CommandRunner[str]) -> None:
    """`stop` sends TERM first, also to children."""
    told = fifo(bench.folder / "told")
    runner.start(ticket(1), bench.job(*SHELL, f"trap 'echo bye; exit' TERM; echo $$ > '{told}'; sleep 1000 & wait"))
    pid = int(read_fifo(told))

    runner.stop()

    assert ("bye\n", True) == (bench.printed()[0], is_gone(pid))


def test_stop_kills_what_does_not_listen(bench: Bench) -> None:
    """`stop` kills what ignores TERM after the grace, which is over at once here."""
    grace = Grace()
    grace.hurry()
    runner: CommandRunner[str] = CommandRunner(Inbox(), 1, Children(grace))
    told = fifo(bench.folder / "told")
    runner.start(ticket(1), bench.job(*SHELL, f"trap '' TERM; sleep 1000 & echo $$ $! > '{told}'; wait"))
    pids = list(map(int, read_fifo(told).split()))

    runner.stop()

    assert [True, True] == [is_gone(pid) for pid in pids]


def test_nothing_starts_after_a_stop(bench: Bench, runner: CommandRunner[str]) -> None:
    """After `stop`, no command starts."""
    runner.stop()

    runner.start(ticket(1), bench.job("touch", str(bench.folder / "touched")))

    assert "was not started, because the run was stopped" in problem(endings(runner, 1)[1]).text
    assert not (bench.folder / "touched").exists()


SCRIPT = """
import os, signal, sys
from pathlib import Path
from taskproc.run.command_runner import CommandJob, CommandRunner
from taskproc.run.inbox import Inbox
from taskproc.kernel.model import Ticket

folder = Path(sys.argv[1])
runner = CommandRunner(Inbox(), 1)
words = "sh", "-c", f"trap '' TERM HUP; sleep 1000 & echo $$ $! > '{folder}/told'; wait"
job = CommandJob(words, folder / "out", folder / "err")
runner.start(Ticket("a", 1), job)
sys.stdin.read()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.skipif(not can_tie(), reason="only Linux can be asked for that")
def test_a_command_dies_with_who_started_it(tmp_path: Path) -> None:
    """A command dies, with its children, however its starter dies."""
    told = fifo(tmp_path / "told")
    (tmp_path / "script.py").write_text(SCRIPT)
    main = subprocess.Popen([sys.executable, str(tmp_path / "script.py"), str(tmp_path)], stdin=subprocess.PIPE)
    pids = list(map(int, read_fifo(told).split()))
    main.communicate()

    assert -signal.SIGKILL == main.returncode
    assert [True, True] == [is_gone(pid) for pid in pids]


def test_commands_of_jobs_in_threads_can_be_ended(bench: Bench) -> None:
    """Commands of jobs in threads end together; none starts within the block, and they do after it."""
    told = fifo(bench.folder / "told")
    found: list[Exited | Failed] = []
    words = *SHELL, f"echo > '{told}'; exec sleep 1000"
    thread = threading.Thread(target=lambda: found.append(bench.run(*words)))
    thread.start()
    read_fifo(told)

    with all_ended():
        inside = bench.run("true")
    thread.join()

    assert "was killed by signal 15" in problem(found[0]).text
    assert "was not started, because the run was stopped" in problem(inside).text
    assert isinstance(bench.run("true"), Exited)


def test_that_a_process_has_ended_is_seen_without_reaping_it(bench: Bench, runner: CommandRunner[str]) -> None:
    """`has_ended` does not reap, and works after other code has reaped."""
    seen: list[Child] = []
    children = Children(Grace(), lambda child, runs: seen.append(child))
    told = fifo(bench.folder / "told")
    own: CommandRunner[str] = CommandRunner(Inbox(), 1, children)
    own.start(ticket(1), bench.job("cat", told))

    before = has_ended(seen[0])
    Path(told).write_text("go")
    endings(own, 1)

    assert (False, True) == (before, has_ended(seen[0]))
    assert [seen[0]] * 2 == seen  # noted at its start and at its end


@pytest.mark.slow
def test_where_the_kernel_ties_nothing_a_worker_has_it_in_its_group(
    bench: Bench, runner: CommandRunner[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without help of the kernel, a command is in the group of its worker, and can be ended alone."""
    monkeypatch.setattr("taskproc.run.children.can_tie", lambda: False)
    monkeypatch.setattr("taskproc.run.children.is_far_end", lambda: True)
    told = fifo(bench.folder / "told")
    words = *SHELL, f"ps -o pgid= -p $$; echo $$ > '{told}'; exec sleep 1000"
    runner.start(ticket(1), bench.job(*words, timeout=0.2))
    pid = int(read_fifo(told))

    assert "timed out" in problem(endings(runner, 1)[1]).text
    assert (os.getpgrp(), True) == (int(bench.printed()[0]), is_gone(pid))


def test_no_room_and_plain_jobs_are_refused(runner: CommandRunner[str]) -> None:
    """A capacity below 1 and a plain job are refused at once."""
    with pytest.raises(OptionError, match="at least 1, got 0"):
        CommandRunner(Inbox(), 0)
    with pytest.raises(AssertionError, match="this is a bug"):
        runner.start(ticket(1), lambda: same(Failed(problem)))


def test_a_long_command_is_cut_where_it_is_shown() -> None:
    """A shown command is cut, and cannot control a terminal."""
    assert "a 'b c' '\\x1b'" == shown(["a", "b c", "\x1b"])
    assert 500 == len(shown(["x" * 1000]))
