"""The keeper of a process ends all that the process leaves, and ends as the process did."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jobs import executable, fifo, is_gone, package_environ, read_fifo

from taskproc.run.child import KeptChild
from taskproc.run.keeper import be_subreaper, children_of, is_subreaper

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="looks for processes in /proc")
DAEMON = """
import os, signal, sys
if os.fork():
    os.wait()
    open(sys.argv[1]).read()
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else signal.SIG_DFL)
with open(sys.argv[2], "w") as file:
    file.write(str(os.getpid()))
signal.pause()
"""


@contextmanager
def kept(*words: str, patience: float = 0.0, **options: object) -> Iterator[KeptChild]:
    with open(os.devnull, "wb") as nowhere:
        child = KeptChild(words, patience, (), **{"stdout": nowhere, "stderr": nowhere, **options})  # type: ignore[arg-type]
    try:
        yield child
    finally:
        if child.returncode is None:
            child.tell(signal.SIGKILL)
            child.bury()


@pytest.mark.parametrize(
    ("words", "code"),
    [(["true"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], -9), (["sh", "-c", "kill -15 $$"], -15)],
)
def test_it_ends_as_the_command_does(words: list[str], code: int) -> None:
    """The keeper reports the end of the command and ends in the same way."""
    with kept(*words) as child:
        said = child.await_end(), child.await_end(), child.bury().code

    assert (code,) * 3 == said
    assert code == child.returncode


@pytest.mark.parametrize(("word", "kind"), [("no-such-command", FileNotFoundError), ("/dev/null", PermissionError)])
def test_what_cannot_be_started_is_an_error_here(word: str, kind: type[OSError]) -> None:
    """A command that cannot start raises as without a keeper, and leaves no process or descriptor."""
    before = sorted(os.listdir("/proc/self/fd"))

    with pytest.raises(kind) as caught, kept(word):
        pass

    assert word == caught.value.filename
    assert before == sorted(os.listdir("/proc/self/fd"))


def test_a_command_finds_all_as_without_a_keeper(tmp_path: Path) -> None:
    """Words, environment, signals and descriptors are as without a keeper; the command leads a session."""
    script = executable(tmp_path / "script", (
        "#!/bin/sh\nprintf '%s|' \"$@\"; env -0 | sort -z | tr '\\0' '\\n'; ls /proc/self/fd | wc -l\n"
        "grep -E '^Sig(Ign|Blk)' /proc/self/status; [ $(ps -o sid= -p $$) = $$ ] && echo leads\n"
    ))  # fmt: skip
    words = [script, "", "a b", "ü\n", b"\xff".decode("utf-8", "surrogateescape")]
    environ = {"PATH": os.environ["PATH"], "A": "ü\n", "PYTHONPATH": "/x"}

    with open(tmp_path / "kept", "wb") as file, kept(*words, stdout=file, env=environ, cwd=tmp_path) as child:
        child.await_end()
    with open(tmp_path / "plain", "wb") as file:
        subprocess.run(words, stdout=file, env=environ, cwd=tmp_path, start_new_session=True, check=True)

    assert (tmp_path / "plain").read_bytes() == (tmp_path / "kept").read_bytes()


@pytest.mark.parametrize("patience", [0.0, 1000.0])
@pytest.mark.parametrize("stubborn", ["stubborn", ""])
def test_a_daemon_is_ended_with_its_command(tmp_path: Path, patience: float, stubborn: str) -> None:
    """A daemon ends when the command is buried, not before; one that ignores TERM is killed at once."""
    go, told = fifo(tmp_path / "go"), fifo(tmp_path / "told")
    with kept(sys.executable, "-c", DAEMON, go, told, stubborn, patience=patience) as child:
        pid = int(read_fifo(told))
        Path(go).write_text("go")
        assert 0 == child.await_end()
        lives = Path(f"/proc/{pid}").exists()
        child.bury()
        found = lives, Path(f"/proc/{pid}").exists()

    assert (True, False) == found


def test_a_daemon_that_ends_by_itself_is_reaped(tmp_path: Path) -> None:
    """The keeper reaps daemons while a command runs, so no zombies gather."""
    go, told = fifo(tmp_path / "go"), fifo(tmp_path / "told")
    with kept(sys.executable, "-c", DAEMON, go, told) as child:
        pid = int(read_fifo(told))
        orphan = pid in children_of(child.pid)
        os.kill(pid, signal.SIGTERM)
        while Path(f"/proc/{pid}").exists():
            os.sched_yield()
        Path(go).write_text("go")
        assert 0 == child.await_end()

    assert orphan


def test_a_keeper_that_is_killed_takes_its_command_along() -> None:
    """If the keeper is killed, the command dies, and that is its reported end."""
    with kept("sleep", "1000") as child:
        os.kill(child.pid, signal.SIGKILL)

        assert -signal.SIGKILL == child.await_end()
        assert is_gone(child.command_pid)


STUBBORN = "trap '' TERM; echo $$ > \"$0\"; sleep 1000 & wait"
# Short sleeps, for one that a shell has just forked may lose a TERM to the shell's own trap
POLITE = "trap 'read go < \"$1\"; echo bye > \"$2\"; exit' TERM; echo $$ > \"$0\"; while :; do sleep 0.05; done"
OWNER = """
import os, sys
from taskproc.run.child import KeptChild

patience, *words = sys.argv[1:]
child = KeptChild(words, float(patience), ())
sys.stdin.read()
os.kill(os.getpid(), 9)
"""


@contextmanager
def owner(patience: float, *words: str) -> Iterator[Callable[[], None]]:
    """A process that has a command; the given action kills it."""
    program = [sys.executable, "-c", OWNER, str(patience), *words]
    with subprocess.Popen(program, stdin=subprocess.PIPE, env=package_environ(), stdout=subprocess.DEVNULL) as process:
        yield lambda: process.communicate() and None  # type: ignore[func-returns-value]


def test_without_patience_a_command_dies_with_its_owner(tmp_path: Path) -> None:
    """Without patience, a command dies with its owner, even if it ignores TERM."""
    told = fifo(tmp_path / "told")
    with owner(0, "sh", "-c", STUBBORN, told) as kill:
        pid = int(read_fifo(told))
        kill()

        assert is_gone(pid)


def test_with_patience_it_has_time_to_tell_others(tmp_path: Path) -> None:
    """With patience, a command gets TERM and has time, here until it may continue."""
    told, go, said = fifo(tmp_path / "told"), fifo(tmp_path / "go"), tmp_path / "said"
    with owner(60, "sh", "-c", POLITE, told, go, str(said)) as kill:
        pid = int(read_fifo(told))
        kill()
        Path(go).write_text("go\n")

        assert is_gone(pid)
    assert "bye\n" == said.read_text()


def test_its_patience_has_an_end(tmp_path: Path) -> None:
    """After the patience, a command that ignores TERM is killed."""
    told = fifo(tmp_path / "told")
    with owner(0.2, "sh", "-c", STUBBORN, told) as kill:
        pid = int(read_fifo(told))
        kill()

        assert is_gone(pid)


def test_what_a_wrapper_leaves_has_time_as_well(tmp_path: Path) -> None:
    """A process has its patience, even if its wrapper has ended at TERM before."""
    told, go, said = fifo(tmp_path / "told"), fifo(tmp_path / "go"), tmp_path / "said"
    wrapped = f"sh -c '{POLITE.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}' \"$@\" & wait"
    with kept("sh", "-c", wrapped, "sh", told, go, str(said), patience=60.0) as child:
        inner = int(read_fifo(told))
        child.tell(signal.SIGTERM)
        assert -signal.SIGTERM == child.await_end()
        buried = threading.Thread(target=child.bury)
        buried.start()
        Path(go).write_text("go\n")
        buried.join()

        assert is_gone(inner)
    assert ("bye\n", False) == (said.read_text(), child.was_killed)


def test_this_process_takes_orphans_only_while_it_wants_to() -> None:
    """In a process of others, orphans are taken only for a while."""
    was = is_subreaper()
    be_subreaper(True)
    during = is_subreaper()
    be_subreaper(False)

    assert (False, True, False) == (was, during, is_subreaper())
