"""What the document of the library promises, one test a promise; 001-NN is its number in the list of promises."""
from __future__ import annotations

import gzip
import json
import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from importlib.metadata import metadata, version
from pathlib import Path
from typing import Any

import pytest

import taskproc
from taskproc import Cache, Const, DefaultArguments, FailedTaskError, FutureDict, FutureList, LocalExecutor, Task
from tests.pace import limit
from tests.plain import plain
from tests.promises.graphs import (
    Choose,
    Downstream,
    Echo,
    Environment,
    Fails,
    Labelled,
    Many,
    MultiOutput,
    Printer,
    Score,
    Squeezed,
    Stored,
    Summary,
    Where,
    WithGpu,
    WithMemory,
    Writer,
)

NAME = "tests.promises.graphs"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache(tmp_path / "cache") as made:
        yield made


EXECUTORS: dict[str, Callable[[], Executor | None]] = {
    "resident": lambda: None,
    "processes": lambda: ProcessPoolExecutor(2),
    "threads": lambda: ThreadPoolExecutor(2),
    "local": LocalExecutor,
}


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    made = EXECUTORS[request.param]()
    yield made
    if made is not None:
        made.shutdown()


def run(task: Any, **options: Any) -> Any:
    """The result, in this thread unless told otherwise."""
    return task.run_graph(**{"executor": LocalExecutor(), **options})


def test_001_01_the_package_is_called_taskproc() -> None:
    """The distribution that is installed is the package that is imported."""
    assert version("taskproc")
    assert metadata("taskproc")["Name"] == "taskproc"


def test_001_02_composed_of_small_tasks(cache: Cache) -> None:
    """Tasks compose: a task takes tasks that take tasks."""
    assert run(Many([Echo(Echo(Echo(3))), Echo(4)]))[0] == [3, 4]


def test_001_03_runs_distributed(cache: Cache) -> None:
    """Without being told, work goes to more than one process, none of them this one."""
    places = {pid for pid, _ in Many([Where(i) for i in range(40)]).run_graph(max_workers=2)[0]}

    assert os.getpid() not in places
    assert 1 <= len(places) <= 2


@pytest.mark.slow
def test_001_04_threads_processes_and_commands(cache: Cache) -> None:
    """Threads run in this process, processes and commands in others."""
    with ThreadPoolExecutor(1) as threads:
        in_thread, name = Where(1).run_graph(executor=threads)[0]
    with ProcessPoolExecutor(1) as processes:
        in_process, _ = Where(2).run_graph(executor=processes)[0]
    behind_command, _ = run(Labelled(3), prefixes={"remote": "env"})[0]

    assert in_thread == os.getpid()
    assert name.startswith("ThreadPoolExecutor")
    assert len({in_thread, in_process, behind_command}) == 3


def test_001_05_caches_are_made_reused_and_discarded(cache: Cache) -> None:
    """A result is stored, reused without running, and gone after clear_task."""
    task = Echo(5)
    first, again = run(task)[1]["stats"], run(task)[1]["stats"]
    task.clear_task()

    assert first == {f"{NAME}.Echo": 1}
    assert again == {}
    assert not task.task_is_done()


def test_001_06_is_typed() -> None:
    """The package says that it is typed; tests/typing holds what type checkers infer."""
    assert Path(taskproc.__file__).with_name("py.typed").exists()


def test_001_07_a_failing_task_is_not_retried(cache: Cache, tmp_path: Path) -> None:
    """Automatic retry is a non-feature: a task that fails ran once."""
    with pytest.raises(FailedTaskError):
        run(Fails("exception"))

    failed = list(Path(cache.path, f"{NAME}.Fails").rglob("failed.*"))
    assert len(failed) == 1


def test_001_08_is_newer_than_0_21() -> None:
    """The version goes on from the document's."""
    major, minor = (int(part) for part in version("taskproc").split(".")[:2])

    assert (major, minor) > (0, 21)


def test_001_09_a_task_is_a_class(cache: Cache) -> None:
    """A subclass of Task with a plain docstring; its __init__ declares what it needs."""
    assert Choose.__doc__ == "Compute the binomial coefficient."
    assert isinstance(Choose(2, 1), Task)


def test_001_10_attributes_are_upstream_tasks(cache: Cache) -> None:
    """What is an attribute runs before, what is only an argument does not."""

    class Reader(Task):
        def __init__(self, used: Any, unused: Any):
            self.used = used

        def run_task(self) -> Any:
            return self.used.get_result()

    stats = run(Reader(Echo("used"), Echo("unused")))[1]["stats"]

    assert stats[f"{NAME}.Echo"] == 1


def test_001_11_definitions_recurse(cache: Cache) -> None:
    """Choose builds Choose in its __init__, and equal ones are one."""
    assert Choose(4, 2).left.right is Choose(4, 2).right.left  # type: ignore[attr-defined]


def test_001_12_const_is_a_computed_value(cache: Cache) -> None:
    """A Const needs no run."""
    assert Const({"a": [1, (2,)]}).get_result() == {"a": [1, (2,)]}
    assert run(Echo(Const(7)))[1]["stats"] == {f"{NAME}.Echo": 1}


def test_001_13_init_may_raise(cache: Cache) -> None:
    """An error in __init__ reaches the caller as it is, with a note of what was being built."""
    with pytest.raises(ValueError, match=re.escape("(1, 2)")) as caught:
        Choose(1, 2)

    assert [plain(note) for note in caught.value.__notes__] == ["while building Choose(n=1, k=2)"]  # type: ignore[attr-defined]


def test_001_13_a_nested_error_says_for_whom(cache: Cache) -> None:
    """The note names the task that was built, and those that asked for it."""

    class Outer(Task):
        def __init__(self, n: int):
            self.inner = Choose(n, n + 1)

        def run_task(self) -> None: ...

    with pytest.raises(ValueError, match=r"\(3, 4\)") as caught:
        Outer(3)

    name = Outer.__qualname__
    notes = caught.value.__notes__  # type: ignore[attr-defined]
    assert [plain(note) for note in notes] == [f"while building Choose(n=3, k=4), needed by {name}(n=3)"]


def test_001_14_run_task_is_delayed(cache: Cache) -> None:
    """Building runs nothing, and a result asked for too early says what to do."""
    task = Choose(4, 2)

    with pytest.raises(taskproc.MissingResult, match="run_graph"):
        task.get_result()
    assert run(task)[0] == task.get_result() == 6


def test_001_15_tasks_are_built_in_a_cache(tmp_path: Path) -> None:
    """Path and str are taken; outside a cache the error says what to do."""
    for path in (tmp_path / "a", str(tmp_path / "a")):
        with Cache(path):
            Echo(1)

    with pytest.raises(RuntimeError, match=r"with Cache\("):
        Echo(1)


def test_001_16_run_graph_gives_result_and_statistics(cache: Cache, executor: Executor | None) -> None:
    """Choose(6, 3): 20 from 15 tasks; then none; then 4 after Choose(3, 3) was cleared; on every executor."""
    task = Choose(6, 3)
    name = f"{NAME}.Choose"

    answer, cold = task.run_graph(executor=executor)
    _, warm = task.run_graph(executor=executor)
    Choose(3, 3).clear_task()
    _, cleared = task.run_graph(executor=executor)

    assert answer == 20
    assert cold["stats"] == {name: 15}
    assert (warm["stats"], warm["hits"]) == ({}, {name: 15})
    assert (cleared["stats"], cleared["hits"]) == ({name: 4}, {name: 11})


SCRIPT = '''
from taskproc import Task, DefaultArguments

class Part(Task):
    def __init__(self, number):
        self.number = number
    def run_task(self):
        return self.number

class Main(Task):
    """Adds numbers up."""
    def __init__(self, n: int = 3):
        self.parts = [Part(i) for i in range(n)]
    def run_task(self):
        print("total", sum(part.get_result() for part in self.parts))

DefaultArguments(rate_limits={"script.Part": 1}, prefix={}).populate()

if __name__ == "__main__":
    Main.cli()
'''


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of Python, run in `folder`."""
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=limit(60), check=False
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


@pytest.mark.slow
def test_001_17_18_23_script_and_module_share_one_cache(script: Path) -> None:
    """A script runs by path and as a module; what one computed the other reuses; the entry task alone runs again."""
    as_script = command(script.parent, "-m", "taskproc", "script.py", "-o", "cache", "--n", "4")
    as_module = command(script.parent, "-m", "script", "-o", "cache", "--n", "4")

    assert (as_script.returncode, as_module.returncode) == (0, 0), as_script.stderr + as_module.stderr
    assert as_script.stdout == as_module.stdout == "total 6\n"
    parts = list((script.parent / "cache" / "script.Part" / "results").glob("*/result.*"))
    mains = list((script.parent / "cache" / "script.Main" / "results").glob("*/result.*"))
    assert (len(parts), len(mains)) == (4, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prefix", "prefixes"])
def test_001_19_default_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The defaults that a script populates are those of its command line, under either name of the option."""
    defaults = DefaultArguments(**{name: {"first": "env A=1"}}, rate_limits={"first": 1})

    with pytest.raises(SystemExit) as ended:
        Environment.cli(["--name", "A", "-o", str(tmp_path / "cache")], defaults)

    assert ended.value.code == 0
    assert capsys.readouterr().out == "'1'\n"


@pytest.mark.slow
def test_001_20_help_for_both_forms(script: Path) -> None:
    """--help shows the entry's docstring, its parameters and the options of the document's release."""
    by_path = command(script.parent, "-m", "taskproc", "script.py", "--help")
    by_module = command(script.parent, "-m", "script", "--help")

    for shown in (by_path, by_module):
        assert shown.returncode == 0
        assert "Adds numbers up." in shown.stdout
        for option in (
            "--output", "--loglevel", "--num-workers", "--kwargs", "--prefix", "--rate-limits", "--exec-type",
            "--disable-detect-source-change", "--dont-force-entrypoint", "--dont-show-progress", "--n",
        ):  # fmt: skip
            assert option in shown.stdout


@pytest.mark.slow
def test_001_21_22_cli_runs_the_entry_task_again(script: Path) -> None:
    """The entry task runs at every call, unless told otherwise; nothing touches a terminal that is not there."""
    first = command(script.parent, "-m", "taskproc", "script.py", "-o", "cache")
    second = command(script.parent, "-m", "taskproc", "script.py", "-o", "cache", "--dont-force-entrypoint")

    assert first.returncode == second.returncode == 0
    assert "stty" not in first.stderr + second.stderr
    assert len(list((script.parent / "cache" / "script.Main" / "results").glob("*/result.*"))) == 1


def test_001_24_25_tasks_and_consts_are_futures(cache: Cache) -> None:
    """Futures of every kind are arguments like any other."""
    for future in (Echo(1), Const(1), MultiOutput()["foo"][0], FutureList([Const(1)]), FutureDict({"a": Const(1)})):
        assert future.to_json()
        assert run(Many([future]))[0] == [future.get_result()]


def test_001_26_27_lists_and_dicts_of_futures(cache: Cache, executor: Executor | None) -> None:
    """FutureList and FutureDict aggregate, in order, also what was appended; a plain dict argument may be wrapped."""
    scores, named = Summary({"a": Score(1), "b": Score(2)}).run_graph(executor=executor)[0]

    assert scores == [i / 2 for i in range(11)]
    assert named == {"a": 0.5, "b": 1.0}


def test_001_26_they_are_the_list_and_dict_that_they_are(cache: Cache) -> None:
    """len, iteration, append, slices and updates are those of list and dict."""
    some: FutureList[int] = FutureList([Const(1)])
    some.append(Const(2))
    named: FutureDict[str, int] = FutureDict({"a": Const(1)})
    named["b"] = Const(2)

    assert (len(some), [each.get_result() for each in some]) == (2, [1, 2])
    assert (list(named), named.get_result()) == (["a", "b"], {"a": 1, "b": 2})
    assert isinstance(some, list)
    assert isinstance(named, dict)


def test_001_28_29_elements_of_futures_are_futures(cache: Cache, executor: Executor | None) -> None:
    """Indices chain, may be any value that has a key, and are attributes directly."""
    assert Downstream().run_graph(executor=executor)[0] == ([42, 43], 43)


def test_001_28_a_future_cannot_be_iterated(cache: Cache) -> None:
    """list(task) would never end, so it is refused."""
    with pytest.raises(TypeError, match="cannot be iterated"):
        list(MultiOutput())  # type: ignore[call-overload]


def test_001_30_arguments_are_json_with_futures(cache: Cache) -> None:
    """Positional, by keyword and nested; futures within them are upstream."""

    class Nested(Task):
        def __init__(self, first: int, second: str, bar: Any):
            self.bar = bar

        def run_task(self) -> Any:
            return self.bar["baz"].get_result(), self.bar["other"]

    answer, stats = run(Nested(1, "foo", bar={"baz": Echo("x"), "other": [1, 2, 3]}))

    assert answer == ("x", [1, 2, 3])
    assert stats["stats"] == {f"{NAME}.Echo": 1, Nested.task_name: 1}


def test_001_31_other_objects_come_as_outputs(cache: Cache) -> None:
    """An argument that has no canonical form is refused with its path and the remedy."""
    with pytest.raises(TypeError, match=r"(?s)model.*output of a task"):
        Echo({"model": threading.Lock()})


def test_001_32_outputs_are_what_cloudpickle_takes(cache: Cache, executor: Executor | None) -> None:
    """A lambda is a result like any other, and so is None."""

    class Maker(Task):
        def run_task(self) -> Callable[[int], int]:
            return lambda x: x + 1

    assert Maker().run_graph(executor=executor)[0](1) == 2
    assert Echo(None).run_graph(executor=executor)[0] is None
    assert Echo(None).run_graph(executor=executor)[1]["stats"] == {}


def test_001_33_task_directory(cache: Cache, executor: Executor | None) -> None:
    """There before the run and empty; fresh for each attempt; there again after clear_task; gone with all tasks."""
    task = Writer()
    before = task.task_directory
    assert list(before.iterdir()) == []

    path = task.run_graph(executor=executor)[0]
    assert path == task.task_directory / "model.bin" == before / "model.bin"
    again = task.run_graph(executor=executor, force=True)[0]
    assert again.read_text() == path.read_text() == "[]"

    task.clear_task()
    assert list(before.iterdir()) == []
    Writer.clear_all_tasks()
    assert not before.exists()


def test_001_34_labels(cache: Cache) -> None:
    """One label or several; the name of the class is the first."""
    assert WithMemory.task_labels == (f"{NAME}.WithMemory", "memory")
    assert WithGpu(1, "x").task_labels == (f"{NAME}.WithGpu", "gpu", "memory")


@pytest.mark.parametrize(("limits", "gpu", "memory"), [({"gpu": 1, "memory": 2}, 1, 2), ({f"{NAME}.WithGpu": 1}, 1, 8)])
def test_001_35_rate_limits(cache: Cache, tmp_path: Path, limits: dict[str, int], gpu: int, memory: int) -> None:
    """At no moment run more than allowed, by label and by name, all labels of a task at once."""
    for name in ("gpu", "memory"):
        (tmp_path / name).mkdir()
    parts = [WithGpu(i, str(tmp_path / "gpu")) for i in range(8)]
    others = [WithMemory(i, str(tmp_path / "memory")) for i in range(8)]

    with ThreadPoolExecutor(8) as threads:
        seen = Many([*parts, *others]).run_graph(executor=threads, rate_limits=limits)[0]

    assert max(seen[:8]) <= gpu
    assert max(seen[8:]) <= memory


@pytest.mark.slow
def test_001_36_37_prefixes(cache: Cache) -> None:
    """A labelled task runs behind its command; both names of the option are taken; an empty one is an interpreter."""
    assert run(Environment("A"), prefixes={"first": "env A='1 2'"})[0] == "1 2"
    assert run(Environment("B"), prefix={"second": ["env", "B=2"]})[0] == "2"
    assert run(Labelled(9), prefixes={"remote": ""})[0][0] != os.getpid()


@pytest.mark.slow
def test_001_38_the_leftmost_label_wins(cache: Cache) -> None:
    """Of several matching commands that of the leftmost label is used; the class name is a label, too."""
    given = {"second": "env A=second", "first": "env A=first"}

    assert run(Environment("A"), prefixes=given)[0] == "first"
    assert run(Environment("A"), prefixes={**given, f"{NAME}.Environment": "env A=name"}, force=True)[0] == "name"


def test_001_38_a_limit_below_one_is_refused(cache: Cache) -> None:
    """It would wait for ever."""
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        run(Echo(1), rate_limits={"gpu": 0})


def test_001_39_the_callers_executor_stays_open(cache: Cache) -> None:
    """It is used and not shut down; threads run in this process."""
    with ThreadPoolExecutor(1) as threads:
        Echo(1).run_graph(executor=threads)

        assert threads.submit(lambda: 1).result() == 1


def test_001_40_clearing_reruns_what_lies_below(cache: Cache) -> None:
    """Even a task whose input has an equal value again is run, all the way down."""
    task = Echo(Echo(Echo(1)))
    run(task)
    Echo(1).clear_task()

    assert run(task)[1]["stats"] == {f"{NAME}.Echo": 3}


def test_001_41_clearing_a_class(cache: Cache) -> None:
    """All results of the class are gone, those of others stay."""
    run(Many([Echo(1), Echo(2), Score(1)]))
    Echo.clear_all_tasks()

    assert (Echo(1).task_is_done(), Echo(2).task_is_done(), Score(1).task_is_done()) == (False, False, True)


def test_001_42_the_folder_can_be_managed_by_hand(cache: Cache) -> None:
    """A folder a class and a task, readable arguments; removing one is clearing it."""
    task = Echo((1, 2), other="x")
    run(task)
    folder = cache.path / task.task_name / "results" / str(task.task_id)

    assert json.loads((folder / "args.json").read_text())["args"] == task.task_args
    subprocess.run(["rm", "-r", str(folder)], check=True)
    assert run(task)[1]["stats"] == {f"{NAME}.Echo": 1}


def test_001_43_results_are_gzip(cache: Cache) -> None:
    """gzip and pickle alone read a result; the level is that of the class, 9 by default, 0 for none."""
    run(Many([Squeezed(), Stored()]))
    squeezed, stored = (
        next((cache.path / task.task_name / "results" / str(task.task_id)).glob("result.*"))
        for task in (Squeezed(), Stored())
    )

    assert (Squeezed.task_compress_level, Stored.task_compress_level) == (9, 0)
    assert squeezed.stat().st_size < 10_000 < 1_000_000 <= stored.stat().st_size
    with gzip.open(squeezed) as file:
        assert pickle.load(file) == bytes(1_000_000)


def test_001_44_51_properties_and_methods(cache: Cache, tmp_path: Path) -> None:
    """All of the table, with its meanings; the class properties also outside a cache."""
    task = Echo(3, other=[1])

    assert Echo.task_name == task.task_name == f"{NAME}.Echo"
    assert isinstance(task.task_id, int)
    assert task.task_id != Echo(4).task_id
    assert task.task_args == {"value": 3, "other": [1]}
    assert json.loads(json.dumps(task.to_json()))["args"] == task.task_args
    assert task.task_directory.is_dir()
    assert task.run_task() == 3
    assert (task.task_stdout.read_text(), task.task_stderr.read_text()) == ("", "")
    outside: list[str] = []
    thread = threading.Thread(target=lambda: outside.append(Echo.task_name))
    thread.start()
    thread.join()
    assert outside == [f"{NAME}.Echo"]


def test_001_44_built_ins_are_not_overridden() -> None:
    """A class that uses one of these names is refused when it is defined."""
    with pytest.raises(taskproc.BuildError, match="task_id"):

        class Wrong(Task):
            def task_id(self) -> int:  # type: ignore[override]
                return 0


@pytest.mark.parametrize("kind", ["resident", "processes", "threads"])
def test_001_44_output_goes_to_the_logs(cache: Cache, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What a task prints is in its own files, also while it runs; from processes also what its children print."""
    executor = EXECUTORS[kind]()
    seen = Many([Printer(i) for i in range(6)]).run_graph(executor=executor)[0]

    for i in range(6):
        stdout = Printer(i).task_stdout.read_text()
        assert f"python {i}\n" in stdout
        assert Printer(i).task_stderr.read_text() == f"error {i}\n"
        assert f"python {i}\n" in seen[i]
        assert (f"child {i}\n" in stdout) == (kind != "threads")
    printed = capfd.readouterr()
    assert "python" not in printed.out
    assert "error" not in printed.err
    if executor is not None:
        executor.shutdown()


def test_001_44_local_runs_leave_output_alone(cache: Cache, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is captured where the calling thread runs the task."""
    run(Printer(1))

    assert "python 1\n" in capsys.readouterr().out


@pytest.mark.slow
def test_001_44_the_callers_log_is_there(cache: Cache) -> None:
    """What the prefix command prints is in logs of its own, empty if it printed nothing."""
    task, quiet = Labelled(1), Labelled(2)
    run(task, prefixes={"remote": ["sh", "-c", 'echo queued; echo wait >&2; exec "$@"', "sh"]})
    run(quiet, prefixes={"remote": ""})

    assert (task.task_stdout_caller.read_text(), task.task_stderr_caller.read_text()) == ("queued\n", "wait\n")
    assert (quiet.task_stdout_caller.read_text(), quiet.task_stderr_caller.read_text()) == ("", "")
    assert list(quiet.task_stdout_caller.parent.glob("stdout_caller.*")) != []
