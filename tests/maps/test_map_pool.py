"""A pool does the same in threads and in processes."""
from __future__ import annotations

import gc
import itertools
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from workers import (
    Broken,
    Counter,
    Moved,
    a_lock,
    add,
    an_unloadable,
    buffered,
    exits,
    odd_fails,
    process_and_thread,
    square,
    waits_for,
)

from taskproc import (
    ArgumentPassing,
    ExceptionBehaviour,
    ItemErrors,
    OptionError,
    Pool,
    UnsendableItem,
    delayed_init,
    is_exception,
)

pytestmark = pytest.mark.slow

Make = Callable[..., Pool]


@pytest.fixture(params=["processes", "threads"])
def pool(request: pytest.FixtureRequest) -> Make:
    """Makes pools of one kind."""
    return lambda *args, **kwargs: Pool(*args, use_threads=request.param == "threads", **kwargs)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """After a test there is no worker of its maps, neither a process nor a thread."""
    before = children()
    yield
    gc.collect()
    assert (before, []) == (children(), map_threads())


def children() -> set[str]:
    """Processes that this one has started, and not waited for."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def map_threads() -> list[str]:
    """Those of maps; one that waits for a process may end a moment later than that."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("taskproc-map")]


def test_sized_and_unsized_inputs(pool: Make) -> None:
    """Values in order; a length where the input has one."""
    sized, unsized = pool(square, 2)([1, 2, 3]), pool(square, 2)(iter([1, 2, 3]))

    assert 3 == len(sized)
    assert not hasattr(unsized, "__len__")
    assert [1, 4, 9] == list(sized) == list(unsized)
    assert [] == list(pool(square, 2)([]))


def test_many_small_items(pool: Make) -> None:
    """All of them, in order, or all of them."""
    right = [x * x for x in range(20_000)]

    assert right == list(pool(square, 2)(range(20_000)))
    assert right == sorted(pool(square, 2, is_unordered=True)(iter(range(20_000))))
    assert right == list(pool(square, 2, bounded=False, chunk_size=300, chunk_prefill_ratio=1)(range(20_000)))


def test_how_arguments_are_passed(pool: Make) -> None:
    """As one value, in order, or by name; as a member or as its value."""
    assert [11, 12] == list(pool(add, 1)([1, 2]))
    assert [3, 15] == list(pool(add, 2, ArgumentPassing.AS_ARGS)([(1, 2), [5]]))
    assert [3, 12] == list(pool(add, 2, "kwargs")([{"a": 1, "b": 2}, {"a": 2}]))


def test_ignored_exceptions_stand_in_their_place(pool: Make) -> None:
    """With their class, their text and the traceback of where they were raised; also those of a wrong argument."""
    first, second, third = pool(odd_fails, 2, exception_behaviour="ignore")([0, 1, "x"])

    assert 0 == first
    assert not is_exception(first)
    assert is_exception(second)
    assert "odd: 1" == str(second)
    assert isinstance(third, TypeError)


def test_an_immediate_exception_comes_in_its_place(pool: Make) -> None:
    """Values before it are yielded; no further item is read."""
    numbers = itertools.count()
    given: list[Any] = []

    with pytest.raises(ValueError, match="odd: 1"):
        give_into(given, pool(odd_fails, 2)(numbers))

    assert [0] == given
    assert next(numbers) < 10_000


def give_into(target: list[Any], values: Any) -> None:
    """Append one by one, so that the values before an exception are there."""
    for value in values:
        target.append(value)  # noqa: PERF402


def test_deferred_exceptions_come_together(pool: Make) -> None:
    """In one that holds all; before that each stands in its place."""
    given: list[Any] = []

    with pytest.raises(ItemErrors) as caught:
        give_into(given, pool(odd_fails, 2, exception_behavior=ExceptionBehaviour.DEFERRED)(range(5)))

    assert ["odd: 1", "odd: 3"] == [str(error) for error in caught.value.exceptions]
    assert [0, 2, 4] == [value for value in given if not is_exception(value)]
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), ItemErrors)


def test_an_item_cannot_end_the_program(pool: Make) -> None:
    """SystemExit is how the item has ended."""
    values = list(pool(exits, 2, exception_behaviour="ignore")(range(5)))

    assert [0, 1, 2, 4] == [value for value in values if not is_exception(value)]
    assert isinstance(values[3], RuntimeError)
    assert isinstance(values[3].__cause__, SystemExit)


def test_one_object_for_each_worker(pool: Make, tmp_path: Path) -> None:
    """Made once, in its worker, with its own arguments; it keeps its state from item to item."""
    made = tmp_path / "made"
    workers = [Counter("a", str(made)), Counter("b", str(made)), add]

    values = list(pool(workers, 99, chunk_size=5)(range(300)))

    lines = [line.split() for line in made.read_text().splitlines()]
    assert len(lines) == len({line[0] for line in lines}) == len({(line[1], line[2]) for line in lines})
    for name in "ab":
        counts = [value[2] for value in values if isinstance(value, tuple) and value[0] == name]
        assert [*range(1, len(counts) + 1)] == sorted(counts)
    assert 300 == len(values)


def test_in_a_with_block_of_the_pool_objects_stay(pool: Make) -> None:
    """From one map to the next, if the first has come to its end."""
    with pool(Counter("x"), 1) as made:
        first, second = list(made(range(3))), list(made([5]))

    assert [("x", 0, 1), ("x", 1, 2), ("x", 2, 3)] == first
    assert [("x", 5, 4)] == second
    assert [("x", 5, 1)] == list(made([5]))


def test_a_map_that_was_left_keeps_nothing(pool: Make) -> None:
    """In a block of the pool, too: its pending chunks do not reach the next map."""
    with pool(Counter("x"), 1, chunk_size=1) as made:
        with made(itertools.count()) as first:
            assert ("x", 0, 1) == next(first)

        assert [("x", 5, 1), ("x", 6, 2)] == list(made([5, 6]))


def test_two_maps_of_one_pool_at_once(pool: Make) -> None:
    """Each has workers of its own."""
    with pool(Counter("x"), 1, chunk_size=1) as made:
        assert [(("x", x, x + 1), ("x", x, x + 1)) for x in range(20)] == list(zip(made(range(20)), made(range(20))))


def test_where_items_run(pool: Make, request: pytest.FixtureRequest) -> None:
    """In another thread, or another process, also if there is only one worker."""
    [(process, thread)] = set(pool(process_and_thread, 1)(range(5)))

    if "threads" in request.node.name:
        assert (os.getpid(), True) == (process, thread != threading.get_ident())
    else:
        assert os.getpid() != process


def test_an_object_that_cannot_be_made_ends_the_map(pool: Make) -> None:
    """It is no item's fault, so it is raised in any mode."""
    with pytest.raises(RuntimeError, match="no such device"):
        list(pool([Broken(), square], exception_behaviour="ignore", chunk_size=1)(range(50)))


@pytest.mark.parametrize("leave", ["break", "with", "close", "exception"])
def test_leaving_early_ends_the_workers(pool: Make, leave: str) -> None:
    """Whatever ends the map, nothing is left of it (see the fixture), and its input was read as far as needed."""
    numbers = itertools.count()
    results = pool(square, 2)(numbers)
    assert 0 == next(results)

    if leave == "break":
        for value in results:
            if value > 100:
                break
    elif leave == "with":
        with results:
            next(results)
    elif leave == "close":
        results.close()
        assert [] == list(results)
    else:
        with pytest.raises(ZeroDivisionError), results:
            1 / 0  # noqa: B018
    del results
    assert next(numbers) < 10_000


def test_a_busy_map_can_be_left(tmp_path: Path) -> None:
    """What runs in a process is killed. It would not end by itself."""
    results = Pool(waits_for, 2)(["", str(tmp_path / "never"), ""])

    assert "" == next(results)


def test_a_thread_leaves_the_rest_of_its_chunk() -> None:
    """It cannot be killed, but it begins no further item when its map is left."""
    calls: list[int] = []
    gate = threading.Event()

    def work(x: int) -> int:
        calls.append(x)
        if x == 0:
            time.sleep(0.03)  # so that its value is told before the chunk has ended
        else:
            gate.wait()
        return x

    results = Pool(work, 1, chunk_size=100, use_threads=True, join_timeout=0.01)(range(100))
    assert 0 == next(results)
    results.close()
    gate.set()
    for thread in [thread for thread in threading.enumerate() if thread.name in map_threads()]:
        thread.join()

    assert len(calls) <= 2


def test_a_map_that_was_not_begun_has_no_workers(pool: Make) -> None:
    """The first value that is asked for starts them."""
    before = children()
    made = pool(square, 2)(itertools.count())

    assert (before, []) == (children(), map_threads())
    del made


def test_closures_and_local_classes(pool: Make) -> None:
    """They travel by value, and their instances come back as instances."""

    class Pair:
        def __init__(self, x: int):
            self.x = x

    factor = 3
    method = Pair.__init__

    values = list(pool(lambda pair: Pair(pair.x * factor), 2)([Pair(1), Pair(2)]))

    assert [3, 6] == [value.x for value in values]
    assert {Pair} == {type(value) for value in values}
    assert Pair.__init__ is method


def test_a_buffer_that_is_used_again(pool: Make, request: pytest.FixtureRequest) -> None:
    """In processes an item has the state of its reading, and a value the state of its return."""
    if "threads" in request.node.name:
        pytest.skip("threads share their objects")

    def source() -> Iterator[list[int]]:
        buffer = [0]
        for x in range(3):
            buffer[0] = x
            yield buffer

    values = list(pool(buffered(), 1, chunk_size=3)(source()))

    assert [[[0]], [[0], [1]], [[0], [1], [2]]] == values


def test_what_cannot_travel_costs_itself() -> None:
    """An item, a value that cannot be pickled, and one that cannot be unpickled; the message has the remedy."""
    values = list(Pool(a_lock, 2, exception_behaviour="ignore")([1, threading.Lock(), 2, 3]))
    others = list(Pool(an_unloadable, 2, exception_behaviour="ignore")([1, 2, 3]))

    assert [1, 3] == [value for value in values if not is_exception(value)]
    assert [UnsendableItem, UnsendableItem] == [type(value) for value in values[1:3]]
    assert "or use threads" in str(values[1])
    assert [1, 3] == [others[0], others[2]]
    assert "cannot be unpickled here" in str(others[1])


def test_a_worker_that_cannot_travel_is_refused() -> None:
    """The pool refuses it, and names the remedy."""
    lock = threading.Lock()

    with pytest.raises(UnsendableItem, match="delayed_init"):
        Pool(lambda x: lock, 2)


def test_what_an_object_changes_in_its_process_stays(tmp_path: Path) -> None:
    """The process is its own: environment variables and the working directory are as it has left them."""
    values = set(Pool(Moved(str(tmp_path)), 1, chunk_size=1)(range(5)))

    assert {(str(tmp_path), os.path.realpath(tmp_path))} == values


def test_what_a_worker_prints_is_seen(capfd: pytest.CaptureFixture[str]) -> None:
    """It goes where the main process prints."""

    def speak(x: int) -> None:
        import sys

        print(f"out {x}")
        print(f"err {x}", file=sys.stderr)

    list(Pool(speak, 1)([7]))

    captured = capfd.readouterr()
    assert ("out 7\n", "err 7\n") == (captured.out, captured.err)


def test_delayed_objects_can_be_used_here() -> None:
    """A call creates the object once, from the stored arguments."""
    counter = Counter("here")

    assert [("here", 5, 1), ("here", 6, 2)] == [counter(5), counter(6)]
    assert "Counter('here')" == repr(counter)
    assert (("here",), {}) == (counter.args, counter.kwargs)
    assert Counter is pickle.loads(pickle.dumps(Counter))


WRONG: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "no worker": (([],), {}, "empty list"),
    "not a worker": (([square, 3],), {}, "worker 1 must be a function"),
    "a class that was marked": ((Counter, 2), {}, r"Pass an object of it, Counter\("),
    "no jobs": ((square, 0), {}, "n_jobs must be at least 1, got 0"),
    "half a job": ((square, 1.5), {}, "n_jobs"),
    "passing": ((square, 1, "direct"), {}, "argument_type must be one of 'single_arg', 'args', 'kwargs'"),
    "behaviour": ((square, 1), {"exception_behaviour": "raise"}, "exception_behaviour must be one of 'ignore'"),
    "two behaviours": (
        (square, 1), {"exception_behaviour": "ignore", "exception_behavior": "deferred"}, "pass only one of them"),
    "chunk": ((square, 1), {"chunk_size": 0}, "chunk_size"),
    "prefill": ((square, 1), {"chunk_prefill_ratio": 0}, "chunk_prefill_ratio"),
    "timeout": ((square, 1), {"task_timeout": 0}, "task_timeout must be a number of seconds above zero"),
    "timeout in threads": ((square, 1), {"task_timeout": 1, "use_threads": True}, "Use processes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_refused(case: str) -> None:
    """The pool refuses them by name."""
    args, kwargs, words = WRONG[case]

    with pytest.raises(OptionError, match=words):
        Pool(*args, **kwargs)


def test_only_classes_are_decorated() -> None:
    """Anything else is refused."""
    with pytest.raises(TypeError, match="decorates a class"):
        delayed_init(3)  # type: ignore[arg-type]


def test_a_worker_process_says_that_it_has_no_terminal() -> None:
    """To `breakpoint()`, which would end with a bare BdbQuit."""

    def stop(item: int) -> None:
        breakpoint()  # noqa: T100  # it is what is tried

    with pytest.raises(RuntimeError, match=r"^breakpoint\(\) cannot be used here\. A worker process has no terminal: "):
        list(Pool(stop, 1)([1]))
