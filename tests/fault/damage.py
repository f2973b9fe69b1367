"""A cache of one small result and a reader of it, damaged in one place, and what the next run makes of it."""
from __future__ import annotations

import logging
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from taskproc import Cache, CorruptedResult, LocalExecutor, MissingResult
from tests.fault import journal
from tests.fault.graphs import Digest, Noise, digest, noise

SIZE = 1000
Damage = Callable[[Path], object]


class Patient:
    """The cache `folder`/cache with the noises 1 and 2 and a digest of the first; damaged and made whole by turns."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.log = _Log()
        logging.getLogger("taskproc").addHandler(self.log)
        journal.begin(folder)
        self.run(Digest.__name__)
        with self.cache():
            Noise(2, SIZE).run_graph(executor=LocalExecutor())
        self.sound = {path: path.read_bytes() for path in folder.joinpath("cache").rglob("*") if path.is_file()}
        mine, theirs = (noise(number, SIZE)[:100] for number in (1, 2))
        results = [path for path in self.sound if path.name.startswith("result.")]
        self.result = next(path for path in results if mine in self.sound[path])
        self.sibling = next(path for path in results if theirs in self.sound[path])
        self.size = len(self.sound[self.result])
        # Head and payload; the last member but one, which has a comment, says what they must be
        self.before_record = self.sound[self.result].rindex(b"\x1f\x8b\x08\x10")
        assert self.before_record > SIZE
        assert 1500 < self.size < 4000

    def cache(self) -> Cache:
        """The cache, as a process sees it that has just begun."""
        return Cache(self.folder / "cache")

    def run(self, name: str) -> object:
        """The value of a run of the noise, or of the digest that reads it, in a new Cache object."""
        with self.cache():
            task = Digest(Noise(1, SIZE)) if name == "Digest" else Noise(1, SIZE)
            return task.run_graph(executor=LocalExecutor())[0]

    def heal(self) -> None:
        """Put everything back as it was; what is as it was stays."""
        for folder in self.result.parent.parent.iterdir():
            for path in folder.iterdir():
                if path == self.result or path not in self.sound:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path, content in self.sound.items():
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        (self.folder / "journal").unlink(missing_ok=True)
        self.log.lines.clear()

    def trial(self, damage: Damage, *, told: bool = True, as_input: bool = True) -> list[str]:
        """What is wrong about how a damaged result is met, alone and as an input; nothing, if all is well.

        `told`: whether one warning must say so; else one may.
        """
        faults = []
        for meet in (self._looked_at, self._run_alone, self._run_as_input)[: 3 if as_input else 2]:
            self.heal()
            damage(self.result)
            try:
                faults += [f"{meet.__name__}: {fault}" for fault in meet(told)]
            except Exception as error:
                faults.append(f"{meet.__name__}: crashed: {type(error).__name__}: {error}")
        return faults

    def _looked_at(self, told: bool) -> Iterator[str]:
        with self.cache():
            try:
                value = Noise(1, SIZE).get_result()
            except CorruptedResult:
                return
            except MissingResult as error:
                if "Run it with " not in str(error):
                    yield f"no word of what to do: {error}"
                return
        yield f"damaged, and yet got {str(value)[:60]}"

    def _run_alone(self, told: bool) -> Iterator[str]:
        if self.run("Noise") != noise(1, SIZE):
            yield "a wrong answer"
        yield from self._ran({"start Noise 1": 1})
        yield from self._warned(told)
        if self.run("Noise") != noise(1, SIZE):
            yield "a wrong answer afterwards"
        yield from self._ran({"start Noise 1": 1})

    def _run_as_input(self, told: bool) -> Iterator[str]:
        with self.cache():
            Digest(Noise(1, SIZE)).clear_task()
        if self.run("Digest") != digest(1, SIZE):
            yield "a wrong answer"
        # The reader may have begun, and found it out
        begun = journal.counts(self.folder / "journal")["start Digest 0"]
        yield from self._ran({"start Noise 1": 1, "start Digest 0": min(max(begun, 1), 2)})
        yield from self._warned(told)

    def _ran(self, expected: dict[str, int]) -> Iterator[str]:
        ran = journal.counts(self.folder / "journal")
        if ran != Counter(expected):
            yield f"ran {dict(ran)} instead of {expected}"

    def _warned(self, told: bool) -> Iterator[str]:
        if len(self.log.lines) > 1 or (told and not self.log.lines):
            yield f"{len(self.log.lines)} warnings: {self.log.lines}"


class _Log(logging.Handler):
    """Keeps what was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def flips(seed: int, count: int, size: int) -> Iterator[tuple[int, int]]:
    """Random places in `size` bytes: position and bit."""
    chance = random.Random(seed)
    for _ in range(count):
        yield chance.randrange(size), chance.randrange(8)


def flip(position: int, bit: int) -> Damage:
    """Turn one bit over."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[position] ^= 1 << bit
        path.write_bytes(content)

    return damage


def cut(length: int) -> Damage:
    """Keep the first bytes only."""
    return lambda path: os.truncate(path, length)


def rewritten(change: Callable[[bytes], bytes]) -> Damage:
    """Write other bytes in its place."""
    return lambda path: path.write_bytes(change(path.read_bytes()))


def replaced(make: Callable[[Path], object]) -> Damage:
    """Put something else in its place."""

    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


WHOLE: dict[str, Damage] = {
    "zeros": rewritten(lambda content: bytes(len(content))),
    "a block of NUL": rewritten(lambda content: content[:500] + bytes(100) + content[600:]),
    "garbage": rewritten(lambda content: random.Random(1).randbytes(len(content))),
    "garbage in front": rewritten(lambda content: b"\x1f" + content),
    "bytes behind": rewritten(lambda content: content + b"\x00"),
    "itself behind": rewritten(lambda content: content + content),
    "text": rewritten(lambda content: b"nothing to see here\n"),
    "a directory": replaced(Path.mkdir),
    "a full directory": replaced(lambda path: (path / "inside").mkdir(parents=True)),
    "a dangling link": replaced(lambda path: path.symlink_to("nowhere")),
    "a link to itself": replaced(lambda path: path.symlink_to(path.name)),
    "a link to a good file": replaced(lambda path: path.symlink_to(__file__)),
    "a fifo": replaced(os.mkfifo),
    "nothing": replaced(lambda path: None),
}
