"""Jobs of a kind: what they have in common is sent once to each process, and how long they take is learned.

A kind is a pickled callable; a job of that kind is some bytes to call it with. Ten thousand tasks of a class then send
their class once to each worker, not ten thousand times.

A round trip between two processes costs some hundred microseconds, most of it waiting. So a worker is given jobs that
take less than QUICK ahead of time, as many as it can do in about WINDOW; longer and unknown jobs are sent one by one.
The guess may be wrong at any time, so jobs that a worker has not begun can be called back.
"""
from __future__ import annotations

import functools
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from taskproc.pickling import load
from taskproc.run.runner import Answer
from taskproc.run.worker_protocol import NAMED

_KEPT = 64  # kinds that a process of another executor keeps; it may serve many runs
QUICK = 0.005    # seconds; a job that takes longer is sent alone
WINDOW = 0.02    # seconds of work that a worker is given ahead of time
MOST = 100       # jobs that a worker has at once
_LEAST = 1e-5    # seconds that a job takes at least
_NEW = 0.25      # weight of the last job of a kind against all before it


class Kind:
    """What jobs have in common: the pickle of a callable that makes an outcome from the bytes of one job.

    Attributes:
        name: unique to this kind.
    """

    __slots__ = ("content", "name")

    def __init__(self, content: bytes, name: bytes = b""):
        self.content = content
        self.name = name or os.urandom(NAMED)

    def __reduce__(self) -> tuple[Any, ...]:
        return Kind, (self.content, self.name)


@dataclass(frozen=True, slots=True)
class KindJob(Generic[Answer]):
    """One job of a kind. It runs anywhere and pickles with plain `pickle`.

    Attributes:
        own: the bytes that the kind is called with.
        timeout: how many seconds it may run; see far_end.py.
        seconds: a guess of how long it will take; None: like other jobs of its kind.
        alone: whether it needs a process of its own.
    """

    kind: Kind
    own: bytes
    timeout: float | None = None
    seconds: float | None = None
    alone: bool = False

    def __call__(self) -> Answer:
        """Run the job. Raises what unpickling its kind raises."""
        answer: Answer = _loaded(self.kind)(self.own)
        return answer


_kinds: OrderedDict[bytes, Callable[[bytes], Any]] = OrderedDict()


def _loaded(kind: Kind) -> Callable[[bytes], Any]:
    loaded = _kinds.get(kind.name)
    if loaded is None:
        content: Any = load(kind.content)
        loaded = _kinds[kind.name] = content
        if len(_kinds) > _KEPT:
            _kinds.popitem(last=False)
    return loaded


class Kinds:
    """The kinds that were sent to this worker."""

    def __init__(self) -> None:
        self._contents: dict[bytes, bytes] = {}
        self._loaded: dict[bytes, Callable[[bytes], Any]] = {}

    def take(self, name: bytes, content: bytes) -> None:
        """Store a kind. The first job that needs it unpickles it, and fails if that fails."""
        self._contents[name] = content

    def job(self, name: bytes, own: bytes) -> Callable[[], Any]:
        """Return a job of the kind `name`. Raises what unpickling the kind raises."""
        if name not in self._loaded:
            kind: Any = load(self._contents[name])
            self._loaded[name] = kind
        return functools.partial(self._loaded[name], own)


class Pace:
    """The seconds that a job takes, estimated from the last jobs of its kind."""

    def __init__(self) -> None:
        self._seconds: dict[bytes, float] = {}

    def expect(self, kind: bytes) -> float:
        """Return the expected seconds of a job; WINDOW, which fills a worker, unless the kind is known to be quick."""
        seconds = self._seconds.get(kind, WINDOW)
        return max(seconds, _LEAST) if seconds < QUICK else WINDOW

    def learn(self, kind: bytes, seconds: float) -> None:
        """Record how many seconds a job of that kind took."""
        before = self._seconds.get(kind, seconds)
        self._seconds[kind] = before + _NEW * (seconds - before)
