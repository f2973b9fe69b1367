"""What must be done and what may start now: one state for each node, and one table of legal moves between states.

The plan calls nobody. Its driver asks which node to look at (`due`), reports the verdict (`judge`), starts a node that
may run (`take`) and reports how it ended (`settle`). Nodes are added after their needs, so a cycle cannot be built. A
node is judged when its needs are done, because only then are their stamps known. The number of a ticket is a fencing
token (Kleppmann 2016): it identifies the late answer of a run that was called off.
"""
from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic, Literal, get_args

from taskproc.kernel.limits import Limits, Line
from taskproc.kernel.model import Done, Elsewhere, Failed, Fresh, K, Node, Outcome, Returned, Stamp, Ticket, Verdict

State = Literal["waiting", "due", "ready", "running", "done", "failed", "skipped"]
STATES: tuple[State, ...] = get_args(State)

# From, to: when. A node begins as waiting. failed and skipped are final.
MOVES: Mapping[tuple[State, State], str] = {
    ("waiting", "due"): "the last of its needs is done",
    ("waiting", "skipped"): "a need failed or was skipped",
    ("due", "done"): "judged fresh",
    ("due", "ready"): "judged stale",
    ("due", "waiting"): "a need was lost",
    ("ready", "running"): "taken",
    ("ready", "waiting"): "a need was lost",
    ("running", "done"): "settled as done, or as published elsewhere meanwhile",
    ("running", "failed"): "settled as failed, or it lost a need that was lost too often",
    ("running", "ready"): "given back",
    ("running", "due"): "another run has it, or the needs that it lost are done again",
    ("running", "waiting"): "it lost a need, or stopped without an end after a need was lost",
    ("running", "skipped"): "it stopped without an end, and a lost need had failed meanwhile",
    ("done", "due"): "lost",
    ("done", "waiting"): "lost, and so is a need of it",
}
_MOVES = 1000  # how many of the last moves of all nodes an error can report
_AFTER = {state: frozenset(to for start, to in MOVES if start == state) for state in STATES}


@dataclass(slots=True, eq=False)
class _Entry(Generic[K]):
    """What the plan knows of one node.

    Attributes:
        needs, labels: each once; only the limited labels.
        below: the nodes that need it, in the order in which they were added.
        undone: the number of its needs that are not done.
        number: the number of its ticket while it runs, else 0.
        look: the number of its postponed look while it is due; 0 if none was postponed since it became due.
        losses: how often its result was lost.
        issued: the number of tickets that were issued when it became done.
    """

    node: Node[K]
    needs: tuple[K, ...]
    labels: tuple[str, ...]
    state: State = "waiting"
    undone: int = 0
    below: list[_Entry[K]] = field(default_factory=list)
    number: int = 0
    look: int = 0
    losses: int = 0
    issued: int = 0
    stamp: Stamp | None = None


class Plan(Generic[K]):
    """Nodes on their way from waiting to done, failed or skipped. Every method is O(log n) per node that moves.

    Unknown keys raise KeyError. `now` is in seconds, from any clock that does not go back. A result may be lost
    MAX_LOSSES times; then it is not made again, and a node that needs it fails.
    """

    MAX_LOSSES = 3

    def __init__(self, limits: Limits | None = None):
        self._limits = Limits({}) if limits is None else limits
        self._entries: dict[K, _Entry[K]] = {}
        self._counts: dict[State, int] = dict.fromkeys(STATES, 0)
        self._due: OrderedDict[K, None] = OrderedDict()
        # (time, look, key); an item is void if its look is not that of the entry
        self._later: list[tuple[float, int, K]] = []
        self._ready: Line[K] = Line(self._limits)
        self._issued = 0
        self._looks = 0
        # The last moves of all nodes: entry, new state, entry, … One deque for all, since one for each node costs more
        self._moves: deque[_Entry[K] | State] = deque(maxlen=2 * _MOVES)

    def __len__(self) -> int:
        return len(self._entries)

    def state(self, key: K) -> State:
        """The state of `key`."""
        return self._entries[key].state

    def node(self, key: K) -> Node[K]:
        """The node as it was added."""
        return self._entries[key].node

    def stamp(self, key: K) -> Stamp:
        """The stamp of the result of `key`. Raises ValueError unless it is done."""
        entry = self._entries[key]
        if entry.stamp is None:
            raise ValueError(f"{key!r} is {entry.state}, only what is done has a stamp")
        return entry.stamp

    def ticket(self, key: K) -> Ticket[K] | None:
        """The ticket in force for `key`; None unless it runs."""
        entry = self._entries[key]
        return Ticket(key, entry.number) if entry.number else None

    def holds(self, ticket: Ticket[K]) -> bool:
        """Whether `ticket` is in force. If not, its answer can only be reported as late."""
        entry = self._entries.get(ticket.key)
        return entry is not None and 0 < entry.number == ticket.number

    def count(self, state: State) -> int:
        """How many nodes are in `state`. O(1)."""
        return self._counts[state]

    def open(self) -> int:
        """How many nodes have not ended. O(1)."""
        counts = self._counts
        return len(self._entries) - counts["done"] - counts["failed"] - counts["skipped"]

    def running(self) -> int:
        """How many nodes run. O(1)."""
        return self._counts["running"]

    def add(self, node: Node[K]) -> None:
        """Add `node`: due if all its needs are done, skipped if one failed or was skipped, else waiting.

        Raises ValueError, and changes nothing, if its key was added before or one of its needs was not.
        """
        if node.key in self._entries:
            raise ValueError(f"{node.key!r} was added before")
        needs = node.needs if len(node.needs) < 2 else tuple(dict.fromkeys(node.needs))
        for key in needs:
            if key not in self._entries:
                raise ValueError(f"{node.key!r} needs {key!r}, which was not added before")
        entry = _Entry(node, needs, self._limits.relevant(node.labels))
        for key in needs:
            need = self._entries[key]
            need.below.append(entry)
            entry.undone += need.state != "done"
        self._entries[node.key] = entry
        self._counts["waiting"] += 1
        if not entry.undone:
            self._become_due(entry)
        elif self._is_doomed(entry):
            self._move(entry, "skipped")

    def due(self, now: float) -> K | None:
        """The node to be judged next, in the order in which they became due; None if there is none now.

        It stays the answer until it is judged or must wait again. A postponed look joins the end of the line when its
        time has come.
        """
        while self._later and self._later[0][0] <= now:
            _, look, key = heappop(self._later)
            if self._is_to_come(look, key):
                self._due[key] = None
        return next(iter(self._due), None)

    def next_due(self) -> float | None:
        """The time when `due` has an answer: 0.0 if it has one now, None if it first needs another move."""
        if self._due:
            return 0.0
        while self._later and not self._is_to_come(*self._later[0][1:]):
            heappop(self._later)
        return self._later[0][0] if self._later else None

    def judge(self, key: K, verdict: Verdict, now: float) -> bool:
        """Report the verdict on `key`: Fresh: done. Stale: ready. Elsewhere: due again `after` seconds from now.

        False, and nothing changes, if `key` is not due (any more): looking at it may have shown that a need is lost,
        and then the verdict is void. So the loop need not check before it reports.
        """
        entry = self._entries[key]
        if entry.state != "due":
            return False
        if isinstance(verdict, Fresh):
            self._become_done(entry, verdict.stamp)
        elif isinstance(verdict, Elsewhere):
            self._look_later(entry, now + verdict.after)
        else:
            self._become_ready(entry)
        return True

    def take(self, among: Container[str] | None = None) -> Ticket[K] | None:
        """Start the node that has been ready longest, of those whose labels all have a free slot; None: there is none.

        O(kinds of limited labels), independent of the number of ready nodes.
        `among`: only nodes whose limited labels are all in it.
        """
        key = self._ready.next(among)
        if key is None:
            return None
        entry = self._entries[key]
        self._limits.take(entry.labels)
        self._move(entry, "running")
        self._issued += 1
        entry.number = self._issued
        return Ticket(key, entry.number)

    def held_up(self) -> list[tuple[tuple[str, ...], int]]:
        """Labels without a free slot, and how many ready nodes they hold up; see `Line.held_up`."""
        return self._ready.held_up()

    def give_back(self, ticket: Ticket[K]) -> tuple[K, ...]:
        """Undo a `take`: ready again, before all others. Raises ValueError if `ticket` is not in force.

        If a need was lost meanwhile, the node waits for it instead. If that need has failed since, the node is skipped,
        with all nodes below it, and their keys are returned.
        """
        entry = self._in_force(ticket)
        if entry.undone:
            return self._rest(entry)
        self._become_ready(entry, first=True)
        return ()

    def settle(self, ticket: Ticket[K], outcome: Outcome[K], now: float) -> tuple[K, ...]:
        """Report how the run of `ticket` ended; its slots are free again. Returns the keys that it skips, in order.

        Done, Fresh: done. Failed: failed, and all nodes that wait below are skipped. Elsewhere: due again later.
        Lost: each key that is still done must be made again, and the node waits for it. If one of them cannot be made
        again (see `lose`), none is changed, and the node fails. A key that became done after `ticket` was issued is not
        lost, because the node may have read the result before; if it did not, its next run will lose it again.
        Returned: like `give_back`.

        Raises:
            ValueError: `ticket` is not in force (see `holds`), or Lost names no key, or one that the node does not
                need. Nothing changes.
        """
        entry = self._in_force(ticket)
        if isinstance(outcome, (Done, Fresh)):
            self._become_done(entry, outcome.stamp)
            return ()
        if isinstance(outcome, Failed):
            return self._fail(entry)
        if isinstance(outcome, Elsewhere):
            return self._rest(entry, now + outcome.after)
        if isinstance(outcome, Returned):
            return self.give_back(ticket)
        return self._lost(entry, outcome.keys)

    def lose(self, key: K) -> bool:
        """Report that the result of `key` is bad or missing, although it was judged fresh: it is judged again.

        Nodes below it that are due or ready wait again; those that run or are done do not change. Nothing changes if
        `key` is not done, because then it is being made already. False, and nothing changes, if it cannot be made
        again: it was lost MAX_LOSSES times before, or one of its needs was lost too and then failed.
        """
        entry = self._entries[key]
        if entry.state != "done":
            return True
        if not self._may_be_lost(entry):
            return False
        self._lose(entry)
        return True

    def forget(self, key: K) -> None:
        """Drop a node that is ready or has ended and that no other node needs, as if it had never been added.

        Raises ValueError otherwise, and changes nothing. O(1), and for each of its needs O(nodes that need it).
        """
        entry = self._entries[key]
        if entry.below or entry.state in ("waiting", "due", "running"):
            raise ValueError(f"{key!r} is {entry.state} and needed by {len(entry.below)}: it cannot be forgotten")
        if entry.state == "ready":
            self._ready.leave(key, entry.labels)
        for need in entry.needs:
            self._entries[need].below.remove(entry)
        self._counts[entry.state] -= 1
        del self._entries[key]

    def _move(self, entry: _Entry[K], to: State) -> None:
        """The only place where a state changes; cleans up after the old state."""
        state = entry.state
        if to not in _AFTER[state]:
            raise self._bug(entry, to)
        # Two appends and no tuple, which would cost more than the move itself
        self._moves.append(entry)
        self._moves.append(to)
        if state == "due":
            self._due.pop(entry.node.key, None)
        elif state == "ready":
            self._ready.leave(entry.node.key, entry.labels)
        elif state == "running":
            self._limits.release(entry.labels)
            entry.number = 0
        counts = self._counts
        counts[state] -= 1
        counts[to] += 1
        entry.state = to

    def _bug(self, entry: _Entry[K], to: State) -> AssertionError:
        moves = list(self._moves)
        states = [state for moved, state in zip(moves[::2], moves[1::2]) if moved is entry]
        story = " → ".join(map(str, states)) or "none"
        text = f"{entry.node.key!r} is {entry.state} and cannot become {to}"
        facts = f"{entry.undone} of its needs are not done, its result was lost {entry.losses} times"
        return AssertionError(f"{text}; {facts}; its last moves: {story} [this is a bug]")

    def _become_due(self, entry: _Entry[K]) -> None:
        self._move(entry, "due")
        entry.look = 0
        self._due[entry.node.key] = None

    def _look_later(self, entry: _Entry[K], when: float) -> None:
        self._due.pop(entry.node.key, None)
        self._looks += 1
        entry.look = self._looks
        heappush(self._later, (when, entry.look, entry.node.key))

    def _become_ready(self, entry: _Entry[K], *, first: bool = False) -> None:
        self._move(entry, "ready")
        self._ready.join(entry.node.key, entry.labels, first=first)

    def _become_done(self, entry: _Entry[K], stamp: Stamp) -> None:
        self._move(entry, "done")
        entry.stamp = stamp
        entry.issued = self._issued
        for below in entry.below:
            below.undone -= 1
            if not below.undone and below.state == "waiting":
                self._become_due(below)

    def _fail(self, entry: _Entry[K]) -> tuple[K, ...]:
        self._move(entry, "failed")
        return self._skip_below(entry)

    def _skip_below(self, entry: _Entry[K]) -> tuple[K, ...]:
        """Skip all nodes that wait for `entry`, nearest first. Nodes that run or are done had their needs in time."""
        skipped: list[K] = []
        pending = deque([entry])
        while pending:
            for below in pending.popleft().below:
                if below.state == "waiting":
                    self._move(below, "skipped")
                    skipped.append(below.node.key)
                    pending.append(below)
        return tuple(skipped)

    def _rest(self, entry: _Entry[K], when: float | None = None) -> tuple[K, ...]:
        """`entry` stopped without an end: due, now or at `when`, unless a need was lost meanwhile."""
        if not entry.undone:
            self._become_due(entry)
            if when is not None:
                self._look_later(entry, when)
            return ()
        if self._is_doomed(entry):
            self._move(entry, "skipped")
            return (entry.node.key, *self._skip_below(entry))
        self._move(entry, "waiting")
        return ()

    def _lost(self, entry: _Entry[K], keys: tuple[K, ...]) -> tuple[K, ...]:
        # A node that lost nothing would run again without end
        if not keys or not set(entry.needs).issuperset(keys):
            raise ValueError(f"{entry.node.key!r} can only lose what it needs, got {keys!r}")
        asked = [self._entries[key] for key in dict.fromkeys(keys)]
        lost = [need for need in asked if need.state == "done" and need.issued < entry.number]
        if not all(self._may_be_lost(need) for need in lost):
            return self._fail(entry)
        for need in lost:
            self._lose(need)
        return self._rest(entry)

    def _lose(self, entry: _Entry[K]) -> None:
        entry.losses += 1
        entry.stamp = None
        if entry.undone:
            self._move(entry, "waiting")
        else:
            self._become_due(entry)
        for below in entry.below:
            below.undone += 1
            if below.state in ("due", "ready"):
                self._move(below, "waiting")

    def _in_force(self, ticket: Ticket[K]) -> _Entry[K]:
        if not self.holds(ticket):
            raise ValueError(f"{ticket!r} is not in force")
        return self._entries[ticket.key]

    def _is_to_come(self, look: int, key: K) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.state == "due" and entry.look == look

    def _is_doomed(self, entry: _Entry[K]) -> bool:
        return any(self._entries[key].state in ("failed", "skipped") for key in entry.needs)

    def _may_be_lost(self, entry: _Entry[K]) -> bool:
        return entry.losses < self.MAX_LOSSES and not (entry.undone and self._is_doomed(entry))

    def validate(self) -> None:
        """AssertionError unless every invariant holds. O(nodes + edges): for tests."""
        entries = self._entries
        for entry in entries.values():
            self._validate_entry(entry)
        counted = Counter(entry.state for entry in entries.values())
        _hold(counted == Counter(self._counts), f"{self._counts} counted, there are {counted}")
        moving = counted["due"] + counted["ready"] + counted["running"]
        _hold(self.open() == moving + counted["waiting"], f"{self.open()} counted as open, there are {counted}")
        _hold(moving > 0 or not counted["waiting"], "all open nodes wait")
        lined_up = [*self._due, *(key for _, look, key in self._later if self._is_to_come(look, key))]
        due = [key for key, entry in entries.items() if entry.state == "due"]
        _hold(Counter(lined_up) == Counter(due), f"{lined_up} lined up, due are {due}")
        ready = Counter((key, entry.labels) for key, entry in entries.items() if entry.state == "ready")
        _hold(Counter(self._ready) == ready, f"{list(self._ready)} in line, ready are {ready}")
        taken = Counter(label for entry in entries.values() if entry.number for label in entry.labels)
        for label, slots in self._limits.slots().items():
            used = self._limits.used(label)
            _hold(used == taken[label] <= slots, f"{label!r}: {used} used, {taken[label]} taken, {slots} there")

    def _validate_entry(self, entry: _Entry[K]) -> None:
        key, state = entry.node.key, entry.state
        above = [self._entries[need] for need in entry.needs]
        undone = [need.node.key for need in above if need.state != "done"]
        _hold(set(entry.needs) == set(entry.node.needs), f"{key!r} has forgotten a need")
        _hold(all(need.below.count(entry) == 1 for need in above), f"{key!r} is not below its needs")
        _hold(entry.undone == len(undone), f"{key!r} counts {entry.undone} undone needs, there are {undone}")
        _hold(state not in ("due", "ready") or not undone, f"{key!r} is {state} before {undone}")
        doomed = self._is_doomed(entry)
        _hold(state != "waiting" or (bool(undone) and not doomed), f"{key!r} waits for nothing, or in vain")
        _hold(state != "skipped" or doomed, f"{key!r} is skipped without a reason")
        _hold((entry.stamp is not None) == (state == "done"), f"{key!r} is {state} with stamp {entry.stamp}")
        _hold((entry.number > 0) == (state == "running"), f"{key!r} is {state} with ticket {entry.number}")
        _hold(entry.losses <= self.MAX_LOSSES, f"{key!r} was lost {entry.losses} times")


def _hold(law: bool, otherwise: str) -> None:
    if not law:
        raise AssertionError(f"{otherwise} [this is a bug]")
