"""All that may happen at one moment: a step of an actor, its death, and what the file system does by itself."""
from __future__ import annotations

from collections.abc import Iterator

from tests.protocol import world
from tests.protocol.scenario import NAMES, Move
from tests.protocol.steps import Protocol
from tests.protocol.world import ENDS, TORN, Actor, Breach, State


def moves(protocol: Protocol, state: State) -> Iterator[Move]:
    """Every move with the state after it. A Breach says after its law whose step broke it."""
    for me, actor in enumerate(state.actors):
        if actor.step in ENDS:
            continue
        try:
            yield from protocol.step(state, me)
        except Breach as breach:
            raise Breach(*breach.args, f"{NAMES[me]} {actor.step}") from None
        if protocol.scenario.crashes:
            yield protocol.tell(state, me, "dies", Actor("dead"), True)
    if state.left.listings:
        yield from _remember(state)
    if state.left.damages:
        yield from _damage(state)


def _remember(state: State) -> Iterator[Move]:
    """A client keeps the listing of this moment, and may serve it later."""
    folder = world.folder_at(state, state.place)
    if folder is None:
        return
    left = state.left._replace(listings=state.left.listings - 1)
    for me, actor in enumerate(state.actors):
        if actor.step in ("look", "open", "mkdir", "list", "make") and actor.remembered is None:
            after = world.with_actor(state, me, actor._replace(remembered=(state.place, folder)))
            yield Move(f"the client of {NAMES[me]} keeps a listing", after._replace(left=left), True)


def _damage(state: State) -> Iterator[Move]:
    """A published version loses its bytes, but not its record."""
    folder = world.folder_at(state, state.place) or ()
    left = state.left._replace(damages=state.left.damages - 1)
    for entry in folder:
        if world.is_good(entry):
            torn = entry._replace(file=entry.file._replace(content=TORN))
            rest = tuple(other for other in folder if other is not entry)
            after = world.with_folder(state, state.place, tuple(sorted((*rest, torn))))
            yield Move(f"result.{entry.number} is damaged", after._replace(left=left), True)
