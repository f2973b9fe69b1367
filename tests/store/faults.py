"""Places and runs for the tests of the store, and file operations that fail, kill or interfere at a chosen moment."""
from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import settings

from taskproc.kernel.model import Elsewhere, Stamp
from taskproc.store import layout, payload
from taskproc.store.claims import EMPTY_CLAIM, DiskAttempt, is_held
from taskproc.store.disk import DiskStore
from taskproc.store.files import Files
from taskproc.store.layout import Place
from taskproc.store.marks import Mark, Witness
from taskproc.store.version import Facts, Version
from tests.pace import limit

PLACE = Place("module.Task", 7, "0123456789abcdef" * 4)
OTHER = Place("module.Task", 8, "fedcba9876543210" * 4)
ARGUMENTS = '{"n": 7}\n'

OPERATIONS = frozenset(name for name in vars(Files) if not name.startswith("_"))
WRITES = frozenset(
    "mkdir make append cut sync sync_folder rename unlink move_out touch write_text".split()
)

# How long an example takes says more about the machine than about the code.
few = settings(max_examples=60, derandomize=True, database=None, deadline=None)

# Forked from a clean process: the tests' own has threads.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["__main__", "taskproc.store.disk", "cloudpickle"])


def arguments() -> str:
    """What a claim asks for."""
    return ARGUMENTS


def facts(needs: dict[str, Stamp] | None = None, *, code: str = "1", seconds: float = 0.0) -> Facts:
    return Facts(code=code, needs=needs or {}, seconds=seconds)


def newest(versions: Iterator[Version]) -> Version | None:
    """A pick that takes what there is."""
    return next(versions, None)


def nothing(versions: Iterator[Version]) -> None:
    """A pick that is content with nothing."""


def claimed(store: Any, place: Place = PLACE, *, forced: bool = False) -> Any:
    """The attempt that must be ours."""
    attempt = store.claim(place, arguments, nothing, forced=forced)
    assert not isinstance(attempt, (Version, Elsewhere)), attempt
    return attempt


def publish(
    store: Any, value: object, place: Place = PLACE, *, forced: bool = False, made_from: Facts | None = None
) -> Version:
    version = claimed(store, place, forced=forced).commit(value, made_from or facts())
    assert version is not None
    return version


def place_of(store: DiskStore, place: Place = PLACE) -> Path:
    return Path(layout.place_path(store.root, place))


def names(store: DiskStore, place: Place = PLACE) -> set[str]:
    """What lies in a place, but for what is for people."""
    return {path.name for path in place_of(store, place).iterdir()} - {layout.ARGUMENTS}


def values(store: DiskStore, place: Place = PLACE) -> list[object]:
    """What is published at a place, newest first."""
    return [store.load(version) for version in store.look(place)]


def failure(call: Callable[[], object], kind: type[Exception]) -> Exception | None:
    """What it raised, if it is of that kind."""
    try:
        call()
    except kind as error:
        return error
    return None


class Hooked(Files):
    """Calls `before` and `after` around every operation, with its name and its count from 1."""

    def __init__(self) -> None:
        self.count = 0

    def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
        """Nothing, here."""

    def after(self, operation: str, arguments: tuple[Any, ...]) -> None:
        """Nothing, here."""


def _hooked(operation: str) -> Callable[..., Any]:
    def call(self: Hooked, *arguments: Any) -> Any:
        self.count += 1
        self.before(operation, arguments)
        answer = getattr(Files, operation)(self, *arguments)
        self.after(operation, arguments)
        return answer

    return call


for _operation in OPERATIONS:
    setattr(Hooked, _operation, _hooked(_operation))


class Interfering(Hooked):
    """Does `deed` once, before the first operation that is called `operation`, or before the one with that count."""

    def __init__(self, operation: str | int, deed: Callable[[], object]):
        super().__init__()
        self.operation = operation
        self.deed: Callable[[], object] | None = deed

    def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
        if self.operation in (operation, self.count) and self.deed is not None:
            deed, self.deed = self.deed, None
            deed()

    def stop(self) -> None:
        """Interfere no more."""
        self.operation = ""

    @property
    def done(self) -> bool:
        return self.deed is None


class Failing(Hooked):
    """Fails the operation with the count `at` among those called `operations`, and no other. `at` 0: fails them all."""

    def __init__(self, number: int, at: int, operations: frozenset[str] = WRITES):
        super().__init__()
        self.number, self.at, self.operations = number, at, operations
        self.seen = 0
        self.on = True
        self.failed = ""

    def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
        if not self.on or operation not in self.operations:
            return
        self.seen += 1
        if self.at not in (0, self.seen):
            return
        self.failed = operation
        if operation == "append":
            Files.append(self, arguments[0], half_of(arguments[1:]))  # what still found room
        if operation == "close":
            Files.close(self, arguments[0])  # the descriptor is gone, also if the last write failed
        raise OSError(self.number, os.strerror(self.number))


def half_of(contents: tuple[bytes, ...]) -> bytes:
    """What is written of them when it ends half way."""
    content = b"".join(contents)
    return content[: len(content) // 2]


class Dying(Hooked):
    """Kills its process before the operation with the count `at`; what is to be written gets half way."""

    def __init__(self, at: int):
        super().__init__()
        self.at = at

    def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
        if self.count == self.at:
            if operation == "append":
                Files.append(self, arguments[0], half_of(arguments[1:]))
            os.kill(os.getpid(), signal.SIGKILL)


class Runs:
    """Runs on one cache folder, each with a mark of its own, as if each were a process."""

    def __init__(self, root: Path):
        self.root = str(root)
        self.marks: list[Mark] = []
        self.expects_damage = False  # whether a test leaves what `check` calls damaged

    def begin(self, files: Files | None = None) -> DiskStore:
        """The store of a new run."""
        mark = Mark(self.root)
        self.marks.append(mark)
        return DiskStore(self.root, mark.token, files)

    def end(self, store: DiskStore) -> None:
        """From now on this run counts as dead; what it holds it may go on to use, as a paused process may."""
        next(mark for mark in self.marks if mark.token == store.token).close()

    def close(self) -> None:
        for mark in self.marks:
            mark.close()


def outwait(store: DiskStore, place: Place = PLACE, number: int = 1) -> None:
    """From now on `store` has seen the claim `number` as it is for longer than an unsigned one counts."""
    now = time.monotonic()
    clock = iter((now,))
    store.witness = Witness(store.root, lambda: next(clock, now + 2 * EMPTY_CLAIM))
    folder = layout.place_path(store.root, place)
    if os.path.lexists(os.path.join(folder, layout.claim_file(number))):
        is_held(store, folder, number)


def age(path: Path, seconds: float = 3600.0) -> None:
    """Make a file look as if it was written long ago."""
    then = os.stat(path).st_mtime - seconds
    os.utime(path, (then, then))


def make_and_die(root: str, at: int, value: object) -> None:
    """Claim and commit, and die before the operation `at`."""
    mark = Mark(root)
    store = DiskStore(root, mark.token, Dying(at))
    attempt = store.claim(PLACE, arguments, nothing)
    assert isinstance(attempt, DiskAttempt)
    (attempt.directory / "file").write_text("beside it")
    assert attempt.commit(value, facts(seconds=1.0)) is not None


def die_everywhere(folder: str, answers: Any, value: object, block: int) -> None:
    """In processes forked from here: claim and commit in `folder`/1 and die at the first operation, and so on.

    Tells how each ended; the last one did not die. `block`: how much of a pickle is written at once.
    """
    payload.BLOCK = block
    codes: list[int] = []
    while not codes or codes[-1] != 0:
        at = len(codes) + 1
        child = os.fork()
        if not child:
            make_and_die(os.path.join(folder, str(at)), at, value)
            os._exit(0)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    answers.send(codes)


def hold_and_die(root: str, answers: Any) -> None:
    """Claim, say in whose name, and die."""
    mark = Mark(root)
    attempt = DiskStore(root, mark.token).claim(PLACE, arguments, nothing)
    answers.send((mark.token, attempt.number))
    os.kill(os.getpid(), signal.SIGKILL)


def compete(root: str, barrier: Any, rounds: int, answers: Any) -> None:
    """Claim one place a round together with others, and tell which were won."""
    mark = Mark(root)
    store = DiskStore(root, mark.token)
    won = []
    for number in range(rounds):
        place = Place("module.Task", number, f"{number:032d}")
        barrier.wait(limit(60))
        answer = store.claim(place, arguments, newest)
        barrier.wait(limit(60))  # nobody commits before all have tried
        # On a machine that stops somebody for a second, two may have an attempt: one of them commits
        if isinstance(answer, DiskAttempt) and answer.commit(number, facts()) is not None:
            won.append(number)
        barrier.wait(limit(60))
        assert [number] == [store.load(version) for version in store.look(place)]
    answers.send(won)
    barrier.wait(limit(60))  # a mark that goes would make its claims those of a dead run
    mark.close()
