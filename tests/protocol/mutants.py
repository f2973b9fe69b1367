"""The protocol with one thing left out: each breaks a law that the whole protocol keeps, and is caught by it.

`MUTANTS`: name → the protocol, the scenario in which it is caught, the law.
"""
from __future__ import annotations

from tests.protocol import world
from tests.protocol.explore import STUCK
from tests.protocol.scenario import Scenario
from tests.protocol.steps import Moves, Protocol
from tests.protocol.world import EMPTY, SEALED, Actor, Entry, File, State


class WithoutSecondLook(Protocol):
    """A claim is taken for the right to run."""

    def list_again(self, state: State, me: int, actor: Actor) -> Moves:
        yield self.tell(state, me, "does not look again", actor._replace(step="run"))


class ClaimNotSought(Protocol):
    """A listing after the claim is believed, whether that is in it or not."""

    def see_claim(self, state: State, me: int, actor: Actor, folder: tuple[Entry, ...]) -> Moves:
        yield from self.judge_claim(state, me, actor, folder)


class OneDescriptor(ClaimNotSought):
    """All listings are read through the descriptor that was opened before the claim."""

    reopens = False


class SecondDescriptor(Protocol):
    """The listing after the fence is read through the descriptor of the one before it."""

    def judge_claim(self, state: State, me: int, actor: Actor, folder: tuple[Entry, ...]) -> Moves:
        yield from super().judge_claim(state, me, actor._replace(shown=folder), folder)


class NamesNotAsked(Protocol):
    """After the claim only the folder is listed."""

    def ask_names(self, state: State, me: int, actor: Actor) -> Moves:
        yield self.tell(state, me, "asks for no name", actor._replace(step="list_again"))


class Replaces(NamesNotAsked):
    """As that, and the rename puts a version in the place of another one."""

    def begin_run(self, state: State, actor: Actor) -> None:
        """Go on, whoever had the number."""

    def is_taken(self, state: State, actor: Actor, kind: str) -> bool:
        return False


class WithoutFence(Protocol):
    """Lower claims are left where they are."""

    def to_fence(self, actor: Actor, older: tuple[Entry, ...]) -> Actor:
        return actor._replace(step="list_then", names=())


class ByPath(Protocol):
    """A holder works by path instead of the descriptor of its directory."""

    def index(self, state: State, actor: Actor) -> int:
        return state.place


class NumbersOfResults(NamesNotAsked):
    """The next number is one above the highest result or claim; failed and bad ones do not count, here and later."""

    def last(self, entries: tuple[Entry, ...]) -> int:
        return world.highest(tuple(entry for entry in entries if entry.kind in ("result", "claim")))

    def is_other(self, entry: Entry, number: int) -> bool:
        return entry.kind in ("result", "claim") and super().is_other(entry, number)


class CommitByCopy(Protocol):
    """The result is written under its name, whatever became of the claim."""

    def commit(self, state: State, me: int, actor: Actor) -> Moves:
        own = File(me, actor.serial, SEALED)
        if actor.folder >= 0 and state.folders[actor.folder] is not None:
            state = world.publish(state, actor.folder, actor.number, own, own[:2], actor.floor, False)
        yield self.tell(state, me, f"copies to result.{actor.number}", actor._replace(step="check"))


class HeadNotCompared(Protocol):
    """If the claim is gone and there is a result of its number, it is taken for one's own."""

    def check_lost(self, state: State, me: int, actor: Actor) -> Moves:
        there = world.at(self.at_path(state), "result", actor.number) is not None
        yield from self.conclude(state, me, actor, "read_only", there)


class EmptyIsDead(Protocol):
    """A claim without a head counts as dead at once."""

    def doubts(self, claim: File) -> bool:
        return super().doubts(claim) or claim.content == EMPTY


class DeadAreWaitedFor(Protocol):
    """A claim is never taken from anybody."""

    def ask(self, state: State, me: int, actor: Actor) -> Moves:
        yield self.tell(state, me, "waits", actor._replace(step="look"))


class AsideByPath(Protocol):
    """What was damaged is looked at by path once more, and then moved aside in the directory that is there by then."""

    def load(self, state: State, me: int, actor: Actor) -> Moves:
        for move in super().load(state, me, actor):
            after = move.state.actors[me]
            turned = after._replace(step="compare_by_path") if after.step == "set_aside" else after
            yield move._replace(state=world.with_actor(move.state, me, turned))

    def compare_by_path(self, state: State, me: int, actor: Actor) -> Moves:
        for move in self.compare(state, me, actor._replace(folder=state.place)):
            after = move.state.actors[me]._replace(folder=-1)
            turned = after._replace(step="set_aside") if after.step == "move_aside" else after
            yield move._replace(state=world.with_actor(move.state, me, turned))

    def set_aside(self, state: State, me: int, actor: Actor) -> Moves:
        for move in super().set_aside(state, me, actor):
            after = move.state.actors[me]
            turned = after._replace(step="move_aside") if after.step == "compare" else after
            yield move._replace(state=world.with_actor(move.state, me, turned))


class RetireUnasked(Protocol):
    """Old versions go while another run is at work."""

    def ask_alone(self, state: State, me: int, actor: Actor) -> Moves:
        yield self.tell(state, me, "does not ask", Actor("retire_open"))


class RetireHighest(Protocol):
    """The newest number goes as well."""

    def victims(self, folder: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return tuple(sorted(folder, key=lambda entry: (entry.kind != "result", entry)))


class RetireDataFirst(Protocol):
    """What belongs to a version goes before it."""

    def victims(self, folder: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return tuple(reversed(super().victims(folder)))


class HeirPublishes(Protocol):
    """An heir that finds a sealed claim renames it instead of unlinking it, so that a finished result is not lost.

    Safe for two. A third one that listed long ago makes the number anew as soon as its maker has renamed it, and the
    heir puts that empty claim in the place of a version: it would have to be a rename that replaces nothing.
    """

    def fence(self, state: State, me: int, actor: Actor) -> Moves:
        number = actor.names[0].number
        found = world.at(self.here(state, actor), "claim", number)
        if found is not None and found.file.content == SEALED:
            after = actor._replace(step="adopt", names=(found, *actor.names[1:]))
            yield self.tell(state, me, f"read_only claim.{number} (sealed)", after)
        else:
            yield self.tell(state, me, f"read_only claim.{number}", actor._replace(step="cut"))

    def cut(self, state: State, me: int, actor: Actor) -> Moves:
        """The claim was not sealed when it was read."""
        yield from super().fence(state, me, actor)

    def adopt(self, state: State, me: int, actor: Actor) -> Moves:
        """The claim was sealed when it was read."""
        claim, then = actor.names[0], self.to_fence(actor, actor.names[1:])
        text = f"rename claim.{claim.number} result.{claim.number}"
        now = world.at(self.here(state, actor), "claim", claim.number)
        if now is None:
            yield self.tell(state, me, f"{text} (gone)", then)
        else:
            made_by, lenient = claim.file[:2], self.scenario.unwritten
            after = world.publish(state, actor.folder, claim.number, now.file, made_by, actor.floor, lenient)
            yield self.tell(after, me, text, then)


# Listings stay old, but for what one has made oneself. Who fences a dead one is not to be seen in them by any means
LATE = Scenario("mm", listings=2, late=True, suspects=False, crashes=False)

MUTANTS: dict[str, tuple[type[Protocol], Scenario, str]] = {
    "without the second look": (WithoutSecondLook, Scenario("mm"), "double commit"),
    "with an old second look": (ClaimNotSought, Scenario("mm", listings=1), "double commit"),
    "with one descriptor for all listings": (OneDescriptor, Scenario("mm"), "double commit"),
    "with the descriptor of the second look after the fence": (SecondDescriptor, Scenario("mm"), "double commit"),
    "without asking for names": (NamesNotAsked, LATE, "a number was used twice"),
    "with a rename that replaces": (Replaces, LATE, "a published version was replaced"),
    "with heirs that publish": (
        HeirPublishes,
        Scenario("mmm", top=2, unwritten=True),
        "a published version was replaced",
    ),
    "without the fence": (WithoutFence, Scenario("mm"), "double commit"),
    "without the directory descriptor": (
        ByPath,
        Scenario("mmc", top=1),
        "a stranger's unwritten claim was moved",
    ),
    "with numbers of results only": (NumbersOfResults, Scenario("mm", fails=True), "a number was used twice"),
    "with a commit by copy": (CommitByCopy, Scenario("mm"), "one that was fenced published"),
    "without comparing the head": (
        HeadNotCompared,
        Scenario("mmc", top=1),
        "one that has not committed believes that he has",
    ),
    "with empty claims taken for dead": (
        EmptyIsDead,
        Scenario("mm", suspects=False),
        "one was fenced though nobody paused",
    ),
    "with the dead waited for": (DeadAreWaitedFor, Scenario("mm"), STUCK),
    "with quarantine by path": (AsideByPath, Scenario("mrc", damages=1), "a good version was moved aside"),
    "retiring while others run": (
        RetireUnasked,
        Scenario("rmt", suspects=False),
        "a version was retired while a run used it",
    ),
    "retiring the highest": (RetireHighest, Scenario("mt"), "a number vanished while it was the highest"),
    "retiring data first": (RetireDataFirst, Scenario("mt"), "a published version lost its data"),
}
