"""Graphs that are deep or wide."""
from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taskproc import Cache, LocalExecutor, Task


class Link(Task):
    """Counts what lies above it, on one path."""

    def __init__(self, number: int, above: Sequence[Any]):
        self.number, self.above = number, above

    def run_task(self) -> int:
        return 1 + (self.above[0].get_result() if self.above else 0)


def build_and_judge(folder: Path, width: int, depth: int) -> tuple[float, float]:
    """Layers of `width` tasks that need two each of the layer before: seconds a task to build, and to judge."""
    with Cache(folder / "cache"):
        started = time.perf_counter()
        layer = [Link(number, ()) for number in range(width)]
        for _ in range(depth - 1):
            layer = [Link(number, [layer[number], layer[number - 1]][: min(2, width)]) for number in range(width)]
        root = Link(-1, layer)
        built = time.perf_counter()
        _, stats = root.run_graph(dry_run=True)
        judged = time.perf_counter()
    assert stats["stats"][Link.task_name] == width * depth + 1, stats  # type: ignore[typeddict-item]
    return (built - started) / (width * depth), (judged - built) / (width * depth)


def run_chain(folder: Path, length: int) -> int:
    """A chain of tasks, run to its end."""
    with Cache(folder / "cache"):
        link = Link(0, ())
        for number in range(1, length):
            link = Link(number, [link])
        return link.run_graph(executor=LocalExecutor())[0]
