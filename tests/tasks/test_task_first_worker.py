"""The first worker of a run is started when its graph is judged, and only for runs that need one."""
from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from taskproc.errors import OptionError
from taskproc.kernel.model import Event
from taskproc.run import process
from taskproc.store.cache import Cache
from taskproc.tasks.task import Task


class Leaf(Task):
    def __init__(self, number: int = 0):
        self.number = number

    def run_task(self) -> int:
        return os.getppid()  # the keeper of its worker


class Sees:
    """Notes which workers exist when a task is judged."""

    def __init__(self) -> None:
        self.pids: list[int] = []

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        if event.kind in ("stale", "fresh"):
            self.pids += [worker._process.pid for _, _, worker in process._early]

    def close(self) -> None:
        pass


@pytest.mark.slow
def test_a_task_that_was_never_run_has_its_worker_when_it_is_judged(cache: Cache) -> None:
    """This worker runs it; the same for a forced task. A fresh task has none."""
    seen = [Sees() for _ in range(3)]
    ran = [Leaf().run_graph(watchers=[each], force=force)[0] for each, force in zip(seen, [False, False, True])]

    assert [[ran[0]], [], [ran[2]]] == [each.pids for each in seen]
    assert ran[0] == ran[1] != ran[2]
    assert [] == process._early


@pytest.mark.parametrize("options", [
    {"executor": ThreadPoolExecutor(1)}, {"prefixes": {Leaf.task_name: ""}}, {"dry_run": True},
], ids=["executor", "prefix", "dry run"])  # fmt: skip
def test_what_runs_elsewhere_has_none(cache: Cache, options: dict[str, Any]) -> None:
    """Nor does a task that does not run at all."""
    seen = Sees()
    Leaf().run_graph(watchers=[seen], **options)

    assert [] == seen.pids


def test_what_is_refused_leaves_none(cache: Cache) -> None:
    """The worker ends with the call."""
    with pytest.raises(OptionError):
        Leaf().run_graph(on_error="perhaps")  # type: ignore[call-overload]  # on purpose

    assert [] == process._early
