"""Laws of the dispatch of jobs to workers: cases, a random walk, and mutants that show that the walk can fail."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dispatch_walk import KINDS, walk

from taskproc.kernel.model import Ticket
from taskproc.run import dispatch as module
from taskproc.run.dispatch import MOVES, STATES, Dispatch, Give, Hire, Parcel, Retire
from taskproc.run.kinds import QUICK, WINDOW, Kind


def parcel(number: int, kind: Kind | None = KINDS[0], seconds: float = 0.001, *, alone: bool = False) -> Parcel[int]:
    return Parcel(Ticket(number, number), b"x", kind, None, seconds, alone=alone)


def fed(dispatch: Dispatch[int]) -> list[Give | Hire | Retire]:
    """Return all steps until nothing is to be done; each worker can be started."""
    done = []
    while (step := dispatch.next()) is not None:
        done.append(step)
        if isinstance(step, Hire):
            dispatch.hired()
    return done


def with_jobs(count: int, workers: int = 1) -> Dispatch[int]:
    """Return a dispatch whose first worker has that many jobs."""
    dispatch: Dispatch[int] = Dispatch(workers)
    dispatch.hired()
    dispatch.ready(1)
    for number in range(1, count + 1):
        dispatch.add(parcel(number))
        fed(dispatch)
    return dispatch


def test_the_table_has_each_state_and_no_standstill() -> None:
    """Each state but the last can be left, and each but the first can be reached."""
    assert {state for move in MOVES for state in move} == set(STATES)
    assert all(before != after for before, after in MOVES)
    assert {before for before, _ in MOVES} == set(STATES) - {"gone"}
    assert {after for _, after in MOVES} == set(STATES) - {"starting"}


def test_an_illegal_move_tells_the_story() -> None:
    """The error of an illegal move lists the last events of the worker."""
    dispatch = with_jobs(1)
    dispatch.answered(1, 0.0)

    with pytest.raises(AssertionError, match="worker 1 is idle with 0 jobs and cannot have become") as caught:
        dispatch.expire(1)

    story = "its last events: starting to idle, given 1, idle to busy, answered 1, busy to idle [this is a bug]"
    assert str(caught.value).endswith(story)


def test_an_answer_that_nobody_can_give_is_a_bug() -> None:
    """An answer of a worker that is not ready, or has no job, is a bug."""
    dispatch: Dispatch[int] = Dispatch(1)
    dispatch.add(parcel(1))
    fed(dispatch)

    with pytest.raises(AssertionError, match="worker 1 is starting with 1 jobs and cannot have answered"):
        dispatch.answered(1, 0.0)
    dispatch.ready(1)
    dispatch.answered(1, 0.0)
    with pytest.raises(AssertionError, match="worker 1 is idle with 0 jobs and cannot have answered"):
        dispatch.answered(1, 0.0)


def test_one_that_passes_is_not_asked_again() -> None:
    """A passing worker is not asked again: if the answer of job 2 lifted the bound, jobs 3 and 4 would run twice."""
    dispatch = with_jobs(4)
    dispatch.call_back(1, 2)

    assert [] == dispatch.behind()
    for _ in (1, 2):
        dispatch.answered(1, 0.0)
    assert "passing" == dispatch.state(1)
    assert [] == fed(dispatch)
    dispatch.refused(1, 3)
    assert [] == fed(dispatch)
    dispatch.refused(1, 4)
    assert [3, 4] == [step.parcel.ticket.key for step in fed(dispatch) if isinstance(step, Give)]


def test_one_that_has_closed_its_channel_is_given_nothing() -> None:
    """A worker that has closed its channel gets no jobs, since it would never read them."""
    dispatch = with_jobs(0, workers=2)

    assert dispatch.closed(1)

    dispatch.add(parcel(1))
    assert [Hire, Give] == list(map(type, steps := fed(dispatch)))
    assert isinstance(steps[1], Give)
    assert 2 == steps[1].worker


def test_what_is_quick_goes_to_who_has_least_to_do() -> None:
    """Quick jobs go to the worker with the least to do: in turn, if all take as long."""
    dispatch = with_jobs(0, workers=2)
    dispatch.hired()
    dispatch.ready(2)
    for number in range(6):
        dispatch.add(parcel(number))

    assert [1, 2, 1, 2, 1, 2] == [step.worker for step in fed(dispatch) if isinstance(step, Give)]


def test_only_what_is_quick_makes_room() -> None:
    """Unknown jobs have one place per worker; quick jobs have as many as the workers do in a moment."""
    dispatch: Dispatch[int] = Dispatch(2)
    slow, quick, unknown = KINDS
    for kind, seconds in ((slow, 2 * QUICK), (quick, 0.101 * WINDOW)):
        dispatch.hired()
        dispatch.ready(1)
        dispatch.add(parcel(0, kind, WINDOW))
        fed(dispatch)
        dispatch.answered(1, seconds)
        dispatch.bury(1, 1)
        dispatch = renewed(dispatch)
    rooms = [dispatch.capacity()]
    for number, kind in enumerate([quick, quick, slow, quick, unknown]):
        dispatch.add(parcel(number, kind, dispatch.guess(kind)))
        rooms.append(dispatch.capacity())

    # Of two windows there are left: 1.899, 1.798, 0.798, 0.697, none
    assert rooms == [2, 1 + 18, 2 + 17, 3, 4 + 6, 5]


def renewed(dispatch: Dispatch[int]) -> Dispatch[int]:
    """Return a dispatch without workers that has learned as much."""
    other: Dispatch[int] = Dispatch(dispatch.count)
    other._pace = dispatch._pace
    return other


@pytest.mark.parametrize("seed", range(24))
def test_every_walk_keeps_the_laws(seed: int) -> None:
    """Whatever is reported in whatever order, every job ends once and runs at most once."""
    walk(Dispatch, seed)


@pytest.mark.slow
def test_every_legal_move_is_made() -> None:
    """The walks make each move of the table."""
    made = set()

    class Recorder(Dispatch[int]):
        def _move(self, entry, to):  # type: ignore[no-untyped-def]
            made.add((entry.state, to))
            super()._move(entry, to)

    for seed in range(100):
        if made == set(MOVES):
            break
        walk(Recorder, seed)

    assert made == set(MOVES)


# What was forgotten: the text as it is, the text as it would be.
MUTANTS = {
    "that one who passes is given nothing": ('    if entry.awaited:\n        return "passing"\n', ""),
    "until when it passes": ("entry.awaited = entry.jobs[-1].number", "entry.awaited = begun"),
    "that it has passed": ("        elif number == entry.awaited:\n            entry.awaited = 0\n", ""),
    "that any job but the last is not the end of passing": ("elif number == entry.awaited:", "else:"),
    "that the awaited one may be answered": (
        "        if parcel.number == entry.awaited:\n            entry.awaited = 0\n",
        "",
    ),
    "not to ask again who passes": (
        ' in ("starting", "busy") and not entry.awaited',
        ' in ("starting", "busy", "passing")',
    ),
    "to ask back while it starts": ('entry.state in ("starting", "busy") and', 'entry.state in ("busy",) and'),
    "what has begun": ("entry.jobs[-1].number > begun:", "entry.jobs[-1].number >= begun:"),
    "that the first job is never called back": (
        "while len(entry.jobs) > 1 and entry.jobs[-1].number > begun",
        "while entry.jobs and entry.jobs[-1].number > begun",
    ),
    "the order of what is called back": (
        "            self._waiting.appendleft(parcel)\n",
        "            self._waiting.append(parcel)\n",
    ),
    "seconds of what is called back": (
        "parcel = entry.jobs.pop()\n            entry.seconds -= parcel.seconds",
        "parcel = entry.jobs.pop()",
    ),
    "bytes of what is called back": ("            entry.ahead -= _size(parcel)\n", ""),
    "to move on when it is called back": (
        '        if entry.state == "busy":\n            self._move(entry, "passing")\n',
        "",
    ),
    "that a refused job may have been counted as begun": (
        "            back.append(self._take_first(entry))",
        "            self._take_first(entry)",
    ),
    "to blame what had begun": ("and begun < first.number and first.tries", "and first.tries"),
    "to spare what had not begun": ("and begun < first.number and first.tries < MOST_TRIES", "and False"),
    "that its number covers the mark": ("and begun < first.number and", "and begun <= first.number and"),
    "to bound tries": ("and begun < first.number and first.tries < MOST_TRIES", "and begun < first.number"),
    "to count tries": ('        first.tries += cause in ("died", "silent")\n', ""),
    "to spare what stood behind": (
        "first, *behind = entry.jobs\n        returned = self._again(behind)",
        "first, *behind = entry.jobs\n        returned = ()",
    ),
    "that it never started": ('{"starting": "unstarted", ', "{"),
    "that it was late": ('"expiring": "timeout", ', ""),
    "that it was silent": (', "silent": "silent"}', "}"),
    "to put first what comes back": ("self._waiting.extendleft(reversed(parcels))", "self._waiting.extend(parcels)"),
    "the order of what comes back": ("extendleft(reversed(parcels))", "extendleft(parcels)"),
    "that all is recalled": ("        self._recalls = True\n", ""),
    "that a recall is over": ("        self._recalls = False\n        self._join", "        self._join"),
    "to take away what is recalled": (
        "back, self._waiting = list(self._waiting), deque()",
        "back = list(self._waiting)",
    ),
    "to count what goes": ("        self._in_hand -= 1\n", ""),
    "to count what comes": ("        self._in_hand += 1\n", ""),
    "to count seconds": ("        self._seconds += parcel.seconds\n", ""),
    "to uncount seconds": (
        "self._seconds - parcel.seconds if self._in_hand else 0.0",
        "self._seconds if self._in_hand else 0.0",
    ),
    "that an answer ends a job": (
        '        entry.events.append(("answered", parcel.number))\n        self._quit(parcel)\n',
        "",
    ),
    "that a blamed job has ended": ("        self._quit(first)\n", ""),
    "that a dropped job has ended": (
        "        self._quit(parcel)\n        return parcel\n\n    def ready",
        "        return parcel\n\n    def ready",
    ),
    "that one tried again is in hand": (
        "        self._join(parcel)\n        return self._again([parcel])",
        "        return self._again([parcel])",
    ),
    "who leaves": ('    if state not in ("idle", "busy") or (', '    if state not in ("idle", "busy", "leaving") or ('),
    "what starting ones will be": (
        'state = entry.state if entry.state != "starting" else _state_by_jobs(entry)',
        'state = entry.state if entry.state != "starting" else "busy"',
    ),
    "that one may be given jobs before it is ready": (
        'state = entry.state if entry.state != "starting" else _state_by_jobs(entry)',
        "state = entry.state",
    ),
    "to be alone from the first": (" or (parcel.alone and entry.given)", ""),
    "to be alone to the end": ('    if entry.jobs and entry.jobs[0].alone:\n        return "leaving"\n', ""),
    "to make place": ("self._make_place() if parcel.alone else None", "None"),
    "that there is one place less to make": (
        ' or any(entry.state == "leaving" and not entry.jobs for entry in entries):',
        ":",
    ),
    "that one who makes place leaves": ('        self._move(idle, "leaving")\n', ""),
    "to retire idle ones only": ('entries if entry.state == "idle")', 'entries if entry.state in ("idle", "passing"))'),
    "that a kind must be there": ("        and parcel.kind.name in entry.kinds\n", ""),
    "that a kind is there now": ("            entry.kinds.add(parcel.kind.name)\n", "            pass\n"),
    "that a kind is sent once": (
        "is_new = parcel.kind is not None and parcel.kind.name not in entry.kinds",
        "is_new = parcel.kind is not None",
    ),
    "that it fills the window": ("        and entry.seconds + parcel.seconds <= WINDOW\n", ""),
    "the bytes ahead": ("        and entry.ahead + _size(parcel) <= SMALL\n", ""),
    "that one of no kind is sent alone": (
        "        parcel.kind is not None\n        and parcel.kind.name in entry.kinds",
        "        (parcel.kind is None or parcel.kind.name in entry.kinds)",
    ),
    "how many at once": ("        and len(entry.jobs) < MOST\n", ""),
    "bytes when given": ("            entry.ahead += _size(parcel)\n", "            pass\n"),
    "that the first is not ahead": (
        "        if entry.jobs:\n            entry.ahead +=",
        "        if True:\n            entry.ahead +=",
    ),
    "bytes when answered": ("            entry.ahead -= _size(entry.jobs[0])\n", ""),
    "that the next one is ahead no more": ("entry.ahead -= _size(entry.jobs[0])", "entry.ahead -= _size(parcel)"),
    "seconds when given": ("        entry.seconds += parcel.seconds\n", ""),
    "seconds when answered": (
        "            entry.seconds -= parcel.seconds\n            entry.ahead -= _size(entry.jobs[0])",
        "            entry.ahead -= _size(entry.jobs[0])",
    ),
    "to number jobs": ("        entry.given += 1\n", ""),
    "who has least to do": ("min(able, key=_load, default=None)", "max(able, key=_load, default=None)"),
    "who comes first": ("parcel = self._waiting[0]\n        able", "parcel = self._waiting[-1]\n        able"),
    "that a new one is better than a place behind": (
        "if (entry is None or entry.jobs) and len",
        "if entry is None and len",
    ),
    "that idle ones come before new ones": ("if (entry is None or entry.jobs) and len", "if len"),
    "that idle ones come before all": ("return entry.seconds if entry.jobs else -1.0", "return -entry.seconds"),
    "how many there may be": (
        "len(self._entries) < self.count:\n            return Hire()",
        "len(self._entries) <= self.count:\n            return Hire()",
    ),
    "to make do": ("        self.count = len(self._entries) or self.count\n", ""),
    "that without any there is none": ("        return bool(self._entries)\n", "        return True\n"),
    "that nobody makes do with none": ("len(self._entries) or self.count", "len(self._entries)"),
    "that it is gone": ("        del self._entries[worker]\n", ""),
    "to kill who has answered late": (
        '            self._move(entry, "leaving")  # it will',
        "            self._go_on(entry)  # it will",
    ),
    "to go on after an answer": (
        "        else:\n            self._go_on(entry)\n        return parcel",
        "        return parcel",
    ),
    "to go on after a refusal": (
        "        self._go_on(entry)\n        return self._again(back)",
        "        return self._again(back)",
    ),
    "that leaving is for good": (' and entry.state in ("busy", "passing"):', ":"),
    "to pass all": ("if not entry.jobs and not entry.awaited and", "if not entry.jobs and"),
    "that it is busy while it has jobs": ("if not entry.jobs and not entry.awaited and", "if not entry.awaited and"),
    "that one leaves": (
        '        if entry.state not in ("leaving", "expiring"):\n            self._move(entry, "leaving")\n',
        "",
    ),
    "that one who expires does not leave": (
        'if entry.state not in ("leaving", "expiring"):',
        'if entry.state != "leaving":',
    ),
    "that one who leaves may say so again": (
        'if entry.state not in ("leaving", "expiring"):',
        'if entry.state != "expiring":',
    ),
    "that one who closes leaves": (
        '        if entry.state not in ("starting", "leaving"):\n            self._move(entry, "leaving")\n',
        "",
    ),
    "that one who just ends is not given up": (
        'if entry.state == "expiring" or (entry.state == "leaving" and not entry.jobs):',
        'if entry.state == "expiring":',
    ),
    "that one who expires is not given up": (
        'if entry.state == "expiring" or (entry.state == "leaving" and not entry.jobs):',
        'if entry.state == "leaving" and not entry.jobs:',
    ),
    "that one who leaves with a job is given up": (
        '(entry.state == "leaving" and not entry.jobs):',
        'entry.state == "leaving":',
    ),
    "that what never started cannot be silent": (
        '        if entry.state != "starting":\n            self._move(entry, "silent")',
        '        if True:\n            self._move(entry, "silent")',
    ),
    "to be silent": ('        if entry.state != "starting":\n            self._move(entry, "silent")\n', ""),
    "that nothing waits when others share": ("counts = () if self._waiting else [", "counts = ["),
    "that one must be idle for others to share": ("return 0 in counts and", "return bool(counts) and"),
    "not to rest beside an idle one": ("entry.seconds if len(entry.jobs) > 1 else 0.0", "entry.seconds or 1.0"),
}


def mutant(text: str, instead: str) -> Callable[[int], Dispatch[int]]:
    """Return a maker of dispatches whose code has `instead` in place of `text`."""
    source = Path(str(module.__file__)).read_text()
    assert source.count(text) == 1, "the mutant has lost its place"
    namespace = dict(vars(module))
    exec(compile(source.replace(text, instead), "<mutant of dispatch>", "exec"), namespace)
    # What the walk takes apart are the classes that it knows
    namespace.update(Give=Give, Hire=Hire, Retire=Retire, Parcel=Parcel)
    made: Callable[[int], Dispatch[int]] = namespace["Dispatch"]
    return made


@pytest.mark.slow
@pytest.mark.parametrize("forgotten", MUTANTS)
def test_the_walk_finds_what_is_forgotten(forgotten: str) -> None:
    """A dispatch that breaks one law does not survive the walk."""
    make_dispatch = mutant(*MUTANTS[forgotten])

    with pytest.raises((AssertionError, KeyError, IndexError)):
        for seed in range(100):
            walk(make_dispatch, seed)


def test_an_unchanged_mutant_gets_through() -> None:
    """A mutant without a change survives: the walk fails because of the change, not because of the mutation."""
    walk(mutant("MOST_TRIES = 3", "MOST_TRIES = 3"), 0)
