"""Which worker has which job, which jobs are asked back, and which job a death is blamed on: decided without I/O.

The runner (resident.py) reports here what it hears and does what is decided; nothing in this file opens, waits or
kills. The far end of each worker is worker.py; the bytes are in wire.py.

Jobs ahead. A round trip between two processes costs some hundred microseconds, so a worker is given several small jobs
before it has answered the first (pace.py guesses how long each takes). The jobs of one worker have the numbers 1, 2,
3, … in the order in which it is given them. It begins and answers them in this order, one at a time. All but the first
must fit into the channel: the worker does not read while a job runs, and the main process would block. So a job waits
until the kind that it belongs to was sent together with a first job.

Marks. Before a worker touches job n, it writes n into a file that both sides have open (BEGUN). That costs no message,
and the mark outlives the worker.

Calling back. A guess may be wrong, and a run may stop. The main process then writes the number of the last job that may
begin into the same file (BOUND), and only then reads BEGUN. The worker writes BEGUN, and only then reads BOUND. So at
least one side sees what the other has written: a job above BEGUN never begins, and another worker may have it at once.
A job that BEGUN covers either runs, or is refused by the worker, which reports that (REFUSED); then it is given back.

Passing. Jobs that were called back still lie in the channel, and the worker refuses them one after another. BOUND must
stay until the last of them has passed: lifted earlier, a job would run twice. Until then the worker is given nothing.
It is not asked again either: that would await a lower number than that of the last job which it has to refuse.

Blame. When a worker has died, all that it had sent is read first. If it was never ready, no worker could be started,
and its first job fails. If its job had run too long, that is the failure. If the mark covers its first job, that job
died, and is never run again. If not, the job did not cause the death: another worker tries, but only MOST_TRIES times
in all. What stood behind the first job had not begun, and goes to other workers.

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
_AROUND = 32   # bytes, and more, that stand around the content of a job
_REST = 0.004  # seconds for which answers may gather
_EVENTS = 12   # how many of the last events of a worker an error reports

Cause = Literal["", "unstarted", "timeout", "silent", "died"]
State = Literal["starting", "idle", "busy", "passing", "leaving", "expiring", "silent", "gone"]
STATES: tuple[State, ...] = get_args(State)

# From, to: when. A worker is born starting, and may be given jobs then. Nothing leaves gone.
MOVES: Mapping[tuple[State, State], str] = {
    ("starting", "idle"): "ready, before it was given a job",
    ("starting", "busy"): "ready, with a job",
    ("starting", "passing"): "ready, after jobs were called back",
    ("starting", "leaving"): "ready, with a job that is to be its only one",
    ("starting", "gone"): "its process ended before it was ready",
    ("idle", "busy"): "given a job",
    ("idle", "leaving"): "given a job that is to be its only one, or its place is needed, or its channel is closed",
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
        kind: what it is a job of; None: of no kind.
        timeout: how long it may run, in seconds; None: no limit.
        seconds: how long it will take, by guess; above 0, and WINDOW for one with a timeout.
        tries: how many workers died with it before they looked at it.
        alone: whether it is to be the only job of its worker.
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
    """Send `parcel` to a worker; before it its kind, if that `is_new` there."""

    worker: int
    parcel: Parcel[Any]
    is_new: bool


class Hire(NamedTuple):
    """Start a worker: then call `hired`, or `make_do`, or `drop`."""


class Retire(NamedTuple):
    """Let a worker end that has nothing to do."""

    worker: int


class Burial(NamedTuple):
    """What becomes of the jobs of a worker that has ended.

    Attributes:
        blamed: the job that ends with it, if any.
        cause: how that ends.
        returned: those to be given back, since all is recalled.
    """

    blamed: Parcel[Any] | None
    cause: Cause
    returned: Sequence[Parcel[Any]]


@dataclass(slots=True, eq=False)
class _JobEntry(Generic[K]):
    """What is known of one worker.

    Attributes:
        jobs: what it was given and has not answered, in that order; all but the first are ahead of time.
        seconds: how long these will take, by guess.
        ahead: how many bytes those that are ahead have.
        given: how many jobs it was given in all, which is the number of the last one.
        awaited: the number of the last job that was called back, until the worker has passed that; else 0.
        kinds: the names of the kinds that it was sent.
        events: what happened to it last.
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
    """Jobs that wait, at most `count` workers, and what each of them has. Unknown workers raise KeyError.

    After each report call `next` until it gives None. Workers have the numbers that `hired` gives.
    """

    def __init__(self, count: int):
        self.count = count
        self._entries: dict[int, _JobEntry[K]] = {}
        self._waiting: deque[Parcel[K]] = deque()
        self._pace = Pace()
        self._hired = 0
        # Of all that waits or is with a worker: how many jobs, their seconds by guess; and those of the last one
        self._in_hand, self._seconds, self._last = 0, 0.0, WINDOW
        self._recalls = False

    def state(self, worker: int) -> State:
        """Where `worker` stands."""
        return self._entries[worker].state

    def first(self, worker: int) -> Parcel[K] | None:
        """What it does now, or will do first; None: it has nothing to do."""
        jobs = self._entries[worker].jobs
        return jobs[0] if jobs else None

    def capacity(self) -> int:
        """The number of workers, started or not; more while what they have in hand is done in no time."""
        room = int((self.count * WINDOW - self._seconds) / self._last) if self._in_hand else 0
        return max(self.count, self._in_hand + min(room, self.count * MOST))

    def guess(self, kind: Kind) -> float:
        """How many seconds the next job of a kind will take."""
        return self._pace.expect(kind.name)

    def is_hungry(self) -> bool:
        """Whether a job that is added may begin at once."""
        return len(self._entries) < self.count or not all(entry.jobs for entry in self._entries.values())

    def add(self, parcel: Parcel[K]) -> None:
        """One more job, behind all that wait; a `recall` is over."""
        self._recalls = False
        self._join(parcel)
        self._waiting.append(parcel)

    def next(self) -> Give | Hire | Retire | None:
        """What is to be done so that what waits begins, first come first served; None: nothing now.

        A job that is given counts as sent from then on.
        """
        if not self._waiting:
            return None
        parcel = self._waiting[0]
        able = [entry for entry in self._entries.values() if _has_room(entry, parcel)]
        entry = min(able, key=_load, default=None)
        # A new worker begins at once, so it is better than a place behind another job
        if (entry is None or entry.jobs) and len(self._entries) < self.count:
            return Hire()
        if entry is None:
            return self._make_place() if parcel.alone else None
        return self._give(entry, self._waiting.popleft())

    def hired(self) -> int:
        """A worker was started; its number."""
        self._hired += 1
        self._entries[self._hired] = _JobEntry(self._hired)
        return self._hired

    def make_do(self) -> bool:
        """Go on with the workers that there are. False, and nothing changes: there are none."""
        self.count = len(self._entries) or self.count
        return bool(self._entries)

    def drop(self) -> Parcel[K]:
        """Take away the job that waits first: there can be no worker for it."""
        parcel = self._waiting.popleft()
        self._quit(parcel)
        return parcel

    def ready(self, worker: int) -> None:
        """It has started well."""
        self._move(self._entries[worker], _state_by_jobs(self._entries[worker]))

    def answered(self, worker: int, seconds: float) -> Parcel[K]:
        """Its first job has ended, after so many seconds. That job."""
        entry = self._entries[worker]
        if not entry.jobs or entry.state in ("starting", "silent"):
            raise self._bug(entry, "answered")
        parcel = self._take_first(entry)
        entry.events.append(("answered", parcel.number))
        self._quit(parcel)
        if parcel.kind is not None:
            self._pace.learn(parcel.kind.name, seconds)
        if entry.state == "expiring":
            self._move(entry, "leaving")  # it is to be killed: it may have ignored the request to end
        else:
            self._go_on(entry)
        return parcel

    def refused(self, worker: int, number: int) -> Sequence[Parcel[K]]:
        """It has passed a job that was called back. What is to be given back, since all is recalled."""
        entry = self._entries[worker]
        entry.events.append(("refused", number))
        back: list[Parcel[K]] = []
        if entry.jobs and entry.jobs[0].number == number:
            back.append(self._take_first(entry))  # it was covered by the mark, so it was still counted as the worker's
        elif number == entry.awaited:
            entry.awaited = 0
        self._go_on(entry)
        return self._again(back)

    def leaves(self, worker: int) -> None:
        """It takes no job after the first one that it has."""
        entry = self._entries[worker]
        if entry.state not in ("leaving", "expiring"):
            self._move(entry, "leaving")

    def expire(self, worker: int) -> None:
        """Its first job has run too long, and the process is asked to end."""
        self._move(self._entries[worker], "expiring")

    def closed(self, worker: int) -> bool:
        """It has closed its end of the channel. Whether to give it up, if it does not end soon."""
        entry = self._entries[worker]
        entry.events.append(("closed its channel",))
        # One that expires is killed anyway; one that leaves with nothing to do is about to end
        if entry.state == "expiring" or (entry.state == "leaving" and not entry.jobs):
            return False
        if entry.state not in ("starting", "leaving"):
            self._move(entry, "leaving")
        return True

    def give_up(self, worker: int) -> None:
        """It is killed, since it has closed its end of the channel and did not end."""
        entry = self._entries[worker]
        if entry.state != "starting":
            self._move(entry, "silent")

    def bury(self, worker: int, begun: int) -> Burial:
        """Its process has ended, and all it had sent was reported. `begun`: the number in its mark."""
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
        """The job that was blamed is to be tried again, by another worker. It, if it is to be given back instead."""
        self._join(parcel)
        return self._again([parcel])

    def behind(self) -> list[int]:
        """Workers that have jobs ahead, which they may not have begun: those to be asked back from."""
        return [
            number for number, entry in self._entries.items()
            if len(entry.jobs) > 1 and entry.state in ("starting", "busy") and not entry.awaited
        ]

    def call_back(self, worker: int, begun: int) -> None:
        """It begins no job above `begun`, as its bound was set before that mark was read: these wait again, first."""
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
        """All that waits is to be given back, and so is what does later, until something is added."""
        self._recalls = True
        back, self._waiting = list(self._waiting), deque()
        return self._again(back)

    def can_share(self) -> bool:
        """Whether some have nothing to do while jobs wait behind those of others."""
        counts = () if self._waiting else [len(entry.jobs) for entry in self._entries.values()]
        return 0 in counts and max(counts) > 1

    def rest(self) -> float:
        """For how many seconds answers may gather, since all have enough to do. A wake-up costs more than reading."""
        entries = self._entries.values()
        least = min((entry.seconds if len(entry.jobs) > 1 else 0.0 for entry in entries), default=0.0)
        return min(least / 2, _REST) if least > _REST else 0.0

    def _make_place(self) -> Retire | None:
        """For a job that needs a fresh worker, end one that has nothing to do: its place is then free."""
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
        """These have not begun: they are the next, or given back."""
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
        """One job less. The last that was called back stands behind all others, so who has passed it is idle."""
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
    """The state of a worker that is ready, hears us and was not asked to end."""
    if entry.jobs and entry.jobs[0].alone:
        return "leaving"
    if entry.awaited:
        return "passing"
    return "busy" if entry.jobs else "idle"


def _has_room(entry: _JobEntry[K], parcel: Parcel[K]) -> bool:
    """Whether it may be given that job now: it has nothing to do, or little, and the job is quick as well."""
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
