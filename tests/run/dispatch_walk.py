"""A random walk over the methods of a dispatch, with far ends that follow the protocol and die, and the laws."""
from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable

from taskproc.kernel.model import Ticket
from taskproc.run.dispatch import MOST_TRIES, Dispatch, Give, Hire, Parcel, Retire
from taskproc.run.kinds import MOST, WINDOW, Kind
from taskproc.run.worker_protocol import SMALL

KINDS = [Kind(b"", name) for name in (b"a", b"b", b"c")]
GUESSES = (2**-14, 2**-11, 2**-9, 2**-8)  # whose sums are exact
STEPS = 250


class Far:
    """The far end of a worker, as worker.py keeps the protocol, and what the walk remembers of it.

    Attributes:
        channel: jobs that it has not read. said: what it has sent and nobody has heard.
        begun, bound: its marks.
        held: jobs that it was given, until it answered them or they went elsewhere.
    """

    def __init__(self):
        self.channel, self.said = deque(), deque()
        self.count = self.begun = 0
        self.bound = None
        self.at = "boot"
        self.job = None
        self.leaves = self.retired = self.is_dead = self.is_closed = False
        # what the main process knows
        self.held, self.kinds, self.given = [], set(), 0
        self.is_ready = self.is_late = self.is_silent = self.was_closed = self.is_last = self.killed = False
        self.to_refuse = []
        self.clocks = False

    def step(self, walk):
        """Do one step of the process; the main process may act between any two."""
        if self.at == "boot":
            self.say("ready")
            self.at = "read"
        elif self.at == "read" and self.channel:
            self.job = self.channel.popleft()
            self.count += 1
            self.begun = self.count
            self.at = "look"
        elif self.at == "read" and self.retired:
            self.is_dead = True
        elif self.at == "look" and self.bound is not None and self.count > self.bound:
            self.say("refused", self.count)
            self.at = "read"
        elif self.at == "look":
            walk.runs[self.job.ticket.key] += 1
            if self.job.timeout is not None:
                self.say("began")
            self.at = "run"
        elif self.at == "run" and not (self.job.timeout and walk.chance(walk.slow)):
            if self.leaves:
                self.say("leaving")
            self.say("answer", self.job.ticket.key)
            self.at, self.is_dead = "read", self.is_dead or self.leaves

    def say(self, *message):
        if self.is_closed:
            self.is_dead = True
        else:
            self.said.append(message)

    def is_open(self):
        """Return whether the main process may give it a job, as far as that knows."""
        closed = self.was_closed and self.is_ready
        return not (self.is_late or self.is_silent or closed or self.is_last or self.to_refuse)

    def load(self):
        return sum(parcel.seconds for parcel in self.held)

    def has_room(self, parcel):
        if not self.is_open() or (parcel.alone and self.given):
            return False
        if not self.held:
            return True
        size = sum(len(held.content) + 32 for held in [*self.held[1:], parcel])
        quick = parcel.kind is not None and parcel.kind.name in self.kinds and len(self.held) < MOST
        return quick and self.load() + parcel.seconds <= WINDOW and size <= SMALL


class Walk:
    """A dispatch driven at random as resident.py does, with as much memory as is needed to know what must come."""

    def __init__(self, dispatch, seed):
        self.dispatch = dispatch
        self.random = random.Random(seed)
        self.fars = {}
        self.line = []  # what waits, in the order in which it should begin
        self.open = set()
        self.runs, self.tries = Counter(), Counter()
        self.ends = {}
        self.born = 0
        self.recalled = False
        # Each walk has habits of its own (swarm testing: Groce et al. 2012)
        pick = self.random.choice
        self.verbs = {self.add: pick((3, 10)), self.feed: 6, self.far: pick((10, 30)), self.hear: pick((5, 15))}
        self.verbs |= {self.share: pick((1, 5)), self.recall: pick((0, 1)), self.die: pick((0, 0, 1, 10))}
        self.verbs |= {self.bury: 5, self.expire: pick((1, 20)), self.close: pick((0, 0, 1)), self.give_up: 3}
        self.kinds = pick(([None], [KINDS[0]], [KINDS[0]], KINDS[:2], [None, *KINDS]))
        self.odd = pick((0.0, 0.05, 0.3, 0.9))  # jobs with a timeout, or alone
        self.large = pick((0.0, 0.3))
        self.leaving = pick((0.0, 0.1))
        self.failing = pick((0.0, 0.0, 0.2))
        self.breaks = pick((0.0, 0.0, 0.1))
        self.slow = pick((0.0, 0.9))  # jobs with a timeout
        self.most, self.bulk = pick(((60, 8), (60, 8), (250, 120)))
        self.guesses = pick((GUESSES, GUESSES, GUESSES[:1]))

    def chance(self, share):
        return self.random.random() < share

    def step(self):
        [verb] = self.random.choices(list(self.verbs), list(self.verbs.values()))
        verb()
        self.check()

    def check(self):
        """Assert all that holds after every step."""
        dispatch = self.dispatch
        dispatch.validate()
        assert all(count == 1 for count in self.runs.values()), "a job ran twice"
        assert not self.recalled or not self.line, "recalled, and something waits"
        assert self.open == set(self.line_keys()) | {p.ticket.key for far in self.fars.values() for p in far.held}
        loads = [far.held for far in self.fars.values()]
        idle = any(not held for held in loads)
        assert dispatch.is_hungry() == (idle or len(loads) < dispatch.count)
        assert dispatch.can_share() == (not self.line and idle and any(len(held) > 1 for held in loads))
        assert not dispatch.rest() or (loads and all(len(held) > 1 for held in loads)), "rests beside an idle one"
        assert dispatch.count <= dispatch.capacity() <= max(dispatch.count, len(self.open) + dispatch.count * MOST)
        asked = [n for n, far in self.fars.items() if len(far.held) > 1 and far.is_open()]
        assert dispatch.behind() == asked, "asks the wrong ones"
        for number, far in self.fars.items():
            assert dispatch.first(number) is (far.held[0] if far.held else None)
            self.check_state(dispatch.state(number), far)

    def check_state(self, state, far):
        if not far.is_ready:
            assert state == "starting"
        elif far.is_late or far.is_silent:
            assert state == ("expiring" if far.is_late else "silent")
        elif far.is_last or far.was_closed:
            assert state == "leaving"
        else:
            assert state == ("passing" if far.to_refuse else "busy" if far.held else "idle")

    def line_keys(self):
        return [parcel.ticket.key for parcel in self.line]

    def add(self):
        if len(self.open) > self.most:
            return
        odd, kind = self.chance(self.odd), self.random.choice(self.kinds)
        alone = odd and self.chance(0.5)
        timeout = 1.0 if odd and not (alone and self.chance(0.5)) else None
        quick = not odd and self.chance(0.9)
        content = b"x" * (20_000 if self.chance(self.large) else 10)
        seconds = self.random.choice(self.guesses) if quick else WINDOW
        for _ in range(self.random.choice((1, 1, 1, self.bulk)) if not odd else 1):
            parcel = Parcel(Ticket(self.born, self.born), content, kind, timeout, seconds, alone=alone)
            self.dispatch.add(parcel)
            self.recalled = False
            self.line.append(parcel)
            self.open.add(self.born)
            self.born += 1
        if self.dispatch.is_hungry():
            self.feed()

    def feed(self):
        for _ in range(1000):
            if self.chance(self.breaks):
                return None
            step = self.dispatch.next()
            if step is None:
                return self.check_fed()
            self.do(step)
            self.check()
        raise AssertionError("never fed")

    def do(self, step):
        if isinstance(step, Hire):
            self.hire()
        elif isinstance(step, Retire):
            retired = self.fars[step.worker]
            assert not retired.held, "retires one that works"
            assert self.line[0].alone, "retires for nothing"
            assert not any(not far.held and far.is_last for far in self.fars.values()), "one leaves already"
            retired.retired = retired.is_last = True
        else:
            self.give(step)

    def hire(self):
        assert len(self.fars) < self.dispatch.count, "too many workers"
        assert not any(not far.held and far.has_room(self.line[0]) for far in self.fars.values()), "one was idle"
        if not self.chance(self.failing):
            self.fars[self.dispatch.hired()] = Far()
        elif self.dispatch.make_do():
            assert self.dispatch.count == len(self.fars) > 0
        else:
            assert not self.fars
            parcel = self.dispatch.drop()
            assert parcel is self.line.pop(0), "out of turn"
            self.end(parcel, "unstarted")

    def give(self, give: Give):
        far, parcel = self.fars[give.worker], give.parcel
        assert parcel is self.line.pop(0), "out of turn"
        assert far.has_room(parcel), "no room"
        better = [other for other in self.fars.values() if other.has_room(parcel) and not other.held]
        assert not far.held or not better, "another one is idle"
        assert not far.held or len(self.fars) == self.dispatch.count, "there could be one more worker"
        loads = [other.load() for other in self.fars.values() if other.has_room(parcel)]
        assert far.load() <= min(loads) + 1e-9, "another one has less to do"
        if parcel.kind is not None:
            assert give.is_new == (parcel.kind.name not in far.kinds), "a kind is sent once"
            far.kinds.add(parcel.kind.name)
        far.held.append(parcel)
        far.given += 1
        assert parcel.number == far.given
        far.bound = None
        far.channel.append(parcel)
        far.leaves = self.chance(self.leaving)
        if parcel.alone:
            far.retired = True
            far.is_last = True

    def check_fed(self):
        """Assert that no worker is idle that could do a waiting job."""
        if self.line:
            assert len(self.fars) == self.dispatch.count, "there could be one more worker"
            assert not any(far.has_room(self.line[0]) for far in self.fars.values()), "one has room"
            free = [far for far in self.fars.values() if not far.held and far.is_ready]
            leaving = any(far.is_last or far.was_closed for far in free)
            assert leaving or not any(far.is_open() for far in free), "nobody makes place"

    def far(self):
        alive = [far for far in self.fars.values() if not far.is_dead]
        for far in self.random.sample(alive, min(len(alive), 2)):
            for _ in range(self.random.choice((1, 1, 3, 8))):
                if not far.is_dead:
                    far.step(self)

    def hear(self):
        if self.fars:
            number = self.random.choice(list(self.fars))
            self.read(number)
            self.look_for_closed(number, self.fars[number])
            if self.chance(0.9):
                self.feed()

    def read(self, number):
        far = self.fars[number]
        while far.said:
            tag, *about = far.said.popleft()
            if tag == "ready":
                far.is_ready = True
                self.dispatch.ready(number)
            elif tag == "began":
                far.clocks = True
            elif tag == "leaving":
                far.is_last = True
                far.to_refuse = []
                self.dispatch.leaves(number)
            elif tag == "refused":
                self.hear_refused(number, far, *about)
            else:
                self.hear_answer(number, far, *about)
            self.check()

    def hear_answer(self, number, far, key):
        far.clocks = False
        parcel = self.dispatch.answered(number, 0.0)
        assert parcel is far.held.pop(0)
        assert parcel.ticket.key == key, "another job's answer"
        if far.is_late:
            far.is_late, far.is_last, far.killed = False, True, True
        self.passes(far, parcel.number)
        self.end(parcel, "answered")

    def hear_refused(self, number, far, job):
        returned = self.dispatch.refused(number, job)
        again = [far.held.pop(0)] if far.held and far.held[0].number == job else []
        self.passes(far, job)
        self.back(again, returned)

    def passes(self, far, number):
        if far.to_refuse and far.to_refuse[-1] == number:
            far.to_refuse = []

    def look_for_closed(self, number, far):
        if far.is_closed and not far.was_closed:
            far.was_closed = True
            waits = self.dispatch.closed(number)
            assert waits == (not far.is_late and not (far.is_last and not far.held)), "deaf"

    def share(self):
        if self.dispatch.can_share():
            self.ask_back()
            self.feed()

    def recall(self):
        self.ask_back()
        returned = self.dispatch.recall()
        self.recalled = True
        waiting, self.line = self.line, []
        self.back(waiting, returned)

    def ask_back(self):
        for number in reversed(self.dispatch.behind()):
            far = self.fars[number]
            far.bound = far.begun
            if self.chance(0.5) and not far.is_dead:
                far.step(self)  # between our two looks
            begun = far.begun
            far.to_refuse = [parcel.number for parcel in far.held]
            back = [parcel for parcel in far.held[1:] if parcel.number > begun]
            far.held = [parcel for parcel in far.held if parcel not in back]
            self.dispatch.call_back(number, begun)
            self.line[:0] = back

    def back(self, parcels, returned):
        """Note that these jobs have not begun: they wait again, first, or are given back."""
        if self.recalled:
            assert list(returned) == parcels, "not given back"
            for parcel in parcels:
                self.end(parcel, "returned")
        else:
            assert not returned
            self.line[:0] = parcels

    def end(self, parcel, how):
        assert parcel.ticket.key not in self.ends, "two ends"
        assert how != "returned" or not self.runs[parcel.ticket.key], "given back, and it had begun"
        self.ends[parcel.ticket.key] = how
        self.open.remove(parcel.ticket.key)

    def die(self):
        if self.fars:
            fars = list(self.fars.values())
            # By chance alone hardly a job would meet several deaths before it has begun
            early = [far for far in fars if far.is_ready and far.held and far.begun < far.held[0].number]
            self.random.choice(early if early and self.chance(0.8) else fars).is_dead = True

    def close(self):
        if self.fars:
            self.random.choice(list(self.fars.values())).is_closed = True

    def expire(self):
        for number, far in self.fars.items():
            if far.clocks and not far.was_closed and self.chance(0.5):
                far.clocks, far.is_late = False, True
                self.dispatch.expire(number)
                return

    def give_up(self):
        for number, far in self.fars.items():
            if far.was_closed and not far.is_late and not far.killed and (far.held or not far.is_last):
                far.killed, far.is_silent = True, far.is_ready
                self.dispatch.give_up(number)
                return

    def bury(self):
        for number, far in list(self.fars.items()):
            if far.killed:
                far.is_dead = True
            if far.is_dead:
                self.read(number)
                self.inter(number, self.fars.pop(number))
                self.feed()
                return

    def inter(self, number, far):
        burial = self.dispatch.bury(number, far.begun)
        if not far.held:
            assert burial == (None, "", ()), "nothing to blame"
            return
        first, *behind = far.held
        if far.is_ready and not far.is_late:
            self.tries[first.ticket.key] += 1
            if far.begun < first.number and self.tries[first.ticket.key] < MOST_TRIES:
                assert burial.blamed is None, "the innocent is blamed"
                self.back([first, *behind], burial.returned)
                return
        self.back(behind, burial.returned)
        ready = "timeout" if far.is_late else "silent" if far.is_silent else "died"
        assert (burial.blamed, burial.cause) == (first, ready if far.is_ready else "unstarted"), "not to blame"
        if not far.is_ready and not self.runs[first.ticket.key] and self.chance(0.5):
            self.back([first], self.dispatch.retry(first))
        else:
            self.end(first, burial.cause)

    def finish(self):
        """Assert that everything ends from the present state, if nothing fails any more."""
        self.failing = self.leaving = self.breaks = self.slow = 0.0
        for _ in range(40 * len(self.open) + 200):
            self.feed()
            self.give_up()
            for number, far in list(self.fars.items()):
                if not far.is_dead:
                    far.step(self)
                if far.is_late:
                    far.killed = True
                self.read(number)
                self.look_for_closed(number, far)
                self.check()
            self.bury()
            self.share()
        assert not self.open, "not at an end"
        assert sorted(self.ends) == list(range(self.born))
        assert all(self.runs[key] for key, how in self.ends.items() if how == "answered")


def walk(make_dispatch: Callable[[int], Dispatch[int]], seed: int) -> None:
    journey = Walk(make_dispatch(random.Random(seed).choice((1, 2, 2, 3))), seed)
    for _ in range(STEPS):
        journey.step()
    journey.finish()
