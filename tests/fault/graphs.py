"""Small graphs whose tasks write a journal, and what must come out of them, worked out without taskproc."""
from __future__ import annotations

import hashlib
import os
from typing import Any

from taskproc import Future, Task
from tests.fault.journal import note

FAILS = "TASKPROC_FAULT_FAILS"  # environment variable: what may fail does


def letters(number: int) -> str:
    """What `Words` writes into its file."""
    return " ".join(hashlib.sha256(b"%d %d" % (number, i)).hexdigest() for i in range(20))


def expected(number: int) -> tuple[int, str, int]:
    """What `Total(number)` gives."""
    text = letters(number)
    return (number, text[:40], sum(map(ord, text)))


def noise(number: int, size: int) -> bytes:
    """Bytes that do not compress, the same for the same number."""
    parts = (hashlib.sha256(b"%d %d" % (number, i)).digest() for i in range(size // 32 + 1))
    return b"".join(parts)[:size]


def digest(number: int, size: int) -> str:
    """What `Digest` makes of it."""
    return hashlib.sha256(noise(number, size)).hexdigest()


class Words(Task):
    """Has a file beside its result."""

    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> tuple[int, str]:
        note("start Words", self.number)
        (self.task_directory / "words.txt").write_text(letters(self.number))
        note("end Words", self.number)
        return self.number, letters(self.number)[:40]


class Total(Task):
    """Reads the result and the file of another task, and has none of its own."""

    def __init__(self, number: int):
        self.words = Words(number)

    def run_task(self) -> tuple[int, str, int]:
        note("start Total", self.words.number)
        number, start = self.words.get_result()
        text = (self.words.task_directory / "words.txt").read_text()
        note("end Total", number)
        return number, start, sum(map(ord, text))


class Noise(Task):
    """A result of a given size, as long in the file."""

    def __init__(self, number: int, size: int):
        self.number, self.size = number, size

    def run_task(self) -> bytes:
        note("start Noise", self.number)
        return noise(self.number, self.size)


class Digest(Task):
    """Reads the noise of another task."""

    def __init__(self, of: Future[bytes], number: int = 0):
        self.of = of
        self.number = number

    def run_task(self) -> str:
        note("start Digest", self.number)
        return hashlib.sha256(self.of.get_result()).hexdigest()


class Printer(Task):
    """Has a log, and may fail."""

    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> int:
        note("start Printer", self.number)
        print("printed by", self.number)
        if FAILS in os.environ:
            raise ValueError(self.number)
        return self.number


class Echo(Task):
    """Gives back what it was given."""

    def __init__(self, value: Any):
        self.value = value

    def run_task(self) -> Any:
        note("start Echo")
        return self.value.get_result() if hasattr(self.value, "get_result") else self.value
