"""The long rows of deaths, signals and kills."""
from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path

from tests.fault.deaths import HARMLESS, RAISING, WAYS, run_cell
from tests.fault.rows import Row
from tests.fault.signals import EXECUTORS, SIGNALS, interrupt, kill_anywhere

DEATHS = ("resident", "fork", "prefix")
THREADS = tuple(way for way in RAISING if way != "memory limit")
MOST_KILLS = 200
SHORTEST_MINUTES = 3.0
FULL_MINUTES = 10.0  # a third of the half hour that the whole takes


def rows(minutes: float) -> list[Row]:
    """F2, F10 and the kills of F1, in about so many minutes: the first two take SHORTEST_MINUTES, kills the rest.

    From FULL_MINUTES on all kills are done, however long they take.

    The program's own output goes nowhere; each fault that was found is printed when it is found.
    """
    started = time.monotonic()
    found = [deaths(), interrupts()]
    until = math.inf if minutes >= FULL_MINUTES else started + 60 * max(minutes, SHORTEST_MINUTES)
    return [*found, kills(until)]


def deaths() -> Row:
    """Each way on each executor that is a process, and in threads and inline what can be caught there."""
    cells: list[tuple[str, str]] = [(way, executor) for executor in DEATHS for way in WAYS]
    cells += [(way, executor) for executor in ("threads", "local") for way in THREADS]
    faults = _tried(cells, lambda cell, folder: run_cell([cell[0]], cell[1], folder))
    processes = [cell for cell in cells if cell[1] in DEATHS]
    good = sum(not faults[cell] for cell in processes)
    rest = len(cells) - len(processes)
    figure = f"{good}/{len(processes)} cells right ({len(HARMLESS)} of {len(WAYS)} ways kill nothing), "
    figure += f"{sum(not faults[cell] for cell in cells) - good}/{rest} of what threads and inline can catch"
    required = "killer named with signal or exit code and memory, siblings kept, reruns lacking only, no hang"
    return "F2", "worker death, each way on each executor", required, figure, not any(faults.values())


def interrupts() -> Row:
    """Three signals, once and twice, on three executors."""
    cells = [(number, twice, executor) for number in SIGNALS for twice in (False, True) for executor in EXECUTORS]
    faults = _tried(cells, lambda cell, folder: interrupt(cell[2], cell[0], cell[1], folder))
    required = "nothing starts, gone in 3 s / 0.5 s (1 s of slack), nobody left, one line, terminal same"
    figure = f"{sum(not some for some in faults.values())}/{len(cells)} cells right"
    return "F10", "signals, once and twice, on each executor", required, figure, not any(faults.values())


def kills(until: float, seed: int = 0) -> Row:
    """SIGKILL of the main process at random moments, until the time is over, at least once for each executor."""
    chance = random.Random(seed)

    def cells() -> Iterator[tuple[str, float]]:
        for number in range(MOST_KILLS):
            if number >= len(EXECUTORS) and time.monotonic() > until:
                return
            yield EXECUTORS[number % len(EXECUTORS)], chance.uniform(0.2, 2.0)

    faults = _tried(cells(), lambda cell, folder: kill_anywhere(cell[0], folder, cell[1]))
    bad = sum(bool(some) for some in faults.values())
    required = f"{len(faults)} random kills: right, nothing finished lost, no hang, nobody left after 2 s"
    return "F1", "SIGKILL of the main process", required, f"{len(faults)} kills, {bad} with faults", not bad


def _tried(cells: Iterable[Hashable], run: Callable[..., list[str]]) -> dict[Hashable, list[str]]:
    """What was found in each cell; an exception is a fault, too."""
    found: dict[Hashable, list[str]] = {}
    for cell in cells:
        with tempfile.TemporaryDirectory(prefix="taskproc-soak-") as folder:
            try:
                found[cell] = run(cell, Path(folder))
            except Exception as error:  # whatever went wrong, the others are to be tried
                found[cell] = [f"{type(error).__name__}: {error}"]
        if found[cell]:
            print(f"{cell}: {found[cell]}", flush=True)
    return found


if __name__ == "__main__":
    import sys

    for row in rows(float(sys.argv[1])):
        print(*row, sep=" | ")
