"""Laws of watching a run: a watcher gets the number of tasks, what waits for what, and why tasks ran."""
from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from taskproc.kernel.model import Event
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.future import FutureList
from taskproc.tasks.task import Task
from taskproc.watch.json_lines import JsonLines
from taskproc.watch.stream import WORKERS, Outline


class Part(Task):
    task_label = ["gpu"]

    def __init__(self, number: int, other: int = 0):
        self.number = number

    def run_task(self) -> int:
        return self.number


class Free(Part):
    task_label = ()


class Whole(Task):
    def __init__(self, parts: list[Any]):
        self.parts = FutureList(parts)

    def run_task(self) -> int:
        return sum(self.parts.get_result())


class Listener:
    """Stores the events, and what waits whenever a task starts."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.events: list[Event[Any]] = []
        self.totals: Mapping[str, int] = {}
        self.waiting: list[Mapping[str, int]] = []

    def begin(self, outline: Outline) -> None:
        self.heard.append("begin")
        self.totals, self.waits = outline.totals, outline.waits

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        self.heard.append(event.kind)
        self.events.append(event)
        if event.kind == "started":
            self.waiting.append(self.waits())

    def close(self) -> None:
        self.heard.append("close")


def test_the_outline_comes_first(cache: Cache) -> None:
    """With the number of tasks of each class."""
    listener = Listener()

    Whole([Part(1), Part(2)]).run_graph(executor=LocalExecutor(), watchers=[listener])

    assert {Part.task_name: 2, Whole.task_name: 1} == listener.totals
    assert ("begin", "close") == (listener.heard[0], listener.heard[-1])


def test_what_waits_is_known_with_its_label(cache: Cache) -> None:
    """A limit of the user comes before the places of the run, because it delays the task."""
    listener = Listener()

    with ThreadPoolExecutor(1) as executor:
        Whole([*map(Part, range(3)), *map(Free, range(2))]).run_graph(
            executor=executor, rate_limits={"gpu": 1}, watchers=[listener]
        )

    assert {"gpu": 2, WORKERS: 2} == listener.waiting[0]
    assert {} == listener.waits()


def test_what_waits_may_be_asked_for_in_any_thread(cache: Cache) -> None:
    """During the run: a thread writes bars and lines."""
    raised: list[BaseException] = []
    over = threading.Event()
    listener = Listener()

    def ask() -> None:
        try:
            while not over.is_set():
                assert all(count >= 0 for count in listener.waits().values())
        except BaseException as error:  # it is checked below
            raised.append(error)

    listener.waits = dict
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        Whole([Free(number) for number in range(300)]).run_graph(executor=LocalExecutor(), watchers=[listener])
    finally:
        over.set()
        thread.join()

    assert [] == raised


def test_a_reason_is_told_in_words_for_the_class(cache: Cache) -> None:
    """Of upstream tasks it names the classes: a thousand tasks have one reason."""
    Whole([Part(1), Part(2)]).run_graph(executor=LocalExecutor())
    Part(1).clear_task()
    listener = Listener()

    Whole([Part(1), Part(2)]).run_graph(executor=LocalExecutor(), watchers=[listener])

    details = [event.detail for event in listener.events if event.kind == "stale"]
    assert ["no result is stored", "upstream Part changed"] == [detail["summary"] for detail in details]


def test_a_log_for_programs_can_be_had_in_a_program(cache: Cache, tmp_path: Path) -> None:
    """Each line is an object; tasks have the same names as everywhere else."""
    path = tmp_path / "events.jsonl"
    with path.open("w") as file:
        Whole([Part(1)]).run_graph(executor=LocalExecutor(), watchers=[JsonLines(file)])

    events = [json.loads(line) for line in path.read_text().splitlines()]

    assert ["begin", *["stale", "started", "done"] * 2, "end"] == [each["event"] for each in events]
    assert repr(Part(1)) == events[1]["task"]
    assert Part(1)._taskproc.place.key == events[1]["key"]
    assert 2 == events[-1]["done"]


@pytest.mark.parametrize("shows", [True, False])
def test_plain_lines_are_few(cache: Cache, capsys: pytest.CaptureFixture[str], shows: bool) -> None:
    """Sixty short tasks give one table."""
    tasks = Whole([Part(number) for number in range(57)])

    tasks.run_graph(executor=LocalExecutor(), show_progress=shows)

    lines = capsys.readouterr().err.splitlines()
    assert (4 if shows else 0) == len(lines)
    assert not shows or "58 done in " in lines[-1]
