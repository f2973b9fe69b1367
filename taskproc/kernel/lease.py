"""Leases: which process holds which ticket. A lease is valid while its holder sends beats. Time is an argument.

A holder promises a beat in each period. After more than PATIENCE periods without one it has left, and other processes
take over its tickets (leases: Gray and Cheriton 1989). It may still be alive, so a lease alone does not prevent late
answers. They are recognized by the number of the ticket.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic

from taskproc.kernel.model import K, Ticket

PATIENCE = 4


@dataclass(slots=True, eq=False)
class _Holder(Generic[K]):
    """A holder. `beaten` is the time of its last beat; `tickets` are in the order in which they were granted."""

    period: float | None
    beaten: float
    tickets: dict[Ticket[K], None] = field(default_factory=dict)

    def patience(self) -> float:
        """The time after which it has left, unless a beat comes before."""
        return float("inf") if self.period is None else self.beaten + PATIENCE * self.period


class Leases(Generic[K]):
    """Holders, each with a number, and the tickets that they hold. Unknown holders raise KeyError.

    `now` is in seconds, from any clock that does not go back. All methods are O(1), except that `enter` and `expire`
    are O(log n) for each holder that enters, or whose patience must be checked.
    """

    def __init__(self) -> None:
        self._holders: dict[int, _Holder[K]] = {}
        self._held: dict[Ticket[K], int] = {}
        # (time, holder), one for each holder that promised beats: at the latest when its patience ends
        self._looks: list[tuple[float, int]] = []

    def __contains__(self, holder: object) -> bool:
        return holder in self._holders

    def __len__(self) -> int:
        return len(self._holders)

    def enter(self, holder: int, period: float | None, now: float) -> None:
        """Add a holder.

        Args:
            period: it promises a beat every `period` seconds; None: it promises none, and never expires.

        Raises:
            ValueError: it is a holder already. A number is for one holder only, also after it has left.
        """
        if holder in self._holders:
            raise ValueError(f"holder {holder} has entered before")
        entered: _Holder[K] = _Holder(period, now)
        self._holders[holder] = entered
        if period is not None:
            heappush(self._looks, (entered.patience(), holder))

    def beat(self, holder: int, now: float) -> None:
        """Record a beat of `holder`."""
        self._holders[holder].beaten = now

    def grant(self, holder: int, ticket: Ticket[K]) -> None:
        """Give `ticket`, which nobody holds, to `holder`."""
        self._holders[holder].tickets[ticket] = None
        self._held[ticket] = holder

    def release(self, ticket: Ticket[K]) -> None:
        """Take `ticket` from its holder, if it has one."""
        holder = self._held.pop(ticket, None)
        if holder is not None:
            del self._holders[holder].tickets[ticket]

    def leave(self, holder: int) -> tuple[Ticket[K], ...]:
        """Remove `holder` and return its tickets in the order in which they were granted."""
        left = self._holders.pop(holder)
        for ticket in left.tickets:
            del self._held[ticket]
        return tuple(left.tickets)

    def expire(self, now: float) -> list[tuple[int, tuple[Ticket[K], ...]]]:
        """Remove the holders without a beat for more than PATIENCE periods, and return each with its tickets."""
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
        """The time after which `expire` may remove a holder; None: never, unless one enters."""
        return self._looks[0][0] if self._looks else None

    def validate(self) -> None:
        """AssertionError unless every invariant holds. O(holders + tickets): for tests."""
        held = {ticket: number for number, holder in self._holders.items() for ticket in holder.tickets}
        assert held == self._held, f"{self._held} held, holders have {held} [this is a bug]"
        looks = {number: when for when, number in self._looks}
        for number, holder in self._holders.items():
            late = holder.period is not None and looks.get(number, float("inf")) > holder.patience()
            assert not late, f"{number} will not be looked at in time [this is a bug]"
