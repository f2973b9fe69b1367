"""Who takes part and what may go wrong, where it begins, and what a move is."""
from __future__ import annotations

from typing import NamedTuple

from tests.protocol.world import Actor, Left, State

NAMES = "ABCDEF"  # of the actors


class Move(NamedTuple):
    """One thing that may happen. Faults are what no survivor can hope for."""

    text: str
    state: State
    fault: bool = False


class Scenario(NamedTuple):
    """Who takes part, and what may go wrong.

    Attributes:
        roles: one letter an actor: m makes, f makes by force, r reads, c clears, t makes by force and then retires.
        top: numbers go up to it; whoever needs a higher one stops there.
        suspects: whether one that lives may be taken for dead, at any time.
        crashes: whether anyone may die, at any time.
        fails: whether a run may raise.
        hands_over: whether a worker goes on with the claim, by path.
        unwritten: whether one that was fenced may move a stranger's claim of his number while nothing is written in it.
            That is known to happen among three: it costs a file that no reader believes.
        late: whether a client that serves an old listing adds to it what it has made itself.
        listings, replies, damages: see Left.
    """

    roles: str
    top: int = 3
    suspects: bool = True
    crashes: bool = True
    fails: bool = False
    hands_over: bool = False
    unwritten: bool = False
    late: bool = False
    listings: int = 0
    replies: int = 0
    damages: int = 0


def beginning(scenario: Scenario) -> State:
    """Nothing there, everybody about to look; where somebody retires, a run may also begin later."""
    first = Actor("begin") if "t" in scenario.roles else Actor("look")
    left = Left(scenario.listings, scenario.replies, scenario.damages)
    return State(-1, (), (first,) * len(scenario.roles), left)
