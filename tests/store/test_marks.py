"""Who is at work on a cache."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from taskproc import machine
from taskproc.errors import CacheError
from taskproc.store import marks
from taskproc.store.marks import LEASE, Mark, Witness
from tests.pace import limit

if sys.platform != "win32":
    import fcntl


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture
def mark(root: str) -> Iterator[Mark]:
    mark = Mark(root)
    yield mark
    mark.close()


class Clock:
    """Time that passes on demand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def rewrite(mark: Mark, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a mark says of its process; the file and its lock stay the same."""
    rewrite_file(Path(mark.path), change)


def rewrite_file(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """As rewrite."""
    beat, _, text = path.read_text().partition("\n")
    about = json.loads(text)
    change(about)
    path.write_text(f"{beat}\n{json.dumps(about)}")


def foreign(root: str, token: str, beat: str = "1", boot: str = "another") -> None:
    """A run on another machine."""
    folder = Path(root, "run")
    folder.mkdir(exist_ok=True)
    (folder / token).write_text(f"{beat}\n" + json.dumps({"boot": boot, "pid": os.getpid()}))


def test_a_run_lives_until_it_is_closed(root: str) -> None:
    """It is seen from the same process and from others; closed, nothing of it is left."""
    mark = Mark(root)
    code = (
        "import sys; from taskproc.store.marks import Witness; w = Witness(sys.argv[1]);"
        "print(w.lives(sys.argv[2]), w.others() == [sys.argv[2]])"
    )
    path = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-c", code, root, mark.token]
    seen = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path})

    assert "True True\n" == seen.stdout
    assert (True, [mark.token], []) == (
        Witness(root).lives(mark.token), Witness(root).others(), Witness(root).others(mark.token)
    )
    (mark.folder / "spool").write_text("left over")
    mark.close()
    mark.close()
    assert (False, []) == (Witness(root).lives(mark.token), Witness(root).others())
    assert [] == list(Path(root, "run").iterdir())


def test_an_unknown_run_is_dead(root: str) -> None:
    """Also where nobody ever ran."""
    assert (False, []) == (Witness(root).lives("0" * 32), Witness(root).others())


def test_a_run_whose_process_is_gone_is_dead(root: str) -> None:
    """Its mark is left, its lock is not."""
    code = "import sys, os, signal; from taskproc.store.marks import Mark; m = Mark(sys.argv[1]);"
    code += "print(m.token, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    path = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-c", code, root]
    token = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}
    ).stdout.strip()

    assert Path(root, "run", token).exists()
    assert not Witness(root).lives(token)


def test_a_lock_that_outlives_its_process_proves_nothing(mark: Mark, root: str) -> None:
    """A forked child of a dead run may hold the lock: the process is asked too, by its number and its start."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    rewrite(mark, lambda about: about.update(pid=gone.pid))
    by_number = Witness(root).lives(mark.token)
    rewrite(mark, lambda about: about.update(pid=os.getpid(), start="1"))
    by_start = Witness(root).lives(mark.token)

    assert (False, False) == (by_number, by_start)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are not to be seen")
def test_a_zombie_is_dead(mark: Mark, root: str) -> None:
    """A process that ended and was not waited for runs nothing any more."""
    zombie = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert zombie.stdout is not None
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    start = Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(")")[2].split()[19]
    rewrite(mark, lambda about: about.update(pid=zombie.pid, start=start))

    assert not Witness(root).lives(mark.token)
    zombie.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_a_free_lock_proves_nothing(root: str, mark: Mark) -> None:
    """A lock may be local to a mount: here the process lives, whatever it beats."""
    clock = Clock()
    fcntl.flock(mark._handle, fcntl.LOCK_UN)
    mark._ended.set()
    first = Witness(root, clock).lives(mark.token)
    clock.now += 2 * LEASE

    assert (True, True) == (first, Witness(root, clock).lives(mark.token))
    mark._ended.clear()


def test_a_copy_of_a_mark_is_nobody(root: str, mark: Mark) -> None:
    """Though the process that it names lives."""
    copy = Path(root, "run", "0" * 32)
    copy.write_bytes(Path(mark.path).read_bytes())

    assert not Witness(root).lives(copy.name)


@pytest.mark.parametrize("locked", [True, False])
def test_in_another_namespace_the_beat_decides(root: str, locked: bool) -> None:
    """The same number means another process there, and a lock may be a forked child's or local to a mount."""
    clock = Clock()
    foreign(root, "t", boot=machine.boot())
    path = Path(root, "run", "t")
    rewrite_file(path, lambda about: about.update(namespace="pid:[1]", pid=os.getpid(), start="0"))
    seen = []
    with path.open() as file:
        if locked:
            fcntl.flock(file, fcntl.LOCK_EX)
        for beat, wait in [("1", 0.0), ("2", LEASE - 1), ("2", LEASE - 1), ("2", 2.0)]:
            clock.now += wait
            path.write_text(beat + path.read_text()[1:])
            seen.append(Witness(root, clock).lives("t"))

    assert [True, True, True, False] == seen


def test_a_process_that_cannot_be_told_lives_while_it_has_its_lock(
    root: str, mark: Mark, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system does not say when a process was started; without the lock its beat decides."""
    monkeypatch.setattr(marks, "birth_of", lambda pid: "" if machine.is_unused(pid) else None)
    clock = Clock()
    mark._ended.set()
    held = Witness(root, clock).lives(mark.token)
    clock.now += 2 * LEASE
    held_still = Witness(root, clock).lives(mark.token)
    fcntl.flock(mark._handle, fcntl.LOCK_UN)
    free = Witness(root, clock).lives(mark.token)
    clock.now += 2 * LEASE

    assert [True, True, True, False] == [held, held_still, free, Witness(root, clock).lives(mark.token)]
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    rewrite(mark, lambda about: about.update(pid=gone.pid))
    clock.now = 0.0
    assert not Witness(root, clock).lives(mark.token)
    mark._ended.clear()


FULL = """
import itertools
beat, count = marks.Mark.beat, itertools.count()
def fails_first(self):
    if next(count) < 3:
        raise OSError(28, "No space left on device")
    beat(self)
marks.Mark.beat = fails_first
"""


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", FULL], ids=["on a disk with room", "on a disk that was full for a while"])
def test_a_run_beats_by_itself(root: str, before: str) -> None:
    """Another host sees it go on, though the run does nothing else."""
    code = f"import sys\nfrom taskproc.store import marks\nmarks.BEAT_EVERY = 0.01\n{before}\n"
    code += "m = marks.Mark(sys.argv[1])\nprint(m.path, flush=True)\nsys.stdin.read()\nm.close()"
    path = os.pathsep.join(filter(None, sys.path))
    environ = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        [sys.executable, "-c", code, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        file = Path(run.stdout.readline().strip())
        rewrite_file(file, lambda about: about.update(boot="another"))
        beats = {file.read_text().partition("\n")[0]}
        until = time.monotonic() + limit(60)
        while len(beats) < 4 and time.monotonic() < until:
            beats.add(file.read_text().partition("\n")[0])
            assert Witness(root).lives(file.name)
        run.stdin.close()

    assert 4 == len(beats)


def test_beats_are_counted(mark: Mark) -> None:
    """Each beat changes the head of the file and nothing else."""
    before = Path(mark.path).read_text()
    mark.beat()
    mark.beat()
    after = Path(mark.path).read_text()

    assert (0, 2) == (int(before[:12]), int(after[:12]))
    assert before[12:] == after[12:]


def test_a_foreign_run_lives_while_its_beat_changes(root: str) -> None:
    """Another machine cannot be asked: within the lease the beat must be seen to change, by our clock alone."""
    clock = Clock()
    witness = Witness(root, clock)
    seen = []
    for beat, wait in [("1", 0.0), ("1", LEASE - 1), ("2", 1.0), ("2", LEASE - 1), ("2", 2.0), ("3", 0.0)]:
        clock.now += wait
        foreign(root, "t", beat)
        seen.append(witness.lives("t"))

    assert [True, True, True, True, False, True] == seen


def test_what_was_seen_is_remembered_by_the_process(root: str) -> None:
    """Each job has a store of its own; a dead run of another machine must not look new to each of them."""
    clock = Clock()
    foreign(root, "t")
    first = Witness(root, clock).lives("t")
    clock.now += LEASE + 1

    assert (True, False) == (first, Witness(root, clock).lives("t"))


@pytest.mark.parametrize("content", [b"", b"garbage", b"1\n", b"1\n[]", b"1\nnull", b"\xff\xfe\n{}", b"1\n{}"])
def test_a_torn_mark_is_outlived(root: str, content: bytes) -> None:
    """A mark that cannot be read, after a power failure say, is waited for one lease and not for ever."""
    clock = Clock()
    witness = Witness(root, clock)
    Path(root, "run").mkdir()
    Path(root, "run", "t").write_bytes(content)
    first = witness.lives("t")
    clock.now += LEASE + 1

    assert (True, False) == (first, witness.lives("t"))


@pytest.mark.parametrize("kind", ["directory", "fifo", "dangling"])
def test_what_is_no_mark_is_outlived(root: str, kind: str) -> None:
    """Whatever lies in the folder of the runs, nobody waits for it for ever."""
    clock = Clock()
    witness = Witness(root, clock)
    path = Path(root, "run", "t")
    path.parent.mkdir()
    {"directory": path.mkdir, "fifo": lambda: os.mkfifo(path), "dangling": lambda: path.symlink_to("x")}[kind]()
    witness.lives("t")
    clock.now += LEASE + 1

    assert not witness.lives("t")
    assert [] == witness.others()


def test_a_token_is_not_a_path(root: str, mark: Mark) -> None:
    """What a claim says is a name in the folder of the runs, or nobody."""
    for token in ("", ".", "..", f"../run/{mark.token}", mark.path, "a\x00b", "x" * 5000):
        assert not Witness(root).lives(token)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_whoever_looks_does_not_take_the_lock(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may be looked at while it registers; it holds its lock afterwards, whatever the others hold meanwhile."""
    lock = fcntl.flock

    def lock_while_others_look(handle: int, operation: int) -> None:
        with ExitStack() as held:
            if operation & fcntl.LOCK_EX:
                for path in Path(root, "run").iterdir():
                    if path.is_file() and "." not in path.name:
                        lock(held.enter_context(path.open()), fcntl.LOCK_SH)
            lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", lock_while_others_look)
    mark = Mark(root)

    assert Witness(root).lives(mark.token)
    mark.close()


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    """CacheError names the cache and the cause."""
    (tmp_path / "file").touch()

    with pytest.raises(CacheError, match=r"file' is not writable: .*Not a directory"):
        Mark(str(tmp_path / "file"))
