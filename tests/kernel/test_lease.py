"""Laws of leases: a holder that beats keeps its tickets, a silent one loses them, and no ticket has two holders."""
from __future__ import annotations

import random

import pytest

from taskproc.kernel.lease import PATIENCE, Leases
from taskproc.kernel.model import Ticket

A, B, C = (Ticket(key, number) for number, key in enumerate("abc", 1))


@pytest.fixture
def leases():
    """Every invariant holds when the test ends."""
    leases = Leases()
    yield leases
    leases.validate()


def test_who_is_not_heard_of_loses_what_it_holds(leases):
    """A holder expires after more than four periods, not after four, and its tickets are returned in order."""
    leases.enter(1, 10.0, 0.0)
    leases.grant(1, A)
    leases.grant(1, B)

    assert leases.expire(40.0) == []
    assert leases.expire(40.1) == [(1, (A, B))]
    assert 1 not in leases
    assert leases.next_look() is None


def test_a_beat_counts_from_when_it_was_heard(leases):
    """A holder that beats does not expire."""
    leases.enter(1, 10.0, 0.0)
    leases.beat(1, 30.0)

    assert leases.expire(70.0) == []
    assert leases.next_look() == 70.0
    assert leases.expire(70.5) == [(1, ())]


def test_who_promises_nothing_never_expires(leases):
    """A holder without a period never expires."""
    leases.enter(1, None, 0.0)

    assert leases.next_look() is None
    assert leases.expire(1e9) == []


def test_what_was_released_is_nobodys(leases):
    """A released ticket is not lost with its holder; a ticket without a holder can be released too."""
    leases.enter(1, 1.0, 0.0)
    leases.grant(1, A)
    leases.grant(1, B)

    leases.release(A)
    leases.release(C)

    assert leases.leave(1) == (B,)
    with pytest.raises(KeyError):
        leases.leave(1)


def test_a_number_is_for_one_holder(leases):
    """A holder cannot enter twice."""
    leases.enter(1, None, 0.0)

    with pytest.raises(ValueError, match="entered before"):
        leases.enter(1, None, 0.0)


def test_a_thousand_beats_leave_one_look(leases):
    """Beats leave nothing behind: one look per holder is stored."""
    leases.enter(1, 1.0, 0.0)
    for second in range(1000):
        leases.beat(1, float(second))
        assert leases.expire(float(second)) == []

    assert len(leases._looks) == 1


@pytest.mark.parametrize("seed", range(20))
def test_every_walk_keeps_the_laws(seed):
    """In any order of calls, exactly the holders that were silent for too long expire, with exactly their tickets."""
    chance, leases, now, number = random.Random(seed), Leases(), 0.0, 0
    heard, held = {}, {}
    for step in range(400):
        now += chance.choice((0.0, 0.5, 3.0))
        gone = dict(leases.expire(now))
        assert set(gone) == {each for each, (last, period) in heard.items() if now - last > PATIENCE * period}
        for each, tickets in gone.items():
            del heard[each]
            assert list(tickets) == held.pop(each)
        leases.validate()
        verb = chance.randrange(5)
        if verb == 0 or not heard:
            number += 1
            heard[number], held[number] = (now, chance.choice((0.5, 1.0, 5.0))), []
            leases.enter(number, heard[number][1], now)
            continue
        some = chance.choice(list(heard))
        if verb == 1:
            heard[some] = now, heard[some][1]
            leases.beat(some, now)
        elif verb == 2:
            held[some].append(Ticket(step, step))
            leases.grant(some, held[some][-1])
        elif verb == 3 and held[some]:
            leases.release(held[some].pop(chance.randrange(len(held[some]))))
        elif verb == 4 and chance.random() < 0.2:
            del heard[some]
            assert list(leases.leave(some)) == held.pop(some)
