"""The nouns, as frozen data: what must run, what ran, what may run now, how it ended.

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
    """The identity of a version: `order` identifies the command that made it, `value` the content of the result.

    If the order changes, all nodes below run again; if the value changes, the nodes that read it.
    """

    order: str
    value: str


@frozen
class Node(Generic[K]):
    """A node to run: `needs` must be done before, and it takes a slot of each of `labels` while it runs."""

    key: K
    needs: tuple[K, ...] = ()
    labels: tuple[str, ...] = ()


@frozen
class Record:
    """What was run: stored with the result, and used to decide whether the result is still good.

    Attributes:
        number: of the attempt, counted from 1 within its key.
        nonce: random if the attempt was ordered, inherited if it was only doubted; the source of `stamp.order`.
        code: digest of the code that ran.
        needs: key of each need → the stamp of the result that was read.
        settings: other conditions of the run, `kind name` → text or digest; the kinds are in rebuild.py.
        accepted: digests of code that was declared to give the same result.
        observed: what else it used: kind → item → digest; see tasks/observed.py.
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
    """The permission to run once. `number` only grows within a plan, so a late answer is recognized by its ticket."""

    key: K
    number: int


@frozen
class Reason:
    """Why a node must run: `kind` for programs, `text` for people, `needs` the keys of the needs concerned.

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
    """The node must run, because of `reason`."""

    reason: Reason


@frozen
class Elsewhere:
    """Another run is computing it now; look again after `after` seconds."""

    after: float = 0.2


Verdict = Union[Fresh, Stale, Elsewhere]


@frozen
class Problem:
    """Why an attempt failed, in a form that can be sent between processes.

    Kinds: exception (the task raised), died (its process ended), limit (the system did not let it begin), timeout (it
    ran too long and was ended), prefix (the command before it failed), command (the command that it runs failed),
    result (its value could not be stored).
    `error` is the exception itself if it was raised in this process, its pickle if it was raised in another.
    `memory` is the peak of the process that died, in bytes. `step` is the last step that began, of a job with several.
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
    """The attempt could not read results that were judged fresh: `keys` must be computed again before it."""

    keys: tuple[K, ...]


@frozen
class Returned:
    """The worker of the attempt was lost, not provably because of the attempt: the ticket is given back."""


# Fresh: another run published it between our look and our claim. Elsewhere: another run holds the claim.
Outcome = Union[Done, Failed, Lost[K], Fresh, Elsewhere, Returned]


@frozen
class Event(Generic[K]):
    """Something that happened to a node, sent once to every watcher.

    Kinds: fresh, stale, started, done, failed, skipped, elsewhere, lost, returned, late, and stopped (the whole run;
    its key is None). `detail` can be written as JSON, except `problem`.
    """

    kind: str
    key: K | None
    detail: Mapping[str, object] = field(default_factory=dict)
