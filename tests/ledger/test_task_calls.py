"""Laws of tasks as calls: one reads what a task is, in a line that does not grow with the graph."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from taskproc.ledger.identifiers import Catalogue
from taskproc.ledger.task_calls import TaskCalls
from taskproc.store.cache import Cache
from taskproc.store.disk import DiskStore


def store_task(cache: Cache, name: str, key: str, args: Any) -> dict[str, Any]:
    """Leave the arguments of a task in the cache; the form by which another one names it."""
    folder = Path(cache.path, name, "results", str(int(key[:16], 16) >> 1))
    folder.mkdir(parents=True)
    (folder / "args.json").write_text(json.dumps({"task": name, "key": key, "args": args}))
    return {"__task__": [name, key]}


def key(number: int) -> str:
    return f"{number:06x}".ljust(32, "0")


@pytest.fixture
def chain(cache: Cache) -> Cache:
    """Five tasks, each of which needs the one before."""
    form: Any = 7
    for number in range(1, 6):
        form = store_task(cache, "study.Step", key(number), {"of": form})
    return cache


def test_a_task_inside_is_a_call_to_some_depth(chain: Cache) -> None:
    """Below that, its id says which it is."""
    calls = TaskCalls(Catalogue(chain.store))

    assert "Step(of=7)" == calls.text("study.Step", key(1), {})
    assert "Step(of=Step(of=Step(of=7)))" == calls.text("study.Step", key(3), {})
    assert "Step(of=Step(of=Step(of=Step#000002)))" == calls.text("study.Step", key(5), {})


def test_long_arguments_lose_their_middle(cache: Cache) -> None:
    """At each level, so a list of a thousand tasks takes no more room than one."""
    forms = [store_task(cache, "study.Load", key(number), {"path": "x" * 500}) for number in range(1, 1001)]
    store_task(cache, "study.Sum", key(2000), {"parts": forms})
    calls = TaskCalls(Catalogue(cache.store), longest=40)

    text = calls.text("study.Sum", key(2000), {})

    assert len("Sum()") + 40 == len(text)
    assert text.startswith("Sum(parts=[Load(path='xx")
    assert text.endswith("x')])")


def test_each_task_is_read_once(chain: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others name it."""
    read = []
    true = DiskStore.arguments
    monkeypatch.setattr(DiskStore, "arguments", lambda store, folder: read.append(1) or true(store, folder))
    calls = TaskCalls(Catalogue(chain.store))

    for _ in range(3):
        calls.text("study.Step", key(3), {})
        calls.text("study.Step", key(2), {})

    assert 3 == len(read)


def test_what_is_not_known_is_an_id(chain: Cache) -> None:
    """A task that was cleared, one whose arguments are torn, and a key that is none."""
    path = Path(chain.path, "study.Step", "results", str(int(key(1)[:16], 16) >> 1), "args.json")
    path.write_text("{")
    calls = TaskCalls(Catalogue(chain.store))

    assert "Step#000001" == calls.text("study.Step", key(1), {})
    assert "Gone#0000ff" == calls.text("study.Gone", key(255), {})
    assert "Odd#none" == calls.text("Odd", "none", {})
    assert "Input(path='a')" == calls.text("taskproc.Input", key(9), {"path": "a"})
