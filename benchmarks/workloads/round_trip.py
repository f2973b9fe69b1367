"""From submit to settled in a worker process of taskproc, COUNT jobs one after the other: see fan_in.py."""
import json
import sys
import time
from functools import partial

from taskproc.kernel.model import Done, Outcome, Stamp, Ticket
from taskproc.run.inbox import Inbox
from taskproc.run.resident import ResidentRunner


def main(count: int) -> dict[str, float]:
    """Seconds for all, and how many were done; the worker has started before."""
    inbox: Inbox[tuple[Ticket[int], Outcome[int]]] = Inbox()
    runner: ResidentRunner[int, Outcome[int]] = ResidentRunner(inbox, 1)
    job = partial(Done, Stamp("order", "value"))
    done, start = 0, 0.0
    for number in range(count + 1):
        if number == 1:
            start = time.perf_counter()
        runner.start(Ticket(number, number + 1), job)
        while not (endings := runner.wait(None)):
            pass
        done += isinstance(endings[0][1], Done)
    seconds = time.perf_counter() - start
    runner.stop()
    return {"trips": seconds, "answer": done - 1}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[2]))))
