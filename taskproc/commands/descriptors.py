"""Task descriptors: how hooks supply them, first in, first out; which are valid; and how each one ended."""
from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from taskproc.kernel.model import K
from taskproc.kernel.plan import Plan

T = TypeVar("T")
SLOT = "(slots)"  # the label of every command


class Source(Protocol):
    """The part of a TaskManager that supplies descriptors."""

    task_descriptors: list[object]

    def update_task_descriptors(self) -> None:
        """See TaskManager."""
        ...

    def final_task_descriptor(self) -> object:
        """See TaskManager."""
        ...


class Feed(Generic[K]):
    """The descriptors of one run.

    Attributes:
        count: how many descriptors have been taken from the list, in earlier runs too.
        is_asking: whether a hook of the user is running.
        taken: the key of each descriptor that was taken → its number and the descriptor.
    """

    def __init__(self, source: Source, count: int) -> None:
        self._source, self.count = source, count
        self._is_last_asked = False
        self.is_asking = False
        self.taken: dict[K, tuple[int, object]] = {}

    def update(self) -> None:
        """Let the user bring the list up to date."""
        self._ask(self._source.update_task_descriptors)

    def is_empty(self) -> bool:
        """Whether the list is empty."""
        return not self._source.task_descriptors

    def first(self) -> object:
        """Remove the first descriptor from the list and return it."""
        return self._source.task_descriptors.pop(0)

    def last(self, plan: Plan[K]) -> object | None:
        """The final descriptor, once, when all others have succeeded; None before that, or if there is none."""
        succeeded = not plan.open() and 0 < len(plan) == plan.count("done")
        if self._is_last_asked or not succeeded or not self.is_empty():
            return None
        self._is_last_asked = True
        return self._ask(self._source.final_task_descriptor)

    def note(self, key: K, descriptor: object) -> int:
        """Record that a descriptor has this key, and return its number."""
        self.count += 1
        self.taken[key] = self.count, descriptor
        return self.count

    def unfinished(self, plan: Plan[K]) -> list[object]:
        """The descriptors that have not ended, in their order."""
        ended = ("done", "failed", "skipped")
        return [descriptor for key, (_, descriptor) in self.taken.items() if plan.state(key) not in ended]

    def _ask(self, hook: Callable[[], T]) -> T:
        self.is_asking = True
        try:
            return hook()
        finally:
            self.is_asking = False


@dataclass(frozen=True)
class Finished:
    """How a task descriptor ended.

    Attributes:
        number: counts descriptors from 1, in the order in which they were taken from the list.
        descriptor: the descriptor as it was in the list.
        exit_code: minus the signal if one killed it; None if it could not be started.
        seconds: how long it ran, wall time.
        stdout, stderr: files with its output; None if it could not be started.
        problem: a description of what went wrong; empty if nothing did.
        here: False if another manager with the same shared folder ran it, or an earlier run did.
    """

    number: int
    descriptor: object
    exit_code: int | None
    seconds: float
    stdout: Path | None
    stderr: Path | None
    problem: str = ""
    here: bool = True


Finished.__module__ = "taskproc.commands"  # pickles name the public module, not this one


def descriptor_fault(descriptor: object) -> str:
    """Why a task descriptor is not valid; empty if it is."""
    if isinstance(descriptor, (str, bytes)) or not isinstance(descriptor, Sequence):
        return f"a task descriptor must be a list of words, got {descriptor!r}: no shell splits it"
    if not descriptor:
        return "a task descriptor is empty: its first word is the program"
    wrong = [word for word in descriptor if not isinstance(word, (str, os.PathLike))]
    return f"words of a task descriptor must be strings or paths, got {wrong[0]!r}" if wrong else ""
