"""A job behind a command, and the words of that. What runs it is run/prefix.py."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic

from taskproc.errors import OptionError
from taskproc.frozen import frozen
from taskproc.run.base import Answer, Job
from taskproc.run.timeout import timeout_of

PLACES = ("task_name", "task_id", "task_directory", "stdout", "stderr")


def split_prefix(prefix: str | Sequence[str]) -> tuple[str, ...]:
    """The words of a command, split as a shell would; a sequence is taken as it is.

    Raises OptionError if quotes are not closed.
    """
    if not isinstance(prefix, str):
        return tuple(prefix)
    import shlex  # here: most runs have no prefix

    try:
        return tuple(shlex.split(prefix))
    except ValueError as error:
        raise OptionError(f"prefix {prefix!r} cannot be split into words: {error}") from None


def fill(command: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """`command` with `{task_name}` and the other PLACES replaced within its words; other braces stay as they are."""
    words = []
    for word in command:
        # one pass from left to right, so that a value which looks like a place is not replaced in its turn
        parts = word.split("{")
        filled = [parts[0]]
        for part in parts[1:]:
            name, closed, rest = part.partition("}")
            known = closed and name in PLACES and name in values
            filled.append(values[name] + rest if known else "{" + part)
        words.append("".join(filled))
    return tuple(words)


@frozen
class PrefixedJob(Generic[Answer]):
    """A job and the command that carries it.

    Attributes:
        command: split and filled; empty for a fresh interpreter without anything before it.
        job: what the far end calls; pickles with plain `pickle`.
        folder: where the file for the far end is written; both ends must see it.
        stdout: what the command prints is appended to this file, and to `stderr`.
    """

    command: tuple[str, ...]
    job: Job[Answer]
    folder: Path
    stdout: Path
    stderr: Path

    @property
    def timeout(self) -> float | None:
        """How many seconds the job itself may run."""
        return timeout_of(self.job)

    def __call__(self) -> Answer:
        """Run the job here, without its command."""
        return self.job()
