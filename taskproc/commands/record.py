"""What is known of a command that has ended."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finished:
    """How a task descriptor ended.

    Attributes:
        number: counts descriptors from 1, in the order in which they were taken from the list.
        descriptor: it itself, as it stood in the list.
        exit_code: minus the signal, if one killed it; None if it could not be started.
        seconds: how long it ran, wall time.
        stdout, stderr: files with what it printed; None if it could not be started.
        problem: what went wrong, in words; empty if nothing did.
        here: False if another manager on the shared folder ran it, or an earlier run.
    """

    number: int
    descriptor: object
    exit_code: int | None
    seconds: float
    stdout: Path | None
    stderr: Path | None
    problem: str = ""
    here: bool = True
