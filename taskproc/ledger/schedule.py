"""How long a graph will take: its plan, driven in virtual time, and the chain of tasks that decides.

The plan of the kernel hands out the tasks here as it does in a run, with the same limits; only nothing is executed, and
the clock jumps from one end of a task to the next (list scheduling: Graham, "Bounds on multiprocessing timing
anomalies", 1969). What a run spends between tasks is not counted.
"""
from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import heappop, heappush

from taskproc.kernel.limits import Limits
from taskproc.kernel.model import Done, K, Node, Stale, Stamp, Ticket
from taskproc.kernel.plan import Plan
from taskproc.kernel.rebuild import NEW

_STALE, _DONE = Stale(NEW), Done(Stamp("", ""))


def simulated(
    needs: Mapping[K, Sequence[K]],
    seconds: Mapping[K, float],
    limits: Mapping[str, int],
    labels: Mapping[K, tuple[str, ...]],
    begun: Collection[K] = (),
) -> Iterator[tuple[K, float, float]]:
    """Each task of a graph, and when it would begin and end: seconds of virtual time, in the order of the ends.

    Args:
        needs: key → the needs that are to run too, in an order in which needs come first.
        seconds: key → how long the task takes.
        limits: label → slots; the workers are a label like any other.
        labels: key → its labels.
        begun: keys of tasks that run already, which come first; their `seconds` are what is left of them.

    Costs about 5 µs per task.
    """
    plan: Plan[K] = Plan(Limits(limits))
    for key in begun:
        plan.add(Node(key, (), labels.get(key, ())))
    for key, above in needs.items():
        if key not in begun:
            plan.add(Node(key, tuple(above), labels.get(key, ())))
    now, order = 0.0, 0
    running: list[tuple[float, int, float, Ticket[K]]] = []
    while plan.open():
        while (due := plan.due(now)) is not None:
            plan.judge(due, _STALE, now)
        while (ticket := plan.take()) is not None:
            order += 1
            heappush(running, (now + seconds.get(ticket.key, 0.0), order, now, ticket))
        now, _, began, ticket = heappop(running)
        plan.settle(ticket, _DONE, now)
        yield ticket.key, began, now


def wall_time(
    needs: Mapping[K, Sequence[K]],
    seconds: Mapping[K, float],
    limits: Mapping[str, int],
    labels: Mapping[K, tuple[str, ...]],
    begun: Collection[K] = (),
) -> float:
    """Seconds until the last task has ended; see `simulated`."""
    return max((ended for _, _, ended in simulated(needs, seconds, limits, labels, begun)), default=0.0)


def critical_path(needs: Mapping[K, Sequence[K]], seconds: Mapping[K, float]) -> list[K]:
    """The chain of needs that takes longest, first to last: no number of workers makes the graph faster than it."""
    longest: dict[K, float] = {}
    before: dict[K, K] = {}
    for key, above in needs.items():
        known = [need for need in above if need in longest]
        slowest = max(known, key=longest.__getitem__, default=None)
        longest[key] = seconds.get(key, 0.0)
        if slowest is not None:
            before[key] = slowest
            longest[key] += longest[slowest]
    if not longest:
        return []
    path = [max(reversed(longest), key=longest.__getitem__)]
    while path[-1] in before:
        path.append(before[path[-1]])
    return path[::-1]
