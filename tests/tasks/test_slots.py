"""The names of slots: which task has which, and where it is shown."""
from __future__ import annotations

import os
from typing import Any

import pytest

from taskproc import Cache, LocalExecutor, OptionError, Task
from taskproc.tasks.labels import Slots, slot_variables


class OnGpu(Task):
    """Returns its slot and what the environment says about it."""

    task_label = ["gpu", "disk"]

    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> tuple[dict[str, str], str | None]:
        return self.task_slots, os.environ.get("CUDA_VISIBLE_DEVICES")


class All(Task):
    def __init__(self, count: int):
        self.parts = [OnGpu(number) for number in range(count)]

    def run_task(self) -> list[Any]:
        return [part.get_result() for part in self.parts]


def test_names_are_given_out_once_and_come_back() -> None:
    """No two tasks have one name; a returned name is used again; numbers have no names."""
    slots = Slots({"gpu": ["0", "3"], "memory": 2})

    first, second = slots.take("a", ["gpu", "memory"]), slots.take("b", ["gpu"])
    slots.give_back("a")
    slots.give_back("a")
    third = slots.take("c", ["gpu"])

    assert {"gpu": 2, "memory": 2} == slots.counts
    assert ({"gpu": "0"}, {"gpu": "3"}, {"gpu": "0"}) == (first, second, third)
    assert {} == slots.take("d", ["memory"])


@pytest.mark.parametrize("limits", [["gpu"], {"gpu": ["0", "0"]}, {"gpu": [0]}, {"gpu": ("a", None)}])
def test_what_is_no_list_of_names_is_refused(limits: Any) -> None:
    """The error names the label or the option."""
    with pytest.raises(OptionError, match="gpu"):
        Slots(limits)


def test_an_empty_list_is_a_limit_below_one(cache: Cache) -> None:
    """The task would wait forever, as with a limit of 0."""
    with pytest.raises(OptionError, match="'gpu' must be at least 1"):
        OnGpu(1).run_graph(executor=LocalExecutor(), rate_limits={"gpu": []})


def test_the_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the slot of the label gpu is set there, and only inside the block."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with slot_variables({"gpu": "3", "disk": "a"}):
        inside = os.environ["CUDA_VISIBLE_DEVICES"]

    assert ("3", "7") == (inside, os.environ["CUDA_VISIBLE_DEVICES"])


def test_each_running_task_has_a_slot(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """In workers, it is in the environment, too; outside a run there is none."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    answers, _ = All(4).run_graph(max_workers=2, rate_limits={"gpu": ["0", "3"], "disk": ["x"]})

    for slots, variable in answers:
        assert slots["gpu"] in ("0", "3")
        assert "x" == slots["disk"]
        assert slots["gpu"] == variable
    assert {} == OnGpu(1).task_slots


def test_in_this_process_only_the_task_is_told(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment belongs to all threads of the process."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    assert ({"gpu": "5"}, None) == OnGpu(1).run_graph(executor=LocalExecutor(), rate_limits={"gpu": ["5"]})[0]
