"""Which worker has which job, which jobs are asked back, and which job a death is blamed on: decided without I/O.

The runner (resident.py) reports events here and carries out the decisions; nothing in this file opens, waits or
kills. The far end of each worker is worker.py; the bytes are in worker_protocol.py.

Jobs ahead. A round trip between two processes costs some hundred microseconds, so a worker is given several small jobs
before it has answered the first (Pace guesses how long each takes). The jobs of one worker have the numbers 1, 2,
3, … in the order in which it gets them. It begins and answers them in this order, one at a time. All but the first
must fit into the channel: the worker does not read while a job runs, and the main process would block. So a job waits
until its kind was sent together with a first job.

Marks. Before a worker touches job n, it writes n into a file that both sides have open (BEGUN). That costs no message,
and the mark outlives the worker.

Calling back. A guess may be wrong, and a run may stop. The main process then writes the number of the last job that may
begin into the same file (BOUND), and only then reads BEGUN. The worker writes BEGUN, and only then reads BOUND. So at
least one side sees what the other has written: a job above BEGUN never begins, and another worker may have it at once.
A job that BEGUN covers either runs, or is refused by the worker, which reports that (REFUSED); then it is given back.

Passing. Jobs that were called back are still in the channel, and the worker refuses them one after another. BOUND must
stay until the last of them has passed: lifted earlier, a job would run twice. Until then the worker is given nothing.
It is not asked again either: we would then wait for a lower number than that of the last job that it must refuse.

Blame. When a worker has died, all that it had sent is read first. If it was never ready, no worker could be started,
and its first job fails. If its job had run too long, that is the failure. If the mark covers its first job, that job
died, and never runs again. If not, the job did not cause the death: another worker tries, but only MOST_TRIES times
in all. Jobs behind the first had not begun, and go to other workers.

Closed channels. A worker that has closed its end is dying, or its job has replaced the process (exec) or closed what it
does not own. It will never answer. The runner waits for a moment, so that a death is reported with its exit code, and
then kills the process (silent).
"""
from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose
from typing import Any, Generic, Literal, NamedTuple, get_args

from taskproc.kernel.model import K, Ticket
from taskproc.run.kinds import MOST, WINDOW, Kind, Pace
from taskproc.run.worker_protocol import SMALL

MOST_TRIES = 3
_AROUND = 32   # at least the bytes around the content of a job
_REST = 0.004  # seconds for which answers may gather
_EVENTS = 12   # how many of the last events of a worker an error reports

Cause = Literal["", "unstarted", "timeout", "silent", "died"]
State = Literal["starting", "idle", "busy", "passing", "leaving", "expiring", "silent", "gone"]
STATES: tuple[State, ...] = get_args(State)

# (from, to) → when. A worker begins as starting, and may get jobs already. No move leads away from gone.
MOVES: Mapping[tuple[State, State], str] = {
    ("starting", "idle"): "ready, before it was given a job",
    ("starting", "busy"): "ready, with a job",
    ("starting", "passing"): "ready, after jobs were called back",
    ("starting", "leaving"): "ready, with a job that must be its only one",
    ("starting", "gone"): "its process ended before it was ready",
    ("idle", "busy"): "given a job",
    ("idle", "leaving"): "given a job that must be its only one, or its place is needed, or its channel is closed",
    ("idle", "gone"): "its process ended",
    ("busy", "idle"): "answered its last job",
    ("busy", "passing"): "jobs were called back",
    ("busy", "leaving"): "cannot be put in order after its job, or its channel is closed",
    ("busy", "expiring"): "its job has run too long",
    ("busy", "gone"): "its process ended",
    ("passing", "idle"): "has passed the last job that was called back",
    ("passing", "leaving"): "cannot be put in order after its job, or its channel is closed",
    ("passing", "gone"): "its process ended",
    ("leaving", "expiring"): "its job has run too long",
    ("leaving", "silent"): "closed its channel and did not end",
    ("leaving", "gone"): "its process ended",
    ("expiring", "leaving"): "answered after it was asked to end",
    ("expiring", "gone"): "its process ended",
    ("silent", "gone"): "its process was killed",
}
_CAUSES: Mapping[State, Cause] = {"starting": "unstarted", "expiring": "timeout", "silent": "silent"}


@dataclass(slots=True, eq=False)
class Parcel(Generic[K]):
    """A pickled job on its way.

    Attributes:
        kind: its kind; None: it has none.
        timeout: how long it may run, in seconds; None: no limit.
        seconds: a guess of how long it will take; above 0, and WINDOW for a job with a timeout.
        tries: how many workers died with it before they began it.
        alone: whether it must be the only job of its worker.
        number: its number among the jobs of its worker.
    """

    ticket: Ticket[K]
    content: bytes
    kind: Kind | None = None
    timeout: float | None = None
    seconds: float = WINDOW
    tries: int = 0
    alone: bool = False
    number: int = 0


class Give(NamedTuple):
    """Send `parcel` to a worker, and first its kind, if that `is_new` there."""

    worker: int
    parcel: Parcel[Any]
    is_new: bool


class Hire(NamedTuple):
    """Start a worker, then call `hired`; if that fails, call `make_do` or `drop`."""


class Retire(NamedTuple):
    """Let an idle worker end."""

    worker: int


class Burial(NamedTuple):
    """The fate of the jobs of a worker that has ended.

    Attributes:
        blamed: the job that ends with it, if any.
        cause: how that job ends.
        returned: jobs to give back, because all are recalled.
    """

    blamed: Parcel[Any] | None
    cause: Cause
    returned: Sequence[Parcel[Any]]


@dataclass(slots=True, eq=False)
class _JobEntry(Generic[K]):
    """The state of one worker.

    Attributes:
        jobs: jobs that it was given and has not answered, in that order; all but the first are ahead of time.
        seconds: a guess of how long these will take.
        ahead: bytes of the jobs that are ahead.
        given: how many jobs it was given in all, which is the number of the last one.
        awaited: the number of the last job that was called back, until the worker has passed it; otherwise 0.
        kinds: the names of the kinds that it was sent.
        events: its last events.
    """

    number: int
    state: State = "starting"
    jobs: deque[Parcel[K]] = field(default_factory=deque)
    seconds: float = 0.0
    ahead: int = 0
    given: int = 0
    awaited: int = 0
    kinds: set[bytes] = field(default_factory=set)
    events: deque[tuple[object, ...]] = field(default_factory=lambda: deque(maxlen=_EVENTS))


class Dispatch(Generic[K]):
    """Waiting jobs, at most `count` workers, and the jobs of each. Unknown workers raise KeyError.

    After each report, call `next` until it returns None. `hired` returns the number of a worker.
    """

    def __init__(self, count: int):
        self.count = count
        self._entries: dict[int, _JobEntry[K]] = {}
        self._waiting: deque[Parcel[K]] = deque()
        self._pace = Pace()
        self._hired = 0
        # Of all jobs that wait or are with a worker: their count and guessed seconds; and the seconds of the last one
        self._in_hand, self._seconds, self._last = 0, 0.0, WINDOW
        self._recalls = False

    def state(self, worker: int) -> State:
        """Return the state of `worker`."""
        return self._entries[worker].state

    def first(self, worker: int) -> Parcel[K] | None:
        """Return the job that it runs, or will run first; None: it has no job."""
        jobs = self._entries[worker].jobs
        return jobs[0] if jobs else None

    def capacity(self) -> int:
        """Return the number of workers, started or not; more while their jobs are quick."""
        room = int((self.count * WINDOW - self._seconds) / self._last) if self._in_hand else 0
        return max(self.count, self._in_hand + min(room, self.count * MOST))

    def guess(self, kind: Kind) -> float:
        """Return how many seconds the next job of a kind will take."""
        return self._pace.expect(kind.name)

    def is_hungry(self) -> bool:
        """Return whether a job that is added may begin at once."""
        return len(self._entries) < self.count or not all(entry.jobs for entry in self._entries.values())

    def add(self, parcel: Parcel[K]) -> None:
        """Add a job behind all that wait. This ends a `recall`."""
        self._recalls = False
        self._join(parcel)
        self._waiting.append(parcel)

    def next(self) -> Give | Hire | Retire | None:
        """Return the next step by which waiting jobs begin, first come first served; None: nothing to do now.

        A job in a Give counts as sent.
        """
        if not self._waiting:
            return None
        parcel = self._waiting[0]
        able = [entry for entry in self._entries.values() if _has_room(entry, parcel)]
        entry = min(able, key=_load, default=None)
        # A new worker can begin at once, which is better than a place behind another job
        if (entry is None or entry.jobs) and len(self._entries) < self.count:
            return Hire()
        if entry is None:
            return self._make_place() if parcel.alone else None
        return self._give(entry, self._waiting.popleft())

    def hired(self) -> int:
        """Record that a worker was started. Return its number."""
        self._hired += 1
        self._entries[self._hired] = _JobEntry(self._hired)
        return self._hired

    def make_do(self) -> bool:
        """Continue with the workers that exist. If there are none, change nothing and return False."""
        self.count = len(self._entries) or self.count
        return bool(self._entries)

    def drop(self) -> Parcel[K]:
        """Remove the first waiting job, since no worker can start, and return it."""
        parcel = self._waiting.popleft()
        self._quit(parcel)
        return parcel

    def ready(self, worker: int) -> None:
        """Record that a worker has started and is ready."""
        self._move(self._entries[worker], _state_by_jobs(self._entries[worker]))

    def answered(self, worker: int, seconds: float) -> Parcel[K]:
        """Record that its first job has ended after `seconds`. Return that job."""
        entry = self._entries[worker]
        if not entry.jobs or entry.state in ("starting", "silent"):
            raise self._bug(entry, "answered")
        parcel = self._take_first(entry)
        entry.events.append(("answered", parcel.number))
        self._quit(parcel)
        if parcel.kind is not None:
            self._pace.learn(parcel.kind.name, seconds)
        if entry.state == "expiring":
            self._move(entry, "leaving")  # it will be killed: it may have ignored the request to end
        else:
            self._go_on(entry)
        return parcel

    def refused(self, worker: int, number: int) -> Sequence[Parcel[K]]:
        """Record that it has passed a job that was called back. Return jobs to give back, if all are recalled."""
        entry = self._entries[worker]
        entry.events.append(("refused", number))
        back: list[Parcel[K]] = []
        if entry.jobs and entry.jobs[0].number == number:
            back.append(self._take_first(entry))  # the mark covered it, so it still counted as the worker's
        elif number == entry.awaited:
            entry.awaited = 0
        self._go_on(entry)
        return self._again(back)

    def leaves(self, worker: int) -> None:
        """Record that it takes no job after its first one."""
        entry = self._entries[worker]
        if entry.state not in ("leaving", "expiring"):
            self._move(entry, "leaving")

    def expire(self, worker: int) -> None:
        """Record that its first job has run too long, and that the process is asked to end."""
        self._move(self._entries[worker], "expiring")

    def closed(self, worker: int) -> bool:
        """Record that it has closed its end of the channel. Return whether to give it up if it does not end soon."""
        entry = self._entries[worker]
        entry.events.append(("closed its channel",))
        # An expiring worker is killed anyway; a leaving one without a job is about to end
        if entry.state == "expiring" or (entry.state == "leaving" and not entry.jobs):
            return False
        if entry.state not in ("starting", "leaving"):
            self._move(entry, "leaving")
        return True

    def give_up(self, worker: int) -> None:
        """Record that it is killed, since it has closed its end of the channel and did not end."""
        entry = self._entries[worker]
        if entry.state != "starting":
            self._move(entry, "silent")

    def bury(self, worker: int, begun: int) -> Burial:
        """Remove a worker that has ended, when all that it sent is reported. `begun`: the number in its mark."""
        entry = self._entries[worker]
        state = entry.state
        self._move(entry, "gone")
        del self._entries[worker]
        if not entry.jobs:
            return Burial(None, "", ())
        first, *behind = entry.jobs
        returned = self._again(behind)
        cause = _CAUSES.get(state, "died")
        first.tries += cause in ("died", "silent")
        if cause in ("died", "silent") and begun < first.number and first.tries < MOST_TRIES:
            return Burial(None, "", [*self._again([first]), *returned])
        self._quit(first)
        return Burial(first, cause, returned)

    def retry(self, parcel: Parcel[K]) -> Sequence[Parcel[K]]:
        """Let another worker try the blamed job. Return the job if it must be given back instead."""
        self._join(parcel)
        return self._again([parcel])

    def behind(self) -> list[int]:
        """Return workers with jobs ahead, which they may not have begun: `call_back` may follow for each."""
        return [
            number for number, entry in self._entries.items()
            if len(entry.jobs) > 1 and entry.state in ("starting", "busy") and not entry.awaited
        ]

    def call_back(self, worker: int, begun: int) -> None:
        """Let its jobs above `begun` wait again, first. It begins none: its bound was set before the mark was read."""
        entry = self._entries[worker]
        if entry.awaited:
            raise self._bug(entry, "called back")
        entry.events.append(("called back", begun + 1))
        entry.awaited = entry.jobs[-1].number
        while len(entry.jobs) > 1 and entry.jobs[-1].number > begun:
            parcel = entry.jobs.pop()
            entry.seconds -= parcel.seconds
            entry.ahead -= _size(parcel)
            self._waiting.appendleft(parcel)
        if entry.state == "busy":
            self._move(entry, "passing")

    def recall(self) -> Sequence[Parcel[K]]:
        """Return all waiting jobs, to give them back. So are later ones, until a job is added."""
        self._recalls = True
        back, self._waiting = list(self._waiting), deque()
        return self._again(back)

    def can_share(self) -> bool:
        """Return whether a worker is idle while jobs are behind those of others."""
        counts = () if self._waiting else [len(entry.jobs) for entry in self._entries.values()]
        return 0 in counts and max(counts) > 1

    def rest(self) -> float:
        """Return for how many seconds answers may gather while all are busy. A wake-up costs more than reading."""
        entries = self._entries.values()
        least = min((entry.seconds if len(entry.jobs) > 1 else 0.0 for entry in entries), default=0.0)
        return min(least / 2, _REST) if least > _REST else 0.0

    def _make_place(self) -> Retire | None:
        """End an idle worker, so that its place is free for a job that needs a fresh one."""
        entries = self._entries.values()
        idle = next((entry for entry in entries if entry.state == "idle"), None)
        if idle is None or any(entry.state == "leaving" and not entry.jobs for entry in entries):
            return None
        self._move(idle, "leaving")
        return Retire(idle.number)

    def _give(self, entry: _JobEntry[K], parcel: Parcel[K]) -> Give:
        entry.given += 1
        parcel.number = entry.given
        entry.events.append(("given", parcel.number))
        if entry.jobs:
            entry.ahead += _size(parcel)
        entry.jobs.append(parcel)
        entry.seconds += parcel.seconds
        if entry.state == "idle":
            self._move(entry, _state_by_jobs(entry))
        is_new = parcel.kind is not None and parcel.kind.name not in entry.kinds
        if parcel.kind is not None:
            entry.kinds.add(parcel.kind.name)
        return Give(entry.number, parcel, is_new)

    def _take_first(self, entry: _JobEntry[K]) -> Parcel[K]:
        parcel = entry.jobs.popleft()
        if entry.jobs:
            entry.seconds -= parcel.seconds
            entry.ahead -= _size(entry.jobs[0])
        else:
            entry.seconds = 0.0
        if parcel.number == entry.awaited:
            entry.awaited = 0
        return parcel

    def _again(self, parcels: Sequence[Parcel[K]]) -> Sequence[Parcel[K]]:
        """Put jobs that have not begun in front of all that wait, or return them if all are recalled."""
        if self._recalls:
            for parcel in parcels:
                self._quit(parcel)
            return parcels
        self._waiting.extendleft(reversed(parcels))
        return ()

    def _join(self, parcel: Parcel[K]) -> None:
        self._in_hand += 1
        self._seconds += parcel.seconds
        self._last = parcel.seconds

    def _quit(self, parcel: Parcel[K]) -> None:
        self._in_hand -= 1
        self._seconds = self._seconds - parcel.seconds if self._in_hand else 0.0

    def _go_on(self, entry: _JobEntry[K]) -> None:
        """Record one job less. The last that was called back is behind all others: a worker that passed it is idle."""
        if not entry.jobs and not entry.awaited and entry.state in ("busy", "passing"):
            self._move(entry, "idle")

    def _move(self, entry: _JobEntry[K], to: State) -> None:
        """The only place where a state changes."""
        if (entry.state, to) not in MOVES:
            raise self._bug(entry, f"become {to}")
        entry.events.append((entry.state, "to", to))
        entry.state = to

    def _bug(self, entry: _JobEntry[K], what: str) -> AssertionError:
        story = ", ".join(" ".join(map(str, event)) for event in entry.events) or "nothing"
        text = f"worker {entry.number} is {entry.state} with {len(entry.jobs)} jobs and cannot have {what}"
        return AssertionError(f"{text}; its last events: {story} [this is a bug]")

    def validate(self) -> None:
        """AssertionError unless every invariant holds. O(jobs): for tests."""
        jobs = [*self._waiting]
        for entry in self._entries.values():
            self._validate_entry(entry)
            jobs += entry.jobs
        _hold(len(jobs) == len({id(parcel) for parcel in jobs}), "a job is in two places")
        _hold(self._in_hand == len(jobs), f"{self._in_hand} jobs counted, there are {len(jobs)}")
        seconds = sum(parcel.seconds for parcel in jobs)
        _hold(isclose(self._seconds, seconds, abs_tol=1e-9), f"{self._seconds} s counted, there are {seconds}")
        _hold(len(self._entries) <= self.count, f"{len(self._entries)} workers, allowed are {self.count}")
        _hold(not self._recalls or not self._waiting, "recalled, and something waits")

    def _validate_entry(self, entry: _JobEntry[K]) -> None:
        jobs, state = list(entry.jobs), entry.state
        numbers = [parcel.number for parcel in jobs]
        who = f"worker {entry.number}, {state}, with {numbers}, awaited {entry.awaited}"
        _hold(numbers == sorted(set(numbers)) and not any(number > entry.given for number in numbers), f"{who}: order")
        seconds = sum(parcel.seconds for parcel in jobs)
        _hold(isclose(entry.seconds, seconds, abs_tol=1e-9), f"{who}: {entry.seconds} s counted, there are {seconds}")
        _hold(entry.ahead == sum(map(_size, jobs[1:])) <= SMALL, f"{who}: {entry.ahead} bytes counted")
        _hold(len(jobs) <= MOST, f"{who}: too many")
        _hold(all(parcel.kind for parcel in jobs[1:]), f"{who}: one of no kind is ahead")
        _hold(all(parcel.kind.name in entry.kinds for parcel in jobs if parcel.kind), f"{who}: a kind was not sent")
        _hold(state not in ("idle", "busy", "passing") or state == _state_by_jobs(entry), f"{who}: state")
        _hold(state != "expiring" or bool(jobs), f"{who}: nothing can expire")
        _hold(state != "gone", f"{who}: gone and not forgotten")
        single = any(parcel.alone or parcel.timeout is not None for parcel in jobs)
        _hold(not single or len(jobs) == 1, f"{who}: a job with a timeout, or alone, has company")
        _hold(entry.given == 1 or not any(parcel.alone for parcel in jobs), f"{who}: not the first, and to be alone")


def _state_by_jobs(entry: _JobEntry[K]) -> State:
    """Return the state of a worker that is ready, reads the channel and was not asked to end."""
    if entry.jobs and entry.jobs[0].alone:
        return "leaving"
    if entry.awaited:
        return "passing"
    return "busy" if entry.jobs else "idle"


def _has_room(entry: _JobEntry[K], parcel: Parcel[K]) -> bool:
    """Return whether it may get that job now: it is idle, or has little to do and the job is quick as well."""
    state = entry.state if entry.state != "starting" else _state_by_jobs(entry)
    if state not in ("idle", "busy") or (parcel.alone and entry.given):
        return False
    if not entry.jobs:
        return True
    return (
        parcel.kind is not None
        and parcel.kind.name in entry.kinds
        and entry.seconds + parcel.seconds <= WINDOW
        and len(entry.jobs) < MOST
        and entry.ahead + _size(parcel) <= SMALL
    )


def _load(entry: _JobEntry[K]) -> float:
    return entry.seconds if entry.jobs else -1.0


def _size(parcel: Parcel[K]) -> int:
    return len(parcel.content) + _AROUND


def _hold(law: bool, otherwise: str) -> None:
    if not law:
        raise AssertionError(f"{otherwise} [this is a bug]")
