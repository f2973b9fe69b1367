"""Named slots: which of a label's places a running task has, `{'gpu': ['0', '3']}`.

The plan counts places and never runs more tasks than there are, so a name is always free for a task that may start.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Union

from taskproc.errors import OptionError

RateLimits = Mapping[str, Union[int, Sequence[str]]]

# Labels whose slot is told to libraries by an environment variable, too
_VARIABLES = {"gpu": "CUDA_VISIBLE_DEVICES"}


class Slots:
    """The names of a run's slots, and who has them. OptionError for what is neither a number nor a list of names."""

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
                self.counts[label] = limit  # type: ignore[assignment]  # Limits refuses what is no int

    @property
    def are_named(self) -> bool:
        """Whether some label has named slots."""
        return bool(self._free)

    def take(self, key: str, labels: Iterable[str]) -> dict[str, str]:
        """A name for each of `labels` that has named slots, kept until `key` gives them back."""
        taken = {label: self._free[label].pop(0) for label in labels if label in self._free}
        if taken:
            self._taken[key] = taken
        return taken

    def give_back(self, key: str) -> None:
        """What `key` took is free again; it need not have taken any."""
        for label, name in self._taken.pop(key, {}).items():
            self._free[label].append(name)


def _names(label: str, limit: Sequence[object]) -> list[str]:
    names = [name for name in limit if isinstance(name, str)]
    if len(names) < len(limit) or len(set(names)) < len(names):
        raise OptionError(f"slots of label {label!r} must be strings, each once, got {list(limit)!r}")
    return names


@contextmanager
def told(slots: Mapping[str, str]) -> Iterator[None]:
    """Inside the block environment variables tell the slots; for a process that runs this one task."""
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
