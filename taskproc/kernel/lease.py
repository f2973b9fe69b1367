"""Leases: which process holds which ticket. A lease is valid while its holder sends beats. Time is an argument.

A holder promises to beat at a period; one without a beat for more than PATIENCE periods has left, and what it
held is to be done by others (leases: Gray and Cheriton 1989). It may be alive all the same, so a lease alone keeps
nobody from answering late: that is what the number of a ticket is for.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic

from taskproc.kernel.model import K, Ticket

PATIENCE = 4


@dataclass(slots=True, eq=False)
class _Holder(Generic[K]):
    """One of them. `heard` is when it last beat; `tickets` are in the order in which they were granted."""

    period: float | None
    heard: float
    tickets: dict[Ticket[K], None] = field(default_factory=dict)

    def patience(self) -> float:
        """The time at which it will have left, without a beat until then."""
        return float("inf") if self.period is None else self.heard + PATIENCE * self.period


class Leases(Generic[K]):
    """Holders, each with a number, and the tickets that they hold. Unknown holders raise KeyError.

    `now` is in seconds, from any clock that does not go back. All verbs but `expire` take O(1), `expire` O(log n) for
    each holder whose patience was over without a beat in the meantime.
    """

    def __init__(self) -> None:
        self._holders: dict[int, _Holder[K]] = {}
        self._held: dict[Ticket[K], int] = {}
        # (when, holder), one for each holder that promised to beat: not later than its patience ends
        self._looks: list[tuple[float, int]] = []

    def __contains__(self, holder: object) -> bool:
        return holder in self._holders

    def __len__(self) -> int:
        return len(self._holders)

    def enter(self, holder: int, period: float | None, now: float) -> None:
        """Take up a holder that promises to beat every `period` seconds; None: it promises nothing, and never expires.

        ValueError if it is there already: its number is for one holder only, also after it has left.
        """
        if holder in self._holders:
            raise ValueError(f"holder {holder} has entered before")
        entered: _Holder[K] = _Holder(period, now)
        self._holders[holder] = entered
        if period is not None:
            heappush(self._looks, (entered.patience(), holder))

    def beat(self, holder: int, now: float) -> None:
        """Note a beat of `holder`."""
        self._holders[holder].heard = now

    def grant(self, holder: int, ticket: Ticket[K]) -> None:
        """From now on `holder` holds `ticket`, which nobody did."""
        self._holders[holder].tickets[ticket] = None
        self._held[ticket] = holder

    def release(self, ticket: Ticket[K]) -> None:
        """Nobody holds `ticket` any more, if somebody did."""
        holder = self._held.pop(ticket, None)
        if holder is not None:
            del self._holders[holder].tickets[ticket]

    def leave(self, holder: int) -> tuple[Ticket[K], ...]:
        """Forget `holder`; what it held, in the order in which it was granted."""
        left = self._holders.pop(holder)
        for ticket in left.tickets:
            del self._held[ticket]
        return tuple(left.tickets)

    def expire(self, now: float) -> list[tuple[int, tuple[Ticket[K], ...]]]:
        """Remove the holders without a beat for more than PATIENCE periods; each with the tickets it held."""
        gone: list[tuple[int, tuple[Ticket[K], ...]]] = []
        while self._looks and self._looks[0][0] < now:
            _, number = heappop(self._looks)
            holder = self._holders.get(number)
            if holder is None:
                continue
            if holder.patience() < now:
                gone.append((number, self.leave(number)))
            else:
                heappush(self._looks, (holder.patience(), number))
        return gone

    def next_look(self) -> float | None:
        """After which time `expire` may find somebody; None: never, as it is now."""
        return self._looks[0][0] if self._looks else None

    def validate(self) -> None:
        """AssertionError unless every invariant holds. O(holders + tickets): for tests."""
        held = {ticket: number for number, holder in self._holders.items() for ticket in holder.tickets}
        assert held == self._held, f"{self._held} held, holders have {held} [this is a bug]"
        looks = {number: when for when, number in self._looks}
        for number, holder in self._holders.items():
            late = holder.period is not None and looks.get(number, float("inf")) > holder.patience()
            assert not late, f"{number} will not be looked at in time [this is a bug]"
