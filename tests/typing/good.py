"""What type checkers infer from right uses of the public names. Read by them, never run."""
# pyright: strict, reportUnusedExpression=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from typing_extensions import assert_type

from taskproc import (
    Cache,
    Command,
    Const,
    Future,
    FutureDict,
    FutureList,
    InputFile,
    LocalExecutor,
    RunStats,
    Task,
    batch,
)
from taskproc.commands import CommandResult, DataDirectory, Finished, Output, TaskManager


class Choose(Task):
    left: Future[int]
    right: Future[int]

    def __init__(self, n: int, k: int):
        if 0 < k < n:
            self.left = Choose(n - 1, k - 1)
            self.right = Choose(n - 1, k)
        else:
            self.left = Const(0)
            self.right = Const(1)

    def run_task(self) -> int:
        assert_type(self.left.get_result(), int)
        return self.left.get_result() + self.right.get_result()


class MultiOutput(Task):
    def run_task(self) -> dict[str, int]:
        return {"foo": 42}


class Nested(Task):
    def run_task(self) -> dict[str, list[tuple[str, float]]]:
        return {"scores": [("a", 0.5)]}


class Split(TypedDict):
    rows: list[float]
    count: int


class Splits(Task):
    def run_task(self) -> Split:
        return {"rows": [1.0], "count": 1}


class Range(NamedTuple):
    low: int
    name: str


class Ranges(Task):
    def run_task(self) -> Range:
        return Range(0, "a")


class Pair(Task):
    def run_task(self) -> tuple[int, str, bytes]:
        return 1, "a", b""


class Nothing(Task):
    def run_task(self) -> None:
        return None


class Opaque(Task):
    task_label = "gpu"

    def run_task(self) -> Path:
        return self.task_directory / "model.bin"


class ManyLabels(Task):
    task_label = ["gpu", "memory"]
    task_compress_level = 0

    def run_task(self) -> bytes:
        return b""


@dataclass
class AsDataclass(Task):
    upstream: Future[int]
    factor: int = 2

    def run_task(self) -> int:
        return self.upstream.get_result() * self.factor


class Downstream(Task):
    def __init__(self, upstream: Future[int], other: Any = None):
        self.upstream = upstream
        self.dep = MultiOutput()["foo"]

    def run_task(self) -> float:
        assert_type(self.dep.get_result(), int)
        return self.upstream.get_result() / 2


class Summary(Task):
    def __init__(self, scores: dict[str, Future[float]]):
        self.score_list = FutureList([Downstream(Const(i)) for i in range(10)])
        self.score_dict = FutureDict(scores)

    def run_task(self) -> float:
        assert_type(self.score_dict.get_result(), dict[str, float])
        assert_type(self.score_list.get_result(), list[float])
        return sum(self.score_dict.get_result().values()) / len(self.score_dict.get_result())


def the_result_of_a_run() -> None:
    with Cache("./cache"):
        assert_type(Choose(6, 3).run_graph(), tuple[int, RunStats])
        answer, stats = Choose(6, 3).run_graph()
        assert_type(answer, int)
        assert_type(stats["stats"], dict[str, int])
        assert_type(stats["seconds"], dict[str, float])
        assert_type(stats["elapsed"], float)
        assert_type(Nothing().run_graph()[1], RunStats)
        assert_type(AsDataclass(Choose(6, 3)).run_graph(), tuple[int, RunStats])
        assert_type(Choose(6, 3).get_result(), int)
        assert_type(Opaque().get_result(), Path)


def the_keywords_of_a_run() -> None:
    task = Choose(6, 3)
    task.run_graph(executor=ThreadPoolExecutor(), rate_limits={"gpu": 1, "memory": 2})
    task.run_graph(executor=LocalExecutor(), prefixes={"gpu": "jbsub -wait"}, detect_source_change=False)
    task.run_graph(prefix={"gpu": ""}, max_workers=2, show_progress=True, on_error="continue")
    task.run_graph(force=True, on_error="stop")
    assert_type(task.run_graph(dry_run=True), tuple[None, RunStats])


def a_task_is_a_future() -> None:
    future: Future[int] = Choose(6, 3)
    Downstream(Choose(6, 3))
    Downstream(Const(3), other="x")
    Downstream(MultiOutput()["foo"])
    Downstream(FutureList([Const(1)])[0])
    Downstream(future)
    wider: Future[float] = Choose(6, 3)
    Summary({"a": wider, "b": Downstream(Const(3))})


def an_element_is_a_future() -> None:
    element: Future[int] = MultiOutput()["foo"]
    scores: Future[list[tuple[str, float]]] = Nested()["scores"]
    first: Future[tuple[str, float]] = Nested()["scores"][0]
    assert_type(element.get_result(), int)
    assert_type(scores.get_result(), list[tuple[str, float]])
    assert_type(first.get_result(), tuple[str, float])
    assert_type(Const([1, 2])[0].get_result(), int)
    assert_type(Const({"a": 1.0})["a"].get_result(), float)


def an_element_of_a_tuple_has_its_own_type(index: int, either: Future[tuple[float, ...]]) -> None:
    assert_type(Pair()[0].get_result(), int)
    assert_type(Pair()[1].get_result(), str)
    assert_type(Pair()[-1].get_result(), bytes)
    assert_type(Ranges()[0].get_result(), int)
    assert_type(Ranges()[1].get_result(), str)
    assert_type(Const((1, 2.0))[1].get_result(), float)
    assert_type(either[0].get_result(), float)
    assert_type(either[index].get_result(), float)
    Downstream(Pair()[0])
    pair: Future[tuple[int, str, bytes]] = Pair()
    assert_type(pair[1].get_result(), str)


def an_element_of_a_typed_dict_may_be_passed_on() -> None:
    Downstream(Splits()["count"])
    rows: Future[list[float]] = Splits()["rows"]
    del rows


class Mean(Task):
    def __init__(self, scores: Mapping[str, Future[float]], more: Sequence[Future[float]]):
        self.scores = FutureDict(scores)
        self.more = FutureList(more)

    def run_task(self) -> float:
        assert_type(self.scores.get_result(), dict[str, float])
        assert_type(self.more.get_result(), list[float])
        return 0.0


def mappings_and_sequences_of_futures_are_covariant() -> None:
    whole_numbers = {"a": Choose(6, 3)}
    Mean(whole_numbers, [Choose(6, 3), Choose(6, 2)])
    Mean({"a": MultiOutput()["foo"]}, list(whole_numbers.values()))


def what_lists_and_dicts_of_futures_hold() -> None:
    numbers = FutureList([Choose(6, 3), Choose(6, 2)])
    assert_type(numbers.get_result(), list[int])
    numbers.append(Choose(5, 2))
    assert_type(len(numbers), int)
    chosen = FutureDict({1: Choose(6, 3)})
    assert_type(chosen.get_result(), dict[int, int])
    chosen[2] = Const(4)
    as_list: Future[list[int]] = numbers
    as_dict: Future[dict[int, int]] = chosen
    as_sequence: Future[Sequence[int]] = numbers
    as_mapping: Future[Mapping[int, int]] = chosen
    nested = FutureDict({"a": FutureList([Choose(6, 3)])})
    assert_type(nested.get_result(), dict[str, list[int]])
    for each in numbers:
        assert_type(each.get_result(), int)
    del as_list, as_dict, as_sequence, as_mapping


def a_command_is_a_task() -> None:
    first = Command(["tool", Path("a"), 1, InputFile("b"), Choose(6, 3), MultiOutput()["foo"], ("--out=", Output("c"))])
    names = ["a", "b"]
    command = Command(names, stdin=first, env={"A": 1, "B": Const("b")}, inputs=[first.output("c"), "d", Path("e")])
    assert_type(command.run_graph(), tuple[CommandResult, RunStats])
    assert_type(first.output("c").get_result(), Path)
    assert_type(command.get_result().text, str)
    Command(["cat", *[first, command], DataDirectory(command)], cwd=Output("."), version=["cat", "--version"])


class Manager(TaskManager):
    def update_task_descriptors(self) -> None:
        self.task_descriptors.append(["true"])

    def final_task_descriptor(self) -> list[str] | None:
        return None


def a_manager_keeps_records() -> None:
    manager = Manager(2, {"proc_poll_dt": 1})
    assert_type(manager.run(), None)
    assert_type(manager.finished, list[Finished])
    assert_type(manager.update_tasks_status(), "int | None")


def the_built_in_names() -> None:
    task = Choose(6, 3)
    assert_type(Choose.task_name, str)
    assert_type(task.task_name, str)
    assert_type(task.task_id, int)
    assert_type(task.task_directory, Path)
    assert_type(task.task_stdout, Path)
    assert_type(task.task_stderr, Path)
    assert_type(task.task_stdout_caller, Path)
    assert_type(task.task_stderr_caller, Path)
    assert_type(task.task_is_done(), bool)
    assert_type(task.clear_task(), None)
    assert_type(Choose.clear_all_tasks(), None)


class Scale(batch.Task[float, float]):
    def process_item(self, item: float, factor: float = 2.0) -> float:
        return item * factor


class ScaleAll(batch.Task[float, float]):
    def process_items(self, items: Sequence[float], *, factor: float = 2.0) -> list[float]:
        return [item * factor for item in items]


def a_batch() -> None:
    manager = batch.TaskManager(Scale, batch.OnlineMeanResultHandler(), 4, True, n_cores_worker=2)
    assert_type(manager.submit_tasks(range(9), 3, kwargs_task={"factor": 3.0}, kwargs_remote={"num_gpus": 1}), None)
    assert_type(manager.max_concurrent_tasks, int)
    with ThreadPoolExecutor() as executor:
        batch.TaskManager(lambda: ScaleAll(), executor=executor).submit_tasks([1.0], at_once=True)
    saver = batch.HDF5Saver("results.h5", dataset_name="scaled")
    batch.TaskManager(ScaleAll, executor="processes").submit_tasks([1.0], saver=saver, resume=True)
    assert_type(saver.saved().results, int)


@Cache(Path("cache"))
def decorated(n: int) -> int:
    return Choose(n, 2).run_graph()[0]


assert_type(decorated(4), int)
