"""Prefix commands: which task runs behind which, and with what words."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskproc.errors import OptionError
from taskproc.frozen import frozen
from taskproc.run.prefixed import fill, split_prefix
from taskproc.store.claims import DiskAttempt
from taskproc.tasks.naming import task_name

Prefixes = Mapping[str, "str | Sequence[str]"]


@frozen
class Prefix:
    """The words that are put before a task; none: a fresh interpreter and no command."""

    words: tuple[str, ...]

    def filled(self, task: Any, attempt: DiskAttempt) -> tuple[str, ...]:
        """The words for one attempt, templates replaced. Makes the data directory only where a template names it."""
        values = {
            "task_name": task_name(type(task)),
            "task_id": str(task._taskproc.place.id),
            "stdout": str(attempt.log("stdout")),
            "stderr": str(attempt.log("stderr")),
        }
        if any("{task_directory}" in word for word in self.words):
            values["task_directory"] = str(attempt.directory)
        return fill(self.words, values)


def read_prefixes(prefixes: Prefixes | None, prefix: Prefixes | None) -> dict[str, Prefix]:
    """Label → command. OptionError names the label whose command cannot be read, or was given under both names."""
    given: dict[str, Prefix] = {}
    for option, mapping in (("prefixes", prefixes), ("prefix", prefix)):
        if mapping is not None and not isinstance(mapping, Mapping):
            raise OptionError(f"{option} must map labels to commands, got {mapping!r}")
        for label, words in (mapping or {}).items():
            if label in given:
                raise OptionError(f"label {label!r} has a command in prefixes and in prefix: give one")
            try:
                given[label] = Prefix(_words(words))
            except OptionError as error:
                raise OptionError(f"prefix of label {label!r}: {error}") from None
    return given


def _words(given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        return split_prefix(given)
    if not isinstance(given, Sequence) or not all(isinstance(word, str) for word in given):
        raise OptionError(f"it must be a string or a list of strings, got {given!r}")
    return tuple(given)


def prefix_of(labels: Sequence[str], given: Mapping[str, Prefix]) -> Prefix | None:
    """The command of the leftmost label that has one."""
    return next((given[label] for label in labels if label in given), None)
