"""Settings that a run takes by label: prefix commands, and rate limits, whose slots may have names.

The plan counts the slots of a label and never runs more tasks than there are, so a name is always free for a task that
may start.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Union

from taskproc.errors import OptionError
from taskproc.frozen import frozen
from taskproc.tasks.naming import task_name
from taskproc.text import did_you_mean

if TYPE_CHECKING:
    from taskproc.store.claims import DiskAttempt

RateLimits = Mapping[str, Union[int, Sequence[str]]]
Prefixes = Mapping[str, "str | Sequence[str]"]

# Labels whose slot is also put into an environment variable, for libraries
_VARIABLES = {"gpu": "CUDA_VISIBLE_DEVICES"}


def labels_of(cls: type) -> tuple[str, ...]:
    """The task name first, then the labels of the class, each once."""
    given = getattr(cls, "task_label", ())
    return tuple(dict.fromkeys((task_name(cls), *((given,) if isinstance(given, str) else given))))


def warn_of_unknown(classes: Iterable[type], what: str, labels: Mapping[str, object]) -> None:
    """Warn of each label with a `what` that none of `classes` has: most likely a typing error."""
    known = {label for cls in classes for label in labels_of(cls)}
    unknown = [label for label in labels if label not in known]
    if unknown:
        import logging  # here: 3 ms, and a worker that loads a script does not need it

        logger = logging.getLogger("taskproc")
        for label in unknown:
            text = "no task of this graph has the label %r of a %s%s"
            logger.warning(text, label, what, did_you_mean(str(label), known))


class Slots:
    """The named slots of a run, and which task has which. OptionError unless a limit is a number or a list of names.

    Attributes:
        counts: label → the number of its slots; are_named: whether some label has named slots.
    """

    def __init__(self, limits: RateLimits | None):
        if not isinstance(limits or {}, Mapping):
            raise OptionError(f"rate_limits must map labels to numbers or lists of names, got {limits!r}")
        self.counts: dict[str, int] = {}
        self._free: dict[str, list[str]] = {}
        self._taken: dict[str, dict[str, str]] = {}
        for label, limit in (limits or {}).items():
            if isinstance(limit, (list, tuple)):
                self._free[label] = _names(label, limit)
                self.counts[label] = len(limit)
            else:
                self.counts[label] = limit  # type: ignore[assignment]  # Limits refuses anything but an int
        self.are_named = bool(self._free)

    def take(self, key: str, labels: Iterable[str]) -> dict[str, str]:
        """A name for each of `labels` that has named slots, reserved until `key` gives them back."""
        taken = {label: self._free[label].pop(0) for label in labels if label in self._free}
        if taken:
            self._taken[key] = taken
        return taken

    def give_back(self, key: str) -> None:
        """Free the slots that `key` took, if any."""
        for label, name in self._taken.pop(key, {}).items():
            self._free[label].append(name)


def _names(label: str, limit: Sequence[object]) -> list[str]:
    names = [name for name in limit if isinstance(name, str)]
    if len(names) < len(limit) or len(set(names)) < len(names):
        raise OptionError(f"slots of label {label!r} must be strings, each once, got {list(limit)!r}")
    return names


@contextmanager
def slot_variables(slots: Mapping[str, str]) -> Iterator[None]:
    """Inside the block, environment variables name the slots; for a process that runs only this task."""
    variables = {_VARIABLES[label]: name for label, name in slots.items() if label in _VARIABLES}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@frozen
class Prefix:
    """The words that are put before a task; without words: a fresh interpreter and no command."""

    words: tuple[str, ...]

    def filled(self, task: Any, attempt: DiskAttempt) -> tuple[str, ...]:
        """The words for one attempt, templates replaced. Makes the data directory only where a template names it."""
        from taskproc.run.prefix_job import fill_places  # here: 5 ms, and most runs have no prefix

        values = {
            "task_name": task_name(type(task)),
            "task_id": str(task._taskproc.place.id),
            "stdout": str(attempt.log("stdout")),
            "stderr": str(attempt.log("stderr")),
        }
        if any("{task_directory}" in word for word in self.words):
            values["task_directory"] = str(attempt.directory)
        return fill_places(self.words, values)


def read_prefixes(prefixes: Prefixes | None, prefix: Prefixes | None) -> dict[str, Prefix]:
    """Label → command. OptionError names a label whose command is wrong, or is given under both names."""
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
        from taskproc.run.prefix_job import split_prefix

        return split_prefix(given)
    if not isinstance(given, Sequence) or not all(isinstance(word, str) for word in given):
        raise OptionError(f"it must be a string or a list of strings, got {given!r}")
    return tuple(given)


def prefix_of(labels: Sequence[str], given: Mapping[str, Prefix]) -> Prefix | None:
    """The command of the leftmost label that has one."""
    return next((given[label] for label in labels if label in given), None)
