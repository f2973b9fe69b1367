"""COUNT nodes through the plan and the loop, a thousand chains side by side, with nothing to run: see fan_in.py."""
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

from taskproc.drive import drive
from taskproc.kernel.limits import Limits
from taskproc.kernel.model import Done, Node, Outcome, Reason, Stale, Stamp, Ticket, Verdict
from taskproc.kernel.plan import Plan

WIDTH = 1000
DONE = Done(Stamp("order", "value"))
STALE = Stale(Reason("new", "it is new"))


class Nothing:
    """A runner whose jobs have ended as soon as they are asked for, and the work that gives it such jobs."""

    def __init__(self, count: int):
        self.count = count
        self.ended: deque[Ticket[int]] = deque()

    def feed(self, plan: Plan[int]) -> None:
        """Add all nodes, once."""
        for key in range(self.count):
            plan.add(Node(key, (key - WIDTH,) if key >= WIDTH else (), ("Node", "worker")))
        self.count = 0

    def judge(self, key: int) -> Verdict:
        """All are new."""
        return STALE

    def claim(self, ticket: Ticket[int]) -> Outcome[int] | None:
        """All are ours."""
        return None

    def job(self, ticket: Ticket[int]) -> Callable[[], Outcome[int]]:
        """Nothing."""
        return lambda: DONE

    def close(self, ticket: Ticket[int], outcome: Outcome[int]) -> Outcome[int]:
        """As it was said."""
        return outcome

    def capacity(self) -> int:
        """As many as two workers would have in flight."""
        return 200

    def start(self, ticket: Ticket[int], job: Callable[[], Outcome[int]]) -> None:
        """It has ended."""
        self.ended.append(ticket)

    def wait(self, timeout: float | None) -> Sequence[tuple[Ticket[int], Outcome[int]]]:
        """The oldest."""
        return [(self.ended.popleft(), DONE)]

    def recall(self) -> None:
        """All have begun."""

    def stop(self) -> None:
        """Nothing runs."""


def main(count: int) -> dict[str, float]:
    """Seconds for all, and how many were done."""
    start = time.perf_counter()
    plan: Plan[int] = Plan(Limits({"worker": 200}))
    nothing = Nothing(count)
    done = sum(event.kind == "done" for event in drive(plan, nothing, nothing))
    return {"nodes": time.perf_counter() - start, "answer": done}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[2]))))
