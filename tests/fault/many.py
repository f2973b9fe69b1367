"""Many processes, on one host or seemingly on several, run the same graphs on one cache.

What they do is known from journals outside the cache: each process appends to a file of its own when a task starts and
ends, when a run waits, and what it got. What they left is read from the cache by others.
"""
from __future__ import annotations

import multiprocessing
import os
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskproc import Cache, FutureList, LocalExecutor, Task, machine
from taskproc.store import claims, marks
from taskproc.store.files import Files
from taskproc.store.layout import numbers
from tests.pace import limit

JOURNAL = "TASKPROC_MANY_JOURNAL"
SECONDS = limit(40)  # after which a process hangs, or what it waits for never comes

# Forked from a process without threads, that has imported all this
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(
    ["__main__", "tests.fault.many", "taskproc.tasks.running", "taskproc.source.fingerprint"]
)

# Bound now: the clock of a child may be shifted
_now = time.time


def note(*words: object) -> None:
    """Append a line to the journal of this process; one write, so that a kill leaves it whole or out."""
    handle = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(handle, (" ".join(map(str, words)) + "\n").encode())
    os.close(handle)


class Piece(Task):
    """Takes its time; waits until there is a file `gate`, if one is named."""

    def __init__(self, batch: int, number: int, seconds: float = 0.0, gate: str = ""):
        self.batch, self.number, self.seconds, self.gate = batch, number, seconds, gate

    def run_task(self) -> int:
        note("start", f"{self.batch}.{self.number}", os.getpid(), _now())
        time.sleep(self.seconds)
        while self.gate and not os.path.exists(self.gate):
            time.sleep(0.01)
        note("end", f"{self.batch}.{self.number}", os.getpid(), _now())
        return 1000 * self.batch + self.number


class Whole(Task):
    """The sum of some pieces."""

    def __init__(self, batch: int, pieces: int, seconds: float = 0.0):
        self.batch = batch
        self.pieces = FutureList([Piece(batch, number, seconds) for number in range(pieces)])

    def run_task(self) -> int:
        note("start", f"{self.batch}.sum", os.getpid(), _now())
        return sum(self.pieces.get_result())


def expected(batch: int, pieces: int) -> int:
    """What `Whole(batch, pieces)` gives."""
    return 1000 * batch * pieces + pieces * (pieces - 1) // 2


class Told:
    """Notes each event of a run, and calls `deed` with its kind, its class and how often the two were told."""

    def __init__(self, deed: Callable[[str, str, int], object] | None = None):
        self.deed = deed
        self.counts: Counter[tuple[str, str]] = Counter()

    def tell(self, event: Any, name: str, text: Any) -> None:
        what = event.kind, name.rpartition(".")[2]
        self.counts[what] += 1
        note("event", *what, time.monotonic(), time.process_time())
        try:
            if self.deed is not None:
                self.deed(*what, self.counts[what])
        except Exception:
            note("error", repr(traceback.format_exc()))
            raise

    def close(self) -> None:
        """Nothing to close."""


class Crowd:
    """Processes on the cache in `folder`; started here, ended by `join` or `close`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.cache = folder / "cache"
        self.journals = folder / "journals"
        self.journals.mkdir(parents=True)
        self.processes: dict[str, Any] = {}

    def start(self, name: str, function: Callable[..., object], *arguments: Any) -> Any:
        """Call `function(cache, *arguments)` in a process; `name` is that of its journal."""
        made = processes.Process(target=_child, args=(str(self.journals / name), function, self.cache, arguments))
        made.start()
        self.processes[name] = made
        return made

    def join(self, *names: str, seconds: float = SECONDS) -> list[str]:
        """Wait for these processes, or all; who hangs or crashed."""
        faults = []
        for name in names or list(self.processes):
            process = self.processes.pop(name)
            process.join(seconds)
            if process.exitcode != 0:
                faults.append(f"{name}: {'hangs' if process.exitcode is None else process.exitcode}")
                process.kill()
        return faults + [" ".join(line) for line in self.lines("error")]

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.join()

    def lines(self, *start: str) -> list[list[str]]:
        """The lines of all journals that begin so, in no order."""
        split = (line.split(" ") for path in sorted(self.journals.iterdir()) for line in path.read_text().splitlines())
        return [line for line in split if tuple(line[: len(start)]) == start]

    def wait_for(self, *start: str) -> list[str]:
        """The first line that begins so, when it is there."""
        self.wait_until(lambda: bool(self.lines(*start)))
        return self.lines(*start)[0]

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Return when something holds; AssertionError with all journals if that takes too long."""
        until = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < until, self.lines()
            time.sleep(0.005)

    def executions(self) -> Counter[str]:
        """Task → how often it was begun."""
        return Counter(line[1] for line in self.lines("start"))

    def versions(self) -> dict[str, int]:
        """Folder of a task → how many versions were published in it and are there."""
        places = self.cache.glob("*/results/*")
        return {f"{path.parts[-3]}/{path.name}": len(numbers(os.listdir(path))["result"]) for path in places}


def _child(journal: str, function: Callable[..., object], cache: Path, arguments: tuple[Any, ...]) -> None:
    os.environ[JOURNAL] = journal
    try:
        function(cache, *arguments)
    except BaseException:
        note("error", repr(traceback.format_exc()))
        os._exit(1)


def nobody_is_slow() -> None:
    """From now on this process takes nobody for dead because of a slow machine; for tests in which nobody dies."""
    claims.EMPTY_CLAIM = marks.LEASE = 1000.0


def run_round(cache: Path, batch: int, pieces: int, seconds: float = 0.0, watcher: Any = None) -> None:
    """Run a graph, and note whether the answer is right."""
    with Cache(cache):
        task = Whole(batch, pieces, seconds)
    value, _ = task.run_graph(executor=LocalExecutor(), watchers=[watcher] if watcher else [])
    note("answer", batch, "right" if value == expected(batch, pieces) else f"wrong:{value}")


def run_rounds(cache: Path, rounds: int, pieces: int, barrier: Any, host: tuple[str, float, float] | None) -> None:
    """Rounds that all begin together; see `be` for the host."""
    nobody_is_slow()
    if host is not None:
        be(*host)
    for batch in range(rounds):
        barrier.wait(SECONDS)
        run_round(cache, batch, pieces)


def run_piece(
    cache: Path, gate: str, host: str = "", lease: float = 10.0, deed: Any = None, seconds: float = 0.0
) -> None:
    """Run one task that waits for a gate, and note the answer. With a `host` it has a lease of its own."""
    if host:
        be(host, 0.0, 0.0)
        marks.LEASE, marks.BEAT_EVERY = lease, lease / 5
    with Cache(cache):
        task = Piece(7, 7, seconds, gate)
    value, _ = task.run_graph(executor=LocalExecutor(), watchers=[Told(deed)])
    note("answer", 7, "right" if value == 7007 else f"wrong:{value}")


def be(host: str, shift: float, delay: float) -> None:
    """From now on this process stands on another host, whose clock is `shift` seconds off.

    Its listings may be as old as `delay` seconds, but not from before a change of its own, as on a network folder.
    """
    machine.boot = lambda: host
    socket.gethostname = lambda: host
    marks._known.clear()
    true_time = time.time
    time.time = lambda: true_time() + shift
    time.time_ns = lambda: int(time.time() * 1e9)
    if delay:
        _list_late(delay)


def _list_late(delay: float) -> None:
    seen: dict[tuple[int, int], tuple[float, list[str]]] = {}
    listdir = Files.listdir

    def identity(folder: Any) -> tuple[int, int]:
        status = os.stat(folder)
        return status.st_dev, status.st_ino

    def late(self: Files, folder: Any) -> list[str]:
        key, now = identity(folder), time.monotonic()
        if key not in seen or now - seen[key][0] > delay:
            seen[key] = (now, listdir(self, folder))
        return list(seen[key][1])

    def fresh_after(operation: str) -> None:
        original = getattr(Files, operation)

        def change(self: Files, folder: Any, *arguments: Any) -> Any:
            seen.pop(identity(folder), None)
            return original(self, folder, *arguments)

        setattr(Files, operation, change)

    Files.listdir = late  # type: ignore[method-assign]
    for operation in ("make", "rename", "unlink"):
        fresh_after(operation)


class Operations:
    """From when it is made the file operations of this process are counted. Times are taken before an operation."""

    def __init__(self) -> None:
        self.count, self.first, self.latest = 0, 0.0, 0.0
        for operation in [name for name in vars(Files) if not name.startswith("_")]:
            setattr(Files, operation, self._counted(getattr(Files, operation)))

    def _counted(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(files: Files, *arguments: Any) -> Any:
            self.latest = time.monotonic()
            self.first = self.first or self.latest
            self.count += 1
            return original(files, *arguments)

        return call

    def taken(self) -> tuple[int, float, float]:
        """How many there were since the last call, when the first and the latest began."""
        taken = self.count, self.first, self.latest
        self.count, self.first = 0, 0.0
        return taken


def is_gone(pid: int) -> bool:
    """Whether a process has ended, also if nobody has reaped it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True
