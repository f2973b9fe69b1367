"""The storage protocol, one file operation a step, as `taskproc/store` does it.

| step | function | operation |
|---|---|---|
| look | `CacheFolder.look` | open_folder, listdir, tail of versions, by path |
| load | `DiskStore._bytes` | read_only of the version, by path |
| set_aside, compare, move_aside | `DiskStore._quarantine` | open_folder, tail, rename to bad |
| mkdir, open | `claims._make_place`, `_try_claim` | mkdir; open_folder |
| list, ask, make | `claims._try_claim`, `is_held`, `_make_claim` | listdir; read_only of the highest claim; make |
| sign | `DiskAttempt.sign` | append |
| ask_names, list_again | `claims._second_look` | has, of what the claim would become; list_anew |
| fence, list_then | `claims._fence` | unlink; list_anew |
| withdraw | `DiskAttempt._withdraw` | identity_of, unlink |
| drop; not_needed; give_up, fail | `DiskAttempt.drop`, `not_needed`, `fail` | unlink; rename; cut, append, rename |
| run, reopen, own | `claims.resume` | open_folder; own: where a worker goes on with it |
| seal, commit, check, check_lost | `DiskAttempt.commit`, `_rename` | append, once or more; rename; a look by path |
| clear, sweep | `trash.discard`, `trash.empty` | move_out; remove_tree |
| ask_alone, retire_open, retire_list, retire | retiring | run/; open_folder; listdir; a removal a step |

Operations that nobody else can see (close, dup, fstat, fsync) are left out. `look` and the reading of versions after a
listing are one step with it: a version is immutable, so they see what one moment showed, and whoever acts on it looks
again.

What a network folder does: a listing through a descriptor may be as old as the descriptor, so each opens the directory
anew (`Protocol.reopens`); and it may be as old as a cache. One from before the own claim is known by its absence, but a
client may add to what it has listed last what it has made itself (`Scenario.late`). A name that is asked for by itself
is true.
test_conformance.py holds steps and code together: the texts of the moves name the operations.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.protocol import world
from tests.protocol.scenario import NAMES, Move, Scenario
from tests.protocol.world import (
    EMPTY,
    ENDS,
    HEAD,
    SEALED,
    Actor,
    Breach,
    Entry,
    File,
    Folder,
    State,
    fresh_start,
    newest,
    readable,
    results,
    same,
)

Moves = Iterator[Move]


class Protocol:
    """The steps. Each is a method: what actor `me` may do next, and what comes of it."""

    reopens = True  # whether each listing is read through a new descriptor

    def __init__(self, scenario: Scenario):
        self.scenario = scenario
        self.keeps_use = "t" in scenario.roles
        self.loads = scenario.damages > 0 or "r" in scenario.roles or self.keeps_use

    def tell(self, state: State, me: int, text: str, actor: Actor, fault: bool = False) -> Move:
        """The move of `me` to what it is from now on."""
        return Move(f"{NAMES[me]} {text}", world.with_actor(state, me, actor), fault)

    def here(self, state: State, actor: Actor) -> Folder:
        """What the descriptor leads to."""
        return world.folder_at(state, self.index(state, actor))

    def index(self, state: State, actor: Actor) -> int:
        """The directory in which a holder works."""
        return actor.folder

    def at_path(self, state: State) -> Folder:
        return world.folder_at(state, state.place)

    # Read

    def look(self, state: State, me: int, actor: Actor) -> Moves:
        role = self.scenario.roles[me]
        if role == "c":
            yield from self.clear(state, me, actor)
            return
        if role in "ft" and not actor.serial and not actor.floor:
            actor = actor._replace(floor=world.highest(self.at_path(state)))
        found = newest(self.at_path(state), actor.floor)
        text = "looks: open_folder" + ("" if self.at_path(state) is None else f", {listed(self.at_path(state), found)}")
        if found is not None:
            yield self.tell(state, me, text, self.found(actor, found))
        else:
            yield self.tell(state, me, text, Actor("done") if role == "r" else fresh_start(actor, "mkdir"))

    def found(self, actor: Actor, entry: Entry) -> Actor:
        """From now on `actor` knows that version."""
        return fresh_start(actor, "load")._replace(version=entry) if self.loads else Actor("done")

    def load(self, state: State, me: int, actor: Actor) -> Moves:
        assert actor.version is not None
        now = world.at(self.at_path(state), "result", actor.version.number)
        text = f"loads: read_only result.{actor.version.number}"
        if now is None:
            yield self.tell(state, me, f"{text} (gone)", fresh_start(actor, "look"))
        elif same(now, actor.version) and now.file.content == SEALED:
            yield self.tell(state, me, text, Actor("use", version=now) if self.keeps_use else Actor("done"))
        else:
            yield self.tell(state, me, f"{text} (wrong)", actor._replace(step="set_aside"))

    def use(self, state: State, me: int, actor: Actor) -> Moves:
        yield self.tell(state, me, "ends", Actor("done"))

    def set_aside(self, state: State, me: int, actor: Actor) -> Moves:
        if state.place < 0:
            yield self.tell(state, me, "open_folder (gone)", fresh_start(actor, "look"))
        else:
            yield self.tell(state, me, "open_folder", actor._replace(step="compare", folder=state.place))

    def compare(self, state: State, me: int, actor: Actor) -> Moves:
        assert actor.version is not None
        now = world.at(self.here(state, actor), "result", actor.version.number)
        text = f"compares: tail result.{actor.version.number}"
        if now is None or (readable(now) and not same(now, actor.version)):
            yield self.tell(state, me, f"{text} (not that one)", fresh_start(actor, "look"))
        else:
            yield self.tell(state, me, text, actor._replace(step="move_aside"))

    def move_aside(self, state: State, me: int, actor: Actor) -> Moves:
        assert actor.version is not None
        number = actor.version.number
        after = world.rename(state, self.index(state, actor), "result", "bad", number)
        text = f"rename result.{number} bad.{number}"
        yield self.tell(after or state, me, text if after else f"{text} (gone)", fresh_start(actor, "look"))

    # Claim

    def mkdir(self, state: State, me: int, actor: Actor) -> Moves:
        # What one has made is empty, and is not listed; who opens it may find another one in its place
        number = 1 if state.place < 0 else 0
        yield self.tell(world.make_folder(state), me, "mkdir", actor._replace(step="open", number=number))

    def open(self, state: State, me: int, actor: Actor) -> Moves:
        if state.place < 0:
            yield self.tell(state, me, "open_folder (gone)", fresh_start(actor, "mkdir"))
        else:
            after = actor._replace(step="make" if actor.number else "list", folder=state.place)
            shown = None if self.reopens else self.at_path(state)
            yield self.tell(state, me, "open_folder", after._replace(shown=shown))

    def list(self, state: State, me: int, actor: Actor) -> Moves:
        folder = self.listing(state, actor)
        if folder is None:
            yield self.tell(state, me, "listdir (gone)", fresh_start(actor, "mkdir"))
            return
        keeps = actor._replace(remembered=(actor.folder, folder)) if self.scenario.late else actor
        yield self.tell(state, me, "listdir", self.listed(keeps, folder))
        if (old := self.old(state, actor)) is not None:
            served = actor if self.scenario.late else actor._replace(remembered=None)
            yield self.tell(state, me, "listdir (an old one)", self.listed(served, old))

    def listing(self, state: State, actor: Actor) -> Folder:
        """What a listing shows of what the descriptor leads to."""
        return self.here(state, actor) if actor.shown is None else actor.shown

    def old(self, state: State, actor: Actor) -> Folder:
        """A listing of an earlier moment that the client may serve instead; None: it has none."""
        there = actor.remembered is not None and actor.remembered[0] == self.index(state, actor)
        return actor.remembered[1] if there and actor.remembered is not None else None

    def listed(self, actor: Actor, entries: tuple[Entry, ...]) -> Actor:
        last = self.last(entries)
        if world.at(entries, "claim", last) is not None:
            return actor._replace(step="ask", number=last)
        return actor._replace(step="make", number=last + 1)

    def last(self, entries: tuple[Entry, ...]) -> int:
        """The number after which the next comes."""
        return world.highest(entries)

    def ask(self, state: State, me: int, actor: Actor) -> Moves:
        text = f"asks who holds: read_only claim.{actor.number}"
        entry = world.at(self.here(state, actor), "claim", actor.number)
        if entry is None:
            yield self.tell(state, me, f"{text} (gone)", fresh_start(actor, "look"))
            return
        holder = state.actors[entry.file.owner]
        dead = actor._replace(step="make", number=actor.number + 1)
        if holder.step in ENDS or (entry.file.owner == me and entry.file.content != EMPTY):
            yield self.tell(state, me, f"{text} (dead)", dead)
            return
        yield self.tell(state, me, f"{text} (held)", fresh_start(actor, "look"))
        if self.doubts(entry.file):
            yield self.tell(state, me, f"{text} (taken for dead)", dead, True)

    def doubts(self, claim: File) -> bool:
        """Whether a claim may be taken for a dead run's while its maker lives."""
        return self.scenario.suspects

    def make(self, state: State, me: int, actor: Actor) -> Moves:
        number, folder = actor.number, self.here(state, actor)
        text = "".join(f"tail {name}, " for name in read(folder)[:1]) if results(folder) else ""
        text = f"{text}make claim.{number}"
        if folder is None:
            yield self.tell(state, me, f"{text} (no folder)", fresh_start(actor, "mkdir"))
        elif world.at(folder, "claim", number) is not None:
            yield self.tell(state, me, f"{text} (exists)", fresh_start(actor, "look"))
        elif number > self.scenario.top:
            yield self.tell(state, me, f"{text} (the cap)", Actor("capped"))
        else:
            serial = actor.serial + 1
            after = world.make(state, self.index(state, actor), number, File(me, serial, EMPTY))
            yield self.tell(after, me, text, actor._replace(step="sign", serial=serial))

    def sign(self, state: State, me: int, actor: Actor) -> Moves:
        after = world.write(state, me, actor.serial, HEAD)
        yield self.tell(after, me, "signs: append", actor._replace(step="ask_names"))

    def ask_names(self, state: State, me: int, actor: Actor) -> Moves:
        """Names that are asked for one by one are true. Of this number they are there before the claim or never."""
        there = [kind for kind in ("result", "failed") if world.at(self.here(state, actor), kind, actor.number)]
        text = f"asks: has result.{actor.number}"
        if "result" not in there:
            text += f", has failed.{actor.number}"
        # An old listing ends some time, or nobody would
        after = actor._replace(step="drop", remembered=None) if there else actor._replace(step="list_again")
        yield self.tell(state, me, text, after)

    def list_again(self, state: State, me: int, actor: Actor) -> Moves:
        folder = self.listing(state, actor)
        if folder is None:
            yield self.tell(state, me, "list_anew (gone)", fresh_start(actor, "mkdir"))
            return
        yield from self.see_claim(state, me, actor, folder)
        if (old := self.old(state, actor)) is not None:
            own = (Entry("claim", actor.number, File(me, actor.serial, HEAD)),) if self.scenario.late else ()
            yield from self.see_claim(state, me, actor._replace(remembered=None), tuple(sorted((*old, *own))))

    def see_claim(self, state: State, me: int, actor: Actor, folder: tuple[Entry, ...]) -> Moves:
        """A listing without the own claim is from before it, or somebody has removed that."""
        if world.at(folder, "claim", actor.number) is not None:
            yield from self.judge_claim(state, me, actor, folder)
        elif world.at(self.here(state, actor), "claim", actor.number) is not None:
            yield self.tell(state, me, f"list_anew (an old one), has claim.{actor.number}", actor)
        else:
            text = f"list_anew (it was removed), has claim.{actor.number} (gone)"
            yield self.tell(state, me, text, fresh_start(actor, "mkdir"))

    def judge_claim(self, state: State, me: int, actor: Actor, folder: tuple[Entry, ...]) -> Moves:
        """What the second look leads to."""
        if any(self.is_other(entry, actor.number) for entry in folder):
            yield self.tell(state, me, "list_anew (there are others)", actor._replace(step="drop"))
            return
        older = tuple(entry for entry in reversed(folder) if entry.kind == "claim" and entry.number < actor.number)
        if older:
            yield self.tell(state, me, f"list_anew ({len(older)} older)", self.to_fence(actor, older))
        else:
            yield from self.decide(state, me, actor, folder)

    def is_other(self, entry: Entry, number: int) -> bool:
        """Whether a name makes the claim `number` void: then it is not the highest."""
        return entry.kind != "data" and entry.number >= number and (entry.kind, entry.number) != ("claim", number)

    def to_fence(self, actor: Actor, older: tuple[Entry, ...]) -> Actor:
        return actor._replace(step="fence" if older else "list_then", names=older)

    def fence(self, state: State, me: int, actor: Actor) -> Moves:
        number = actor.names[0].number
        after = world.remove(state, self.index(state, actor), "claim", number)
        then = self.to_fence(actor, actor.names[1:])._replace(fenced=(*actor.fenced, number))
        yield self.tell(after, me, f"fences: unlink claim.{number}", then)

    def list_then(self, state: State, me: int, actor: Actor) -> Moves:
        folder = self.listing(state, actor)
        if folder is None:
            yield self.tell(state, me, "list_anew (gone)", fresh_start(actor, "mkdir"))
        else:
            yield from self.decide(state, me, actor, folder)

    def decide(self, state: State, me: int, actor: Actor, folder: tuple[Entry, ...]) -> Moves:
        """What the last listing before the run leads to."""
        found = newest(folder, actor.floor)
        if found is not None:
            after = actor._replace(step="not_needed", version=found, fenced=())
        else:
            after = actor._replace(step="run", fenced=())
            self.begin_run(state, actor)
        names = read(folder, found, actor.fenced) if results(folder) or actor.fenced else []
        yield self.tell(state, me, ", ".join(["list_anew", *(f"tail {name}" for name in names)]), after)

    def begin_run(self, state: State, actor: Actor) -> None:
        """A number is that of one attempt."""
        folder = self.here(state, actor) or ()
        if any(entry.number == actor.number and entry.kind not in ("claim", "data") for entry in folder):
            raise Breach("a number was used twice")

    def drop(self, state: State, me: int, actor: Actor) -> Moves:
        after = world.remove(state, self.index(state, actor), "claim", actor.number)
        yield self.tell(after, me, f"drops: unlink claim.{actor.number}", fresh_start(actor, "mkdir"))

    def not_needed(self, state: State, me: int, actor: Actor) -> Moves:
        assert actor.version is not None
        yield from self.end_claim(state, me, actor, self.found(actor, actor.version))

    def end_claim(self, state: State, me: int, actor: Actor, then: Actor) -> Moves:
        """The claim becomes failed.<n>, if it is there and nobody has ended that number."""
        number = actor.number
        if self.is_taken(state, actor, "failed"):
            text = f"rename claim.{number} failed.{number} (exists)"
            yield self.tell(state, me, text, then._replace(step="withdraw", number=number, folder=actor.folder))
            return
        after = world.rename(state, self.index(state, actor), "claim", "failed", number)
        look = "identity_of" if after else "read_only"
        text = f"rename claim.{number} failed.{number}{'' if after else ' (gone)'}, {look} failed.{number}"
        yield self.tell(after or state, me, text, then)

    # Run and commit

    def run(self, state: State, me: int, actor: Actor) -> Moves:
        after = actor._replace(step="reopen", folder=-1) if self.scenario.hands_over else actor._replace(step="seal")
        if self.keeps_use and (folder := self.here(state, actor)) is not None:
            data = Entry("data", actor.number, File(me, actor.serial, HEAD))
            state = world.with_folder(state, actor.folder, tuple(sorted((*folder, data))))
        yield self.tell(state, me, "runs", after)
        if self.scenario.fails:
            yield self.tell(state, me, "runs (it raises)", actor._replace(step="give_up"), True)

    def reopen(self, state: State, me: int, actor: Actor) -> Moves:
        if state.place < 0:
            yield self.tell(state, me, "goes on: open_folder (gone)", fresh_start(actor, "look"))
        else:
            yield self.tell(state, me, "goes on: open_folder", actor._replace(step="own", folder=state.place))

    def own(self, state: State, me: int, actor: Actor) -> Moves:
        entry = world.at(self.here(state, actor), "claim", actor.number)
        mine = entry is not None and entry.file == File(me, actor.serial, HEAD)
        after = actor._replace(step="seal") if mine else fresh_start(actor, "look")
        then = ", listdir" if mine else " (not mine)"
        yield self.tell(state, me, f"open_to_append claim.{actor.number}{then}", after)

    def seal(self, state: State, me: int, actor: Actor) -> Moves:
        after = world.write(state, me, actor.serial, SEALED)
        yield self.tell(after, me, "seals: append", actor._replace(step="commit"))

    def commit(self, state: State, me: int, actor: Actor) -> Moves:
        number, index = actor.number, self.index(state, actor)
        text = f"commits: rename claim.{number} result.{number}"
        entry = world.at(world.folder_at(state, index), "claim", number)
        if entry is None:
            yield self.tell(state, me, f"{text} (gone)", actor._replace(step="check_lost"))
            return
        if self.is_taken(state, actor, "result"):
            yield self.tell(state, me, f"{text} (exists)", actor._replace(step="withdraw"))
            return
        mine, lenient = (me, actor.serial), self.scenario.unwritten
        after = world.publish(state, index, number, entry.file, mine, actor.floor, lenient)
        yield self.tell(after, me, text, actor._replace(step="check"))
        if state.left.replies:
            after = after._replace(left=after.left._replace(replies=after.left.replies - 1))
            yield self.tell(after, me, f"{text} (the reply is lost)", actor._replace(step="check_lost"), True)

    def is_taken(self, state: State, actor: Actor, kind: str) -> bool:
        """Whether a rename to that name would replace something: then there is none."""
        folder = self.here(state, actor)
        return all(world.at(folder, each, actor.number) is not None for each in ("claim", kind))

    def withdraw(self, state: State, me: int, actor: Actor) -> Moves:
        """The number was used before the claim was made: it is removed, if it is the own one still."""
        entry = world.at(self.here(state, actor), "claim", actor.number)
        mine = entry is not None and entry.file[:2] == (me, actor.serial)
        text = f"identity_of claim.{actor.number}" + (f", unlink claim.{actor.number}" if mine else " (not mine)")
        after = world.remove(state, self.index(state, actor), "claim", actor.number) if mine else state
        yield self.tell(after, me, text, fresh_start(actor, "look"))

    def check(self, state: State, me: int, actor: Actor) -> Moves:
        yield from self.conclude(state, me, actor, "identity_of", self.is_mine(state, me, actor))

    def check_lost(self, state: State, me: int, actor: Actor) -> Moves:
        yield from self.conclude(state, me, actor, "read_only", self.is_mine(state, me, actor))

    def is_mine(self, state: State, me: int, actor: Actor) -> bool:
        """Whether the version at the path is the one that `actor` made."""
        entry = world.at(self.at_path(state), "result", actor.number)
        return entry is not None and (entry.file.owner, entry.file.serial) == (me, actor.serial)

    def conclude(self, state: State, me: int, actor: Actor, operation: str, committed: bool) -> Moves:
        if committed and not Protocol.is_mine(self, state, me, actor):
            raise Breach("one that has not committed believes that he has")
        quiet = not self.scenario.suspects and "c" not in self.scenario.roles and not self.scenario.damages
        if not committed and quiet and operation == "read_only":
            raise Breach("one was fenced though nobody paused")
        text = f"{operation} result.{actor.number}"
        if not committed:
            yield self.tell(state, me, f"{text} (fenced)", fresh_start(actor, "look"))
        elif self.scenario.roles[me] == "t":
            yield self.tell(state, me, text, Actor("ask_alone"))
        else:
            yield self.tell(state, me, text, Actor("done"))

    def give_up(self, state: State, me: int, actor: Actor) -> Moves:
        yield self.tell(state, me, "append", actor._replace(step="fail"))

    def fail(self, state: State, me: int, actor: Actor) -> Moves:
        yield from self.end_claim(state, me, actor, Actor("failed"))

    # Clear

    def clear(self, state: State, me: int, actor: Actor) -> Moves:
        if state.place < 0:
            yield self.tell(state, me, "clears: nothing", Actor("done"))
        else:
            yield self.tell(world.move_away(state), me, "clears: move_out", Actor("sweep"))

    def sweep(self, state: State, me: int, actor: Actor) -> Moves:
        others = [other for at, other in enumerate(state.actors) if at != me and other.step not in ENDS]
        if others:
            yield self.tell(state, me, "leaves the trash", Actor("done"))
        if not others or self.scenario.suspects:
            folders = tuple(some if at == state.place else None for at, some in enumerate(state.folders))
            after = State(state.place, folders, state.actors, state.left)
            yield self.tell(after, me, "empties the trash: remove_tree", Actor("done"), bool(others))

    # Retire

    def ask_alone(self, state: State, me: int, actor: Actor) -> Moves:
        alone = all(other.step in (*ENDS, "begin") for at, other in enumerate(state.actors) if at != me)
        yield self.tell(state, me, f"asks whether it is alone: {alone}", Actor("retire_open" if alone else "done"))

    def retire_open(self, state: State, me: int, actor: Actor) -> Moves:
        after = Actor("done") if state.place < 0 else Actor("retire_list", folder=state.place)
        yield self.tell(state, me, "open_folder", after)

    def retire_list(self, state: State, me: int, actor: Actor) -> Moves:
        folder = self.here(state, actor)
        victims = self.victims(folder or ())
        after = actor._replace(step="retire", names=victims) if victims else Actor("done")
        yield self.tell(state, me, "listdir", after)

    def victims(self, folder: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """What is beyond the newest version, below the highest number; of a number first the version, then the rest."""
        kept = {entry.number for entry in results(folder)[:1]} | {world.highest(folder)}
        old = [entry for entry in folder if entry.number not in kept and entry.kind != "claim"]
        return tuple(sorted(old, key=lambda entry: (entry.number, entry.kind != "result", entry)))

    def retire(self, state: State, me: int, actor: Actor) -> Moves:
        victim = actor.names[0]
        in_use = [other.version for other in state.actors if other.step == "use"]
        if victim.kind == "result" and victim in in_use and not self.scenario.suspects:
            raise Breach("a version was retired while a run used it")
        after = world.remove(state, actor.folder, victim.kind, victim.number)
        then = actor._replace(names=actor.names[1:]) if actor.names[1:] else Actor("done")
        yield self.tell(after, me, f"retires {victim.kind}.{victim.number}", then)

    def begin(self, state: State, me: int, actor: Actor) -> Moves:
        yield self.tell(state, me, "begins", Actor("look"))

    def step(self, state: State, me: int) -> Moves:
        """What the actor `me` may do next."""
        actor = state.actors[me]
        found: Callable[[State, int, Actor], Moves] = getattr(self, actor.step)
        return found(state, me, actor)


def listed(folder: Folder, found: Entry | None) -> str:
    """The operations of a listing and of the reading of versions until one is good."""
    return ", ".join(["listdir", *(f"tail {name}" for name in read(folder, found))])


def read(folder: Folder, found: Entry | None = None, fenced: tuple[int, ...] = ()) -> list[str]:
    """What is read as a version, newest first, until one is good: a claim may be one by now."""
    numbers = {entry.number for entry in folder or () if entry.kind == "claim" or entry in results(folder)}
    least = 0 if found is None else found.number
    return [f"result.{number}" for number in sorted({*numbers, *fenced}, reverse=True) if number >= least]
