"""Classes change, and their keys stay: parameters that do not count, new ones at an old meaning, pinned names."""
from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import BuildError, UnnamableValue
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.future import FutureList
from taskproc.tasks.task import Task

pytestmark = pytest.mark.usefixtures("cache")


def key(task: Any) -> str:
    return str(task._taskproc.place.key)


def run(task: Any) -> tuple[Any, int]:
    """The result, and how many tasks ran. The source does not count: some of these classes replace others."""
    value, stats = task.run_graph(executor=LocalExecutor(), detect_source_change=False)
    return value, sum(stats["stats"].values())


class Train(Task):
    task_ignored_args = ("n_jobs", "options")

    def __init__(self, rate: float, n_jobs: Any = 1, options: Any = None):
        self.rate = rate
        self.n_jobs = n_jobs
        self.options = options

    def run_task(self) -> Any:
        return self.rate, self.n_jobs


class Group(Task):
    def __init__(self, *parts: Any):
        self.parts = FutureList(parts)

    def run_task(self) -> list[Any]:
        return self.parts.get_result()


# ---------------------------------------------------------------- parameters that do not count


def test_an_ignored_argument_makes_no_other_task(cache: Cache) -> None:
    """The instance that the cache built first is used; another run uses the stored result."""
    task = Train(0.1, n_jobs=1)

    assert Train(0.1, 8) is task
    assert Train(0.2, 1) is not task
    assert run(Train(0.1, 8)) == ((0.1, 1), 1)
    cache.instances.clear()
    assert run(Train(0.1, 8, {"a": [1]})) == ((0.1, 1), 0)


def test_an_ignored_argument_need_not_be_named() -> None:
    """A lock or a callback has no form; it is left out of the texts about the arguments."""
    loop: list[Any] = []
    loop.append(loop)
    task = Train(0.1, options=(threading.Lock(), loop))

    assert run(task) == ((0.1, 1), 1)
    assert task.task_args == {"rate": 0.1, "n_jobs": 1}
    assert task.options[1] is loop


def test_what_becomes_of_an_ignored_argument_does_not_count_under_its_name(cache: Cache) -> None:
    """`self.n_jobs = n_jobs or …` is not a setting of the task."""

    class Some(Train):
        def __init__(self, n_jobs: int):
            super().__init__(0.1, n_jobs)
            self.n_jobs = n_jobs * 1000

    count = []
    for number in (1, 2):
        cache.instances.clear()
        count.append(run(Some(number))[1])

    assert count == [1, 0]


def test_the_code_of_an_ignored_function_does_not_count(cache: Cache) -> None:
    """Neither does the function itself."""

    def one() -> None: ...

    def other() -> int:
        return 2

    count = []
    for function in (one, other):
        cache.instances.clear()
        _, stats = Train(0.1, options=function).run_graph(executor=LocalExecutor())
        count.append(sum(stats["stats"].values()))

    assert count == [1, 0]


def test_ignored_parameters_are_inherited_unless_others_are_set() -> None:
    """A subclass may have fewer parameters, and may count all of them."""

    class Heir(Train):
        def __init__(self, n_jobs: int = 1):
            super().__init__(0.1, n_jobs)

    class Counts(Train):
        task_ignored_args = ()

    class OneName(Train):
        task_ignored_args = "rate"

    assert Heir(1) is Heir(2)
    assert Counts(0.1, 1) is not Counts(0.1, 2)
    assert OneName(0.1) is OneName(0.2)
    assert OneName(0.1, 1) is not OneName(0.1, 2)


# ---------------------------------------------------------------- new parameters at their old meaning


class Past(Task):
    task_pinned_name = "project.Fit"

    def __init__(self, rate: float):
        self.rate = rate

    def run_task(self) -> float:
        return self.rate


class Present(Task):
    task_pinned_name = "project.Fit"
    task_default_since = {"dropout": 0.0, "layers": [1, (2,)]}

    def __init__(self, rate: float, dropout: Any = 0.5, layers: Any = (1,)):
        self.rate = rate
        self.dropout = dropout
        self.layers = layers

    def run_task(self) -> float:
        raise AssertionError("it was computed in the past")


@pytest.mark.parametrize("layers", [[1, (2,)]])
def test_a_new_parameter_at_its_old_meaning_keeps_the_key(cache: Cache, layers: Any) -> None:
    """Results stored before the parameter existed are used, whatever its default is today."""
    past = Past(0.1)
    run(past)

    task = Present(0.1, dropout=0.0, layers=layers)

    assert (key(task), task.task_directory) == (key(past), past.task_directory)
    assert run(task) == (0.1, 0)
    assert task.task_args["dropout"] == 0.0


@pytest.mark.parametrize("dropout", [0, -0.0, False, None, 0.5, "0.0"])
def test_another_value_or_type_is_another_key(dropout: Any) -> None:
    """0, 0.0 and False differ here as everywhere."""
    assert key(Present(0.1, dropout, [1, (2,)])) != key(Past(0.1))
    assert key(Present(0.1, dropout)) != key(Present(0.1, 0.0))
    assert key(Present(0.1, 0.0, [1, 2])) != key(Past(0.1))


def test_old_meanings_are_inherited_and_added_to() -> None:
    """Along the bases; for each parameter, the class itself takes precedence."""

    class Base(Task):
        task_default_since = {"a": 1, "b": 1}

        def __init__(self, a: int = 0, b: int = 0, c: int = 0):
            pass

        def run_task(self) -> None: ...

    class Heir(Base):
        task_default_since = {"b": 2, "c": 1}

    class Fewer(Base):
        def __init__(self, a: int = 0):
            super().__init__()

    def stand_in(name: str) -> str:
        space = {"__init__": lambda self: None, "run_task": Base.run_task, "task_pinned_name": name}
        return key(type(Task)("Bare", (Task,), space)())

    assert key(Heir(1, 2, 1)) == stand_in(Heir.task_name)
    assert key(Heir(1, 1, 1)) != stand_in(Heir.task_name)
    assert key(Fewer(1)) == stand_in(Fewer.task_name)


def test_parameters_of_any_kind_may_be_named() -> None:
    """Also variable parameters, positional and named."""

    class Many(Task):
        task_default_since = {"rest": (), "named": {}}

        def __init__(self, first: int, *rest: int, **named: int):
            pass

        def run_task(self) -> None: ...

    class One(Task):
        task_pinned_name = Many.task_name

        def __init__(self, first: int):
            pass

        def run_task(self) -> None: ...

    assert key(Many(1)) == key(One(1))
    assert len({key(Many(1)), key(Many(1, 2)), key(Many(1, x=2))}) == 3


# ---------------------------------------------------------------- pinned names


def test_a_pinned_name_is_the_name(cache: Cache) -> None:
    """In the key, the folder and the labels, wherever the class is and whatever its own name is."""

    class Renamed(Train):
        task_pinned_name = Train.task_name

    assert Renamed.task_name == Train.task_name
    assert Renamed.task_labels == (Train.task_name,)
    assert key(Renamed(0.1)) == key(Train(0.1))
    assert Past(0.1).task_directory.relative_to(cache.path).parts[0] == "project.Fit"


MODEL = """
from taskproc import Task
class Model(Task):
    def __init__(self, rate: float):
        self.rate = rate
    def run_task(self) -> float:
        return self.halved()
    def halved(self) -> float:
        return self.rate / 2
"""


@pytest.mark.parametrize(
    ("name", "change", "runs"),
    [
        ("moved", ("", ""), 0),
        ("renamed", ("class Model", "class Fit"), 1),  # another name is other code; `accept` says that it is not
        ("edited", ("rate / 2", "rate / 3"), 1),
    ],
)
def test_a_class_that_was_moved_keeps_its_results(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, change: tuple[str, str], runs: int
) -> None:
    """Its code stays under its old name."""
    monkeypatch.syspath_prepend(tmp_path)
    old, new = f"{name}_from", f"{name}_to"
    pinned = MODEL.replace("class Model(Task):", f"class Model(Task):\n    task_pinned_name = '{old}.Model'")
    (tmp_path / f"{old}.py").write_text(MODEL)
    (tmp_path / f"{new}.py").write_text(pinned.replace(*change))
    there, here = vars(import_module(old)), vars(import_module(new))

    there["Model"](0.5).run_graph(executor=LocalExecutor())
    _, stats = (here.get("Fit") or here["Model"])(0.5).run_graph(executor=LocalExecutor())

    assert sum(stats["stats"].values()) == runs


def test_a_pinned_name_is_not_inherited() -> None:
    """A subclass is another task."""

    class Heir(Past): ...

    assert Heir.task_name == f"{__name__}.{Heir.__qualname__}"
    assert key(Heir(0.1)) != key(Past(0.1))


@pytest.mark.parametrize("rates", [(0.1, 0.1), (0.1, 0.2)])
def test_two_classes_of_one_name_in_a_graph_are_refused(rates: tuple[float, float]) -> None:
    """The result of one would be used for the other, also if a version stands for the source of both."""

    class One(Past):
        task_pinned_name = "project.Shared"
        task_version = "1"

    class Two(Past):
        task_pinned_name = "project.Shared"
        task_version = "1"

    with pytest.raises(BuildError, match=r"One and .*Two of one graph are both called 'project.Shared': pin the name"):
        run(Group(One(rates[0]), Two(rates[1])))


# ---------------------------------------------------------------- errors


def init(self: Any, rate: float, n_jobs: int = 1) -> None: ...


def made(**attributes: Any) -> Any:
    return type(Task)("Made", (Task,), {"__init__": init, "run_task": lambda self: None, **attributes})


REFUSED = [
    ({"task_ignored_args": ("n_job",)}, r"^task_ignored_args of Made: 'n_job' is not .* Did you mean 'n_jobs'\?$"),
    ({"task_ignored_args": "verbose"}, r"'verbose' is not a parameter of its __init__. It has rate, n_jobs$"),
    ({"task_ignored_args": ["rate", 3]}, r"^task_ignored_args of Made must be a list of parameter names, got \['rate'"),
    ({"task_ignored_args": None}, "must be a list of parameter names, got None"),
    ({"task_ignored_args": {"rate": 1}}, "must be a list of parameter names, got"),
    ({"task_default_since": {"rates": 1}}, r"^task_default_since of Made: 'rates' is not .* Did you mean 'rate'\?$"),
    ({"task_default_since": {"self": 1}}, "'self' is not a parameter"),
    ({"task_default_since": [("rate", 1)]}, r"^task_default_since of Made must be a dict of .* values, got \["),
    ({"task_default_since": {1: 1}}, r"must be a dict of parameter names and values, got \{1: 1\}"),
    ({"task_default_since": {"rate": object()}}, "^task_default_since 'rate' of Made has no canonical form"),
    ({"task_pinned_name": ""}, "^task_pinned_name of Made must be a string that is not empty, got ''$"),
    ({"task_pinned_name": 3}, "must be a string that is not empty, got 3"),
    ({"task_pinned_name": b"a"}, "must be a string"),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "message"), REFUSED)
def test_a_slip_is_refused_where_it_is_written(attributes: dict[str, Any], message: str) -> None:
    """When the class is defined, with a message that says what to do."""
    with pytest.raises((BuildError, UnnamableValue), match=message):
        made(**attributes)


def slip_of_a_dataclass() -> Any:
    @dataclasses.dataclass
    class Made(Task):
        task_ignored_args = ("n_job",)
        n_jobs: int = 1

        def run_task(self) -> None: ...

    return Made


def slip_where_the_base_has_the_parameters() -> Any:
    class Made(Train):
        task_default_since = {"n_job": 1}

    return lambda: Made(0.1)


def slip_without_parameters() -> Any:
    class Made(Task):
        task_ignored_args = "n_job"

        def run_task(self) -> None: ...

    return Made


@pytest.mark.parametrize(
    "slip", [slip_of_a_dataclass, slip_where_the_base_has_the_parameters, slip_without_parameters]
)
def test_where_no_init_is_written_yet_the_first_instance_tells(slip: Callable[[], Any]) -> None:
    """`@dataclass` writes it after the class is defined."""
    build = slip()

    with pytest.raises(BuildError, match="'n_job' is not a parameter of its __init__"):
        build()


def test_a_dataclass_may_say_what_counts() -> None:
    """As any other class, also with slots."""

    @dataclasses.dataclass(slots=True)
    class Made(Task):
        task_ignored_args = ("n_jobs",)
        task_default_since = {"rate": 0.5}
        rate: float
        n_jobs: int = 1

        def run_task(self) -> None: ...

    assert Made(0.5, 1) is Made(0.5, 2)
    assert Made(0.1) is not Made(0.2)
