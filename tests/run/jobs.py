"""Jobs that pickle, and how tests learn that a process is gone."""
from __future__ import annotations

import functools
import os
import pickle
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskproc.kernel.model import Done, Failed, Outcome, Stamp, Ticket
from taskproc.run.far_end import begin_timeout
from taskproc.run.kinds import Kind, KindJob
from taskproc.run.runner import Runner

# Seconds after which a test has hung, as in tests/pace.py, which a worker cannot import
LIMIT = 60.0 * float(os.environ.get("TASKPROC_TESTS_PACE", "1"))


@dataclass(frozen=True)
class Call:
    """A job whose stamp has the text of the result of `function`."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()

    def __call__(self) -> Outcome[str]:
        return Done(Stamp("order", str(self.function(*self.arguments))))


@dataclass(frozen=True)
class Timed(Call):
    """A job with a timeout, which begins after some seconds."""

    timeout: float = 60.0
    before: float = 0.0

    def __call__(self) -> Outcome[str]:
        time.sleep(self.before)
        begin_timeout(self.timeout)
        return super().__call__()


def call(function: Callable[..., Any], *arguments: Any) -> Call:
    return Call(function, arguments)


@dataclass(frozen=True)
class Does:
    """A kind: all its jobs call `function`, each with its own argument."""

    function: Callable[..., Any]

    def __call__(self, own: bytes) -> Outcome[str]:
        return call(self.function, *pickle.loads(own))()

    def job(self, *arguments: Any) -> KindJob[Outcome[str]]:
        return KindJob(_kind(self), pickle.dumps(arguments))


@functools.cache
def _kind(does: Does) -> Kind:
    return Kind(pickle.dumps(does))


class Unloadable:
    """Pickles, but raises when it is unpickled."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


@dataclass(frozen=True)
class Unsendable:
    """A job whose outcome cannot be pickled."""

    def __call__(self) -> Any:
        return Failed(threading.Lock())  # type: ignore[arg-type]


def same(value: Any) -> Any:
    return value


def journal(path: str, turns: int = 200_000) -> int:
    """Write a + at the beginning and a - at the end, with some work between."""
    with open(path, "ab", buffering=0) as file:
        file.write(b"+")
        total = sum(range(turns))
        file.write(b"-")
    return total


def boom(text: str) -> None:
    raise KeyError(text)


def leave(code: int) -> None:
    sys.exit(code)


def exit_at_once(code: int) -> None:
    os._exit(code)


def note_and_perhaps_exit(path: str, number: int, last: int) -> int:
    """Write the number; end the process at the last one."""
    with open(path, "a") as file:
        file.write(f"{number} ")
    if number == last:
        os._exit(3)
    return number


def append_and_exit(path: str) -> None:
    with open(path, "a") as file:
        file.write("x")
    os._exit(5)


def kill_self(number: int) -> None:
    os.kill(os.getpid(), number)


def fill_and_die(size: int) -> None:
    """Use that much memory and be killed."""
    held = b"x" * size
    os.kill(os.getpid(), signal.SIGKILL)
    del held


def fork_and_exit(report: str) -> None:
    """Die while a forked child holds all our descriptors."""
    if os.fork() == 0:
        Path(report).write_text(str(os.getpid()))
        signal.pause()
    await_file(report)
    os._exit(4)


def await_file(path: str) -> None:
    while not (os.path.exists(path) and Path(path).read_text()):
        os.sched_yield()


def read_fifo(path: str) -> str:
    """Block until a writer has written into the pipe."""
    with open(path) as file:
        return file.read()


def hang_with_child(fifo: str) -> None:
    """Report our process id and that of a child, and never end, even at TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "1000"])
    Path(fifo).write_text(f"{os.getpid()} {child.pid}")
    while True:
        signal.pause()


def hang_politely(fifo: str) -> None:
    """Report our process id and that of a child, and end only at TERM."""
    child = subprocess.Popen(["sleep", "1000"])
    Path(fifo).write_text(f"{os.getpid()} {child.pid}")
    while True:
        signal.pause()


def end_at_term(fifo: str, how: str) -> str:
    """Catch TERM, and end by an exception or with a result."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("heard"))
    Path(fifo).write_text("ready")
    try:
        while True:
            signal.pause()
    except SystemExit:
        if how == "exception":
            raise
    return how


def leave_orphan(fifo: str, program: str) -> str:
    """Start a shell that leaves another one in its own session. Return our process id and that of the other."""
    inner = f"setsid sh -c 'echo $$ > \"{fifo}\"; {program}' &"
    subprocess.run(["sh", "-c", inner], check=True, stdout=subprocess.DEVNULL)
    pid = read_fifo(fifo).strip()
    try:
        os.wait()
    except ChildProcessError:
        return f"{os.getpid()} {pid}"
    raise AssertionError("somebody else's child was ours")


def hang_in_c(fifo: str) -> None:
    """Report our process id and hold the interpreter in C code for a very long time."""
    Path(fifo).write_text(str(os.getpid()))
    re.match("(a|aa)+b", "a" * 80)


def change_process(folder: str) -> None:
    os.chdir(folder)
    os.environ["TASKPROC_TEST"] = "changed"
    os.environ.pop("HOME", None)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 1000)


def look_at_process() -> tuple[Any, ...]:
    handler = signal.getsignal(signal.SIGTERM)
    timer = signal.getitimer(signal.ITIMER_REAL)[0]
    return os.getcwd(), os.environ.get("TASKPROC_TEST"), os.environ.get("HOME"), handler == signal.SIG_DFL, timer


def variables(*names: str) -> list[str | None]:
    return [os.environ.get(name) for name in names]


def stdin() -> str:
    return sys.stdin.read()


def import_and_ask(module: str, name: str) -> Any:
    return getattr(__import__(module), name)


def interrupt_self() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return "still here"


def ticket(number: int) -> Ticket[str]:
    return Ticket(f"key {number}", number)


def endings(runner: Runner[str, Outcome[str]], count: int) -> dict[int, Outcome[str]]:
    """Return the next `count` endings by the number of their ticket; each number comes once."""
    found: dict[int, Outcome[str]] = {}
    while len(found) < count:
        told = runner.wait(LIMIT)
        assert told, f"hung with {sorted(found)} of {count}"
        for each, outcome in told:
            assert each.number not in found
            found[each.number] = outcome
    return found


def value(outcome: Outcome[str]) -> str:
    assert isinstance(outcome, Done), outcome
    return outcome.stamp.value


def problem(outcome: Outcome[str]) -> Any:
    assert isinstance(outcome, Failed), outcome
    return outcome.problem


def is_gone(pid: int, within: float = LIMIT) -> bool:
    """Return whether the process ends within some seconds; a zombie has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], within)[0])
    finally:
        os.close(descriptor)


def in_child(function: Callable[[], object]) -> str:
    """Return the result of a call in a fork of this process, or how it failed."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            told = repr(function())
        except BaseException as error:
            told = repr(error)
        os.write(writer, told.encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        told = file.read()
    os.waitpid(child, 0)
    return told


def executable(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def fifo(path: Path) -> str:
    os.mkfifo(path)
    return str(path)


def run_python(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter that finds the package of this checkout."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=package_environ(), capture_output=True, text=True, timeout=LIMIT
    )


def package_environ(extra: Sequence[str] = ()) -> dict[str, str]:
    import taskproc.run

    folders = [str(Path(taskproc.run.__file__).parents[2]), *extra]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    environ.pop("PYTHONUNBUFFERED", None)  # with it nothing is ever left in a buffer to be forgotten
    return environ
