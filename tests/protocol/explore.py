"""All that can happen in a scenario, breadth first, so the trace to a broken law is a shortest one.

    python -m tests.protocol.explore --actors 3 --clear
"""
from __future__ import annotations

import argparse
import gc
import time
from array import array
from dataclasses import dataclass, field

from tests.protocol import world
from tests.protocol.moves import moves
from tests.protocol.scenario import Scenario, beginning
from tests.protocol.steps import Protocol
from tests.protocol.world import ENDS, Breach, State

STUCK = "one that survives cannot come to an end"


@dataclass
class Found:
    """What an exploration came to; `law` is empty if all held, else `trace` leads to where it broke."""

    states: int
    moves: int
    depth: int
    seconds: float
    law: str = ""
    trace: list[str] = field(default_factory=list)


def main(arguments: list[str] | None = None) -> int:
    """Explore what the options say, and print a line a scenario; 1 if a law was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.protocol.explore", description=__doc__)
    parser.add_argument("--actors", type=int, default=2, help="how many make results")
    parser.add_argument("--clear", action="store_true", help="one clears")
    parser.add_argument("--read", action="store_true", help="one reads, and a version is damaged")
    parser.add_argument("--retire", action="store_true", help="one makes by force and retires what is old")
    parser.add_argument("--top", type=int, default=2, help="the highest number")
    parser.add_argument("--listings", type=int, default=0, help="old listings")
    parser.add_argument("--replies", type=int, default=0, help="lost replies")
    parser.add_argument("--most", type=int, default=10**9, help="how many states to visit at most")
    given = parser.parse_args(arguments)
    roles = "m" * given.actors + "c" * given.clear + "r" * given.read + "t" * given.retire
    weak = given.actors + given.retire > 2
    full = Scenario(
        roles, given.top, listings=given.listings, replies=given.replies, damages=int(given.read), unwritten=weak
    )
    print(f"{'scenario':40} {'states':>9} {'moves':>10} {'depth':>5} {'seconds':>7}  violations")
    broken = 0
    for name, scenario in {"deaths": full._replace(suspects=False), "deaths and pauses": full}.items():
        found = explore(Protocol(scenario), given.most)
        broken += bool(found.law)
        told = f"{found.states:9} {found.moves:10} {found.depth:5} {found.seconds:7.1f}  {found.law or 'none'}"
        print(f"{f'{roles} up to {given.top}, {name}':40} {told}")
        print("".join(f"    {line}\n" for line in found.trace), end="", flush=True)
    return int(broken > 0)


def explore(protocol: Protocol, most: int = 10**9) -> Found:
    """Visit every state, `most` at most."""
    collects = gc.isenabled()
    gc.disable()  # nothing here is a circle, and to look for one among so many tuples takes longer than the rest
    try:
        return _Exploration(protocol).run(most)
    finally:
        if collects:
            gc.enable()


class _Exploration:
    def __init__(self, protocol: Protocol):
        self.protocol = protocol
        self.states: list[State] = []
        self.index: dict[State, int] = {}
        self.parent = array("l")
        self.pieces: dict[object, object] = {}  # equal parts of states are kept once
        self.sources, self.targets = array("l"), array("l")  # the moves that are no faults

    def run(self, most: int) -> Found:
        started = time.perf_counter()
        self._add(beginning(self.protocol.scenario), -1)
        at = count = 0
        ends = [1]  # index behind the last state of each depth
        law, trace = "", []
        while at < len(self.states) and len(self.states) <= most:
            if at == ends[-1]:
                ends.append(len(self.states))
            try:
                for move in moves(self.protocol, self.states[at]):
                    count += 1
                    to = self._add(world.tidy(move.state), at)
                    if not move.fault:
                        self.sources.append(at)
                        self.targets.append(to)
            except Breach as breach:
                law, trace = breach.args[0], [*self._trace(at), breach.args[1]]
                break
            at += 1
        if not law and at == len(self.states) and (stuck := self._stuck()) >= 0:
            law, trace = STUCK, self._trace(stuck)
        return Found(len(self.states), count, len(ends), time.perf_counter() - started, law, trace)

    def _add(self, state: State, parent: int) -> int:
        known = self.index.get(state)
        if known is not None:
            return known
        keep = self.pieces.setdefault
        folders = tuple(keep(some, some) for some in state.folders)
        actors = tuple(keep(some, some) for some in state.actors)
        state = State(state.place, keep(folders, folders), keep(actors, actors), state.left)  # type: ignore[arg-type]
        self.index[state] = at = len(self.states)
        self.states.append(state)
        self.parent.append(parent)
        return at

    def _trace(self, at: int) -> list[str]:
        """What happened on the way to a state."""
        path = [at]
        while self.parent[path[-1]] >= 0:
            path.append(self.parent[path[-1]])
        path.reverse()
        return [self._text(before, after) for before, after in zip(path, path[1:])]

    def _text(self, before: int, after: int) -> str:
        found = moves(self.protocol, self.states[before])
        return next(move.text for move in found if world.tidy(move.state) == self.states[after])

    def _stuck(self) -> int:
        """The first state from which, without a further fault, not all survivors can come to an end; -1: none."""
        good = bytearray(all(actor.step in ENDS for actor in state.actors) for state in self.states)
        offsets = array("l", bytes(8 * (len(self.states) + 1)))
        for to in self.targets:
            offsets[to + 1] += 1
        for at in range(len(self.states)):
            offsets[at + 1] += offsets[at]
        sources, fill = array("l", bytes(8 * len(self.sources))), array("l", offsets)
        for source, to in zip(self.sources, self.targets):
            sources[fill[to]] = source
            fill[to] += 1
        line = [at for at, is_good in enumerate(good) if is_good]
        for to in line:
            for source in sources[offsets[to] : offsets[to + 1]]:
                if not good[source]:
                    good[source] = True
                    line.append(source)
        return good.find(0)


if __name__ == "__main__":
    raise SystemExit(main())
