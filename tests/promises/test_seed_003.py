"""What the document of mtasklite promises of maps, one test a promise; 003-NN is its number in the list of promises."""
from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskproc import ArgumentPassing, ExceptionBehaviour, ItemErrors, Pool, delayed_init, is_exception
from taskproc.processes import pqdm as pqdm_processes
from taskproc.threads import pqdm as pqdm_threads

pytestmark = pytest.mark.slow

Bars = Callable[..., Any]


class NoBar:
    """Stands for tqdm where it is not installed."""

    def __init__(self, iterable: Iterable[Any], desc: str = "", disable: bool = False, file: Any = None):
        self.iterable, self.desc, self.disable = iterable, desc, disable

    def __iter__(self) -> Iterator[Any]:
        return iter(self.iterable)

    def close(self) -> None:
        pass


@pytest.fixture(params=["processes", "threads"])
def pqdm(request: pytest.FixtureRequest) -> Bars:
    found = pqdm_processes if request.param == "processes" else pqdm_threads
    return lambda *args, **kwargs: found(*args, **{"tqdm_class": NoBar, **kwargs})


def square(a: int) -> int:
    return a * a


@delayed_init
class Square:
    """As in the document, and it tells where it was made."""

    def __init__(self, proc_id: int, made: str = ""):
        self.proc_id, self.calls = proc_id, 0
        if made:
            (Path(made) / f"{proc_id}-{os.getpid()}-{threading.get_ident()}").touch()

    def __call__(self, a: int) -> int:
        self.calls += 1
        return a * a


def test_003_01_a_map_with_a_bar_or_without(pqdm: Bars) -> None:
    """The same values from both."""
    input_arr = [1, 2, 3, 4, 5]

    with pqdm(input_arr, square, 4) as pbar:
        result = list(pbar)

    assert [1, 4, 9, 16, 25] == result == list(Pool(square, 4)(input_arr))


def test_003_02_objects_that_are_made_in_their_workers(pqdm: Bars, tmp_path: Path) -> None:
    """Once, each with its own arguments, which the shell remembers; the class is marked and nothing else."""
    workers = [Square(0, str(tmp_path)), Square(1, str(tmp_path))]

    with pqdm(range(100), workers, chunk_size=5) as pbar:
        assert [a * a for a in range(100)] == list(pbar)

    made = [path.name.split("-") for path in tmp_path.iterdir()]
    assert len(made) == len({number for number, *_ in made}) <= 2
    assert (os.getpid(), threading.get_ident()) not in {(int(pid), int(thread)) for _, pid, thread in made}
    assert ((0, str(tmp_path)), {}) == (workers[0].args, workers[0].kwargs)


def test_003_03_names_and_places() -> None:
    """`processes.pqdm` and `threads.pqdm` take input, function, n_jobs in that order; Pool stands beside them."""
    for place in (pqdm_processes, pqdm_threads):
        assert [1, 4] == list(place([1, 2], square, 2, tqdm_class=NoBar))
    assert [1, 4] == list(Pool(square, 2, use_threads=True)([1, 2]))


def test_003_04_lazy_and_bounded(pqdm: Bars) -> None:
    """The input is read as far as needed; `bounded=False` reads all of it."""
    numbers, few = itertools.count(), iter(range(50_000))

    with pqdm(numbers, square, 2) as pbar:
        assert [0, 1, 4] == list(itertools.islice(pbar, 3))
    with pqdm(few, square, 2, bounded=False) as pbar:
        next(pbar)
        assert next(few, None) is None

    assert next(numbers) < 1_000


def test_003_05_nothing_leaks_without_with(pqdm: Bars) -> None:
    """Better than promised: a map that is left in the middle has no workers, whatever the mode."""
    before = workers()

    for value in pqdm(itertools.count(), square, 2, exception_behaviour="immediate"):
        if value > 10:
            break

    assert before == workers()


def workers() -> tuple[str, list[str]]:
    """The processes that this one has started, and the threads of its maps."""
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("taskproc-map")]
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text(), threads


def multiply(a: int, b: int) -> int:
    return a * b


def test_003_06_three_ways_to_pass_arguments(pqdm: Bars) -> None:
    """A value, a row of values, values by name."""
    assert [1, 4] == list(pqdm([1, 2], square, 2))
    assert [2, 12] == list(pqdm([(1, 2), [3, 4]], multiply, 2, argument_type=ArgumentPassing.AS_ARGS))
    assert [2, 12] == list(pqdm([{"a": 1, "b": 2}, {"a": 3, "b": 4}], multiply, 2, ArgumentPassing.AS_KWARGS))


def test_003_07_the_bar_of_tqdm(pqdm: Bars, capsys: pytest.CaptureFixture[str]) -> None:
    """`tqdm.auto`, 0 to 100 % with a length, a counter without one; its arguments stand beside those of the pool."""
    tqdm = pytest.importorskip("tqdm.auto", reason="needs tqdm").tqdm

    with pqdm([1, 2, 3], square, 2, tqdm_class=None, desc="sized", chunk_size=1) as sized:
        list(sized)
    with pqdm(iter([1, 2, 3]), square, 2, tqdm_class=tqdm, desc="unsized") as unsized:
        list(unsized)
    list(pqdm([1], square, 1, tqdm_class=tqdm, desc="silent", disable=True))

    shown = capsys.readouterr().err
    assert "sized: 100%" in shown
    assert "3/3" in shown
    assert "unsized: 3it" in shown
    assert "silent" not in shown


def odd_fails(a: int) -> int:
    if a % 2:
        raise ValueError(a)
    return a


def test_003_08_three_ways_with_exceptions(pqdm: Bars) -> None:
    """By default in place of the value; at once; or all together at the end. Either spelling is heard."""
    ignored = list(pqdm([0, 1, 2, 3], odd_fails, 2))
    assert [False, True, False, True] == [is_exception(value) for value in ignored]

    with pytest.raises(ValueError, match="1"):
        list(pqdm([0, 1, 2, 3], odd_fails, 2, exception_behaviour=ExceptionBehaviour.IMMEDIATE))
    with pytest.raises(ItemErrors) as caught:
        list(pqdm([0, 1, 2, 3], odd_fails, 2, exception_behavior=ExceptionBehaviour.DEFERRED))
    assert [1, 3] == [error.args[0] for error in caught.value.exceptions]
    with pytest.raises(ValueError, match="1"):
        list(Pool(odd_fails, 2)([0, 1]))


def test_003_09_ordered_and_unordered(pqdm: Bars, tmp_path: Path) -> None:
    """In order a slow item holds up those behind it; without order it does not, so it may even wait for them."""

    def slow_first(a: int) -> int:
        while a == 0 and not (tmp_path / "go").exists():
            pass
        return a

    values = pqdm(range(6), slow_first, 2, is_unordered=True, chunk_size=1)
    first = next(values)
    (tmp_path / "go").touch()

    assert first != 0
    assert [0, 1, 2, 3, 4, 5] == sorted([first, *values])
    assert [0, 1, 2, 3, 4, 5] == list(pqdm(range(6), slow_first, 2))


def test_003_10_mixed_workers_and_all_arguments(pqdm: Bars) -> None:
    """A list of functions and objects, beside which `n_jobs` counts for nothing; every documented argument is taken."""
    values = pqdm(
        input_iterable=range(20), worker_or_worker_arr=[square, Square(1), Square(2)], n_jobs=1,
        argument_type="single_arg", bounded=True, exception_behaviour="ignore", chunk_size=2, chunk_prefill_ratio=3,
        is_unordered=False, join_timeout=5.0,
    )

    assert [a * a for a in range(20)] == list(values)


def test_003_11_functions_that_cannot_be_imported(pqdm: Bars) -> None:
    """Lambdas, closures and what a notebook defines, with their imports at the top: nothing is imported inside."""
    import math

    factor = 3

    assert [3, 6] == list(pqdm([1, 2], lambda a: math.floor(a * factor), 2))


def test_003_12_timeouts_and_one_worker(pqdm: Bars, request: pytest.FixtureRequest) -> None:
    """What the document hopes for: `task_timeout` ends an item. One worker is a worker, as its notes say."""
    [where] = set(pqdm([1, 2], lambda a: (os.getpid(), threading.get_ident()), 1))
    assert (os.getpid(), threading.get_ident()) != where
    if "threads" in request.node.name:
        return

    def hangs(a: int) -> int:
        while a == 1:
            pass
        return a

    values = list(pqdm([0, 1, 2], hangs, 2, task_timeout=0.3))

    assert [0, 2] == [values[0], values[2]]
    assert isinstance(values[1], TimeoutError)
