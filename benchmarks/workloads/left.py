"""How good the time left is: `python left.py FOLDER`, a real run, asked on its way; the first run knows nothing.

Three classes whose costs differ by 100, which sleep: 300 of 0.5 ms, 60 of 50 ms, 12 of 5 s, on 4 workers. The lines of
the second run say what was expected, the range, and how long it took indeed; `error` is the share by which it was off.
"""
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskproc import Cache, Event, FutureList, Outline, Task

WORKERS = 4


class Read(Task):
    """The shortest."""

    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> int:
        """Sleep."""
        time.sleep(0.0005)
        return self.number


class Clean(Task):
    """A hundred times as long."""

    def __init__(self, number: int):
        self.files = FutureList([Read(5 * number + part) for part in range(5)])

    def run_task(self) -> int:
        """Sleep."""
        time.sleep(0.05)
        return sum(self.files.get_result())


class Train(Task):
    """A hundred times as long again."""

    def __init__(self, number: int):
        self.parts = FutureList([Clean(5 * number + part) for part in range(5)])

    def run_task(self) -> int:
        """Sleep."""
        time.sleep(5.0)
        return sum(self.parts.get_result())


class Main(Task):
    """All of them."""

    def __init__(self, count: int = 12):
        self.models = FutureList([Train(number) for number in range(count)])

    def run_task(self) -> int:
        """Add them."""
        return sum(self.models.get_result())


class Asks:
    """Asks at each event how long it will still take."""

    def __init__(self) -> None:
        self.answers: list[tuple[float, Any]] = []

    def begin(self, outline: Outline) -> None:
        """Remember when it began."""
        self.left, self.began = outline.left, time.monotonic()

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        """Ask."""
        self.answers.append((time.monotonic() - self.began, self.left()))

    def close(self) -> None:
        """Know how long it took."""
        self.whole = time.monotonic() - self.began


def run(asks: Asks) -> None:
    """All of it."""
    Main().run_graph(watchers=[asks], max_workers=WORKERS)


def main() -> None:
    """Two runs; the lines are about the second."""
    with Cache(Path(sys.argv[1])):
        first, second = Asks(), Asks()
        run(first)
        # As after an edit: the records stay, and no result is fresh
        Read.task_version = Clean.task_version = Train.task_version = Main.task_version = "2"
        run(second)
    for share in (0.1, 0.25, 0.5, 0.75):
        when, left = min(second.answers, key=lambda answer: abs(answer[0] - share * second.whole))
        if left is not None:
            truth = second.whole - when
            print(json.dumps({"at": round(share, 2), "left": round(left.likely, 2), "low": round(left.low, 2),
                              "high": round(left.high, 2), "truth": round(truth, 2),
                              "error": round(left.likely / truth - 1, 3)}))  # fmt: skip


if __name__ == "__main__":
    main()
