"""The nouns, frozen: what is to run, what was run, what may run now, how it ended.

Nothing here knows what a key stands for, what a job does or where a result lies. A *node* is to run, a *ticket* may
run, a *record* was run, an *attempt* ran once, a *result* is published.
"""
from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import field
from typing import Generic, NamedTuple, TypeVar, Union

from taskproc.frozen import frozen

K = TypeVar("K", bound=Hashable)


class Stamp(NamedTuple):
    """What a result is known by: `order` says at whose command it was made, `value` what came out.

    A changed order reruns all that lies below, a changed value what reads it.
    """

    order: str
    value: str


@frozen
class Node(Generic[K]):
    """What is to run: `needs` must be done before, `labels` are slots that it takes while it runs."""

    key: K
    needs: tuple[K, ...] = ()
    labels: tuple[str, ...] = ()


@frozen
class Record:
    """What was run: lives beside the result, and decides whether the result is still good.

    Attributes:
        number: of the attempt, counted from 1 within its key.
        nonce: random when the attempt was ordered, inherited when it was only doubted; the source of `stamp.order`.
        code: digest of the code that ran.
        needs: key of each need → the stamp of the result that was read.
        settings: what else it was made from, `kind name` → text or digest; the kinds are in rebuild.py.
        accepted: digests of code that was declared to give the same.
        observed: what it touched besides: kind → item → digest; see tasks/observed.py.
    """

    number: int
    nonce: str
    stamp: Stamp
    code: str
    needs: Mapping[str, Stamp]
    settings: Mapping[str, str] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    observed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@frozen
class Ticket(Generic[K]):
    """May run, once. `number` only grows within a plan, so a late answer is known by its ticket."""

    key: K
    number: int


@frozen
class Reason:
    """Why a node must run: `kind` for programs, `text` for people, `needs` the keys of the needs that it is about.

    Kinds: new, forced, code, need, observed, unreadable, missing, and those of settings: version, package,
    environment, attribute.
    """

    kind: str
    text: str
    needs: tuple[str, ...] = ()


@frozen
class Fresh:
    """The stored result is good."""

    stamp: Stamp


@frozen
class Stale:
    """The node must run, because."""

    reason: Reason


@frozen
class Elsewhere:
    """Somebody else is computing it now; look again `after` seconds."""

    after: float = 0.2


Verdict = Union[Fresh, Stale, Elsewhere]


@frozen
class Problem:
    """Why an attempt failed, in a form that crosses processes: always text, and the exception where it can be rebuilt.

    Kinds: exception (the task raised), died (its process ended), limit (the system did not let it begin), timeout (it
    ran too long, and was ended), prefix (the command before it went wrong), command (it is one, and did not end well),
    result (its value could not be stored).
    `error` is the exception itself where it was raised in this process, its pickle where it was raised in another.
    `memory` is the peak of the process that died, in bytes, and `step` the last one that began of a job of many.
    """

    kind: str
    text: str
    traceback: str = ""
    error: BaseException | bytes | None = None
    exit_code: int | None = None
    memory: int | None = None
    step: int | None = None


class Usage(NamedTuple):
    """What an attempt used, and where it ran. None: not known.

    Attributes:
        began: seconds since 1970, by the clock of its machine.
        cpu: seconds of processor time, child processes included.
        peak: memory in bytes, the most that its process or a child had while it ran; only if no other task had a part.
        worker: such as `worker 3`, `thread`, `inline`, `prefix`.
        run: the id of its run.
    """

    began: float | None = None
    cpu: float | None = None
    peak: int | None = None
    worker: str | None = None
    run: str | None = None


@frozen
class Done:
    """The attempt ran and its result is published."""

    stamp: Stamp
    seconds: float = 0.0

    def detail(self) -> dict[str, object]:
        """What is reported of it to watchers, ready for JSON."""
        return {"seconds": self.seconds}


@frozen
class Failed:
    """The attempt ended without a result."""

    problem: Problem
    seconds: float = 0.0


@frozen
class Lost(Generic[K]):
    """The attempt could not read results that were judged fresh: `keys` must be computed again first."""

    keys: tuple[K, ...]


@frozen
class Returned:
    """Where the attempt was to run broke down, and not known to be by its doing: the ticket is given back."""


# Fresh: somebody published it between our look and our claim. Elsewhere: somebody holds the claim.
Outcome = Union[Done, Failed, Lost[K], Fresh, Elsewhere, Returned]


@frozen
class Event(Generic[K]):
    """Something that happened to a node, sent once to every watcher.

    Kinds: fresh, stale, started, done, failed, skipped, elsewhere, lost, returned, late, and stopped (the whole run;
    its key is None). `detail` is ready for JSON, but for `problem`.
    """

    kind: str
    key: K | None
    detail: Mapping[str, object] = field(default_factory=dict)
