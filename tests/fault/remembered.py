"""What is remembered of a cache (store/index.py), against looking at all of it, while it changes in all ways.

A graph of sums is run again and again. In between a task is cleared, forced, damaged or run with other code, by another
process as it were; and before each run it is asked twice what would run: once as usual, once by somebody who remembers
nothing. Both must say the same, each time, and the answer must be right.
"""
from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any, NamedTuple

from taskproc import Cache, LocalExecutor, Task
from taskproc.store import index
from taskproc.store.files import Files
from taskproc.tasks.inspection import preview
from taskproc.tasks.known_versions import KnownVersions
from taskproc.tasks.task_graph import graph_of

PARTS, LAYERS = 12, 3
LONGEST_PAUSE = 0.06  # seconds: twice as long as a time of change must be ago to be believed


class Node(Task):
    """A number of its own, and those of two tasks of the layer above."""

    def __init__(self, layer: int, place: int):
        self.own = layer * PARTS + place
        self.above = [Node(layer - 1, (place + step) % PARTS) for step in range(2)] if layer else []

    def run_task(self) -> int:
        """Add them up."""
        return self.own + sum(node.get_result() for node in self.above)


class Ends(Task):
    """All tasks of the last layer."""

    def __init__(self) -> None:
        self.nodes = [Node(LAYERS, place) for place in range(PARTS)]

    def run_task(self) -> int:
        """Add them up."""
        return sum(node.get_result() for node in self.nodes)


class Found(NamedTuple):
    """How many rounds, how many verdicts were remembered, and what was wrong."""

    rounds: int
    remembered: int
    faults: list[str]


def value(layer: int, place: int) -> int:
    """What a node gives."""
    above = sum(value(layer - 1, (place + step) % PARTS) for step in range(2)) if layer else 0
    return layer * PARTS + place + above


ANSWER = sum(value(LAYERS, place) for place in range(PARTS))


def rounds(path: Path, seed: int, count: int, files: Files | None = None, *, least: int = 1) -> Found:
    """So many, on a new cache in `path`; `files`: by these, and then without pauses."""
    rng, faults, remembered = random.Random(seed), [], 0
    index.LEAST, Node.task_version = least, None
    for number in range(count):
        with Cache(path) as cache:
            if files is not None:
                cache.store.files = files
            deed = _meddle(rng)
            if files is None:
                time.sleep(rng.random() * LONGEST_PAUSE)
            usual, known = _would_run()
            index.LEAST = 1 << 60
            plain, _ = _would_run()
            index.LEAST = least
            remembered += known
            if usual != plain:
                faults.append(f"round {number}, {deed}: {sorted(usual ^ plain)}")
            if rng.random() < 0.7 and Ends().run_graph(executor=LocalExecutor())[0] != ANSWER:
                faults.append(f"round {number}, {deed}: a wrong answer")
    return Found(count, remembered, faults)


def _would_run() -> tuple[set[str], int]:
    """Names of the tasks that would run, and how many verdicts were remembered."""
    known = KnownVersions(graph_of(Ends()), _store())
    stale = {known.graph.name_of(key) for key, _ in preview(known)}
    return stale, sum(not version.record.nonce for version in known.in_use.values())


def _store() -> Any:
    return Ends()._taskproc.cache.store  # type: ignore[attr-defined]  # of a task, which has one


def _meddle(rng: random.Random) -> str:
    """Something that somebody else may do."""
    node = Node(rng.randrange(LAYERS + 1), rng.randrange(PARTS))
    deed = rng.choice(["nothing", "clear", "force", "damage", "version", "rename", "forget"])
    if deed == "clear":
        node.clear_task()
    elif deed == "force":
        node.run_graph(executor=LocalExecutor(), force=True)
    elif deed == "version":
        Node.task_version = rng.choice([None, "2"])
        node.run_graph(executor=LocalExecutor())
        Node.task_version = rng.choice([None, "2"])
    elif deed == "damage" and (version := next(_store().look(node._taskproc.place), None)):  # type: ignore[attr-defined]
        os.rename(version.path, Path(version.path).with_name(f"bad.{version.record.number}"))
    elif deed == "rename":
        _swap(Path(_store().root), rng)
    elif deed == "forget":
        for path in Path(_store().root).glob("*/index"):
            path.write_bytes(path.read_bytes()[: rng.randrange(9999)])
    return deed


def _swap(root: Path, rng: random.Random) -> None:
    """Two tasks have each other's folder."""
    folders = sorted(root.glob("*Node/results/*"))
    if len(folders) > 1:
        one, other = rng.sample(folders, 2)
        one.rename(root / "between")
        other.rename(one)
        (root / "between").rename(other)
