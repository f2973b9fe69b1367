"""What the document of DistributedComputing promises of its task manager, one test a promise, over a network.

004-NN is its number in the list of promises. The manager is a process of its own, and so is who works for it.
"""
from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taskproc.remote import (
    RemoteTaskManager,
    TaskManager,
    TaskManagerTermination,
    TaskRaisedException,
    UnknownToManager,
    connect,
    make_key_file,
)
from tests.pace import limit

pytestmark = pytest.mark.slow

Other = Callable[..., "subprocess.Popen[str]"]

BEFORE = """
import sys, traceback
from taskproc.remote import connect, TaskManagerTermination
manager = connect(*sys.argv[1:3])
"""


@pytest.fixture
def served(tmp_path: Path, environ: dict[str, str]) -> Iterator[tuple[str, Path]]:
    """Address and key of a task manager that is a process of its own."""
    key = tmp_path / "key"
    make_key_file(key)
    command = [sys.executable, "-m", "taskproc.remote", "serve", "--key-file", str(key)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1], key
        server.kill()


@pytest.fixture
def manager(served: tuple[str, Path]) -> Iterator[RemoteTaskManager]:
    """It, as this process sees it."""
    with connect(*served) as manager:
        yield manager


@pytest.fixture
def other(served: tuple[str, Path], environ: dict[str, str]) -> Iterator[Other]:
    """Starts another process that has the same manager and runs a text."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", BEFORE + text, served[0], str(served[1]), *words]
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def printed(process: subprocess.Popen[str]) -> str:
    """What it prints until it ends."""
    out, _ = process.communicate(timeout=limit(60))
    assert process.returncode == 0
    return out.strip()


WORKER = """
process = manager.register_process(None, "a worker")
try:
    while True:
        task_id, tag, parameters = manager.get_any_task(process)
        try:
            result = {"square": lambda x: x * x, "invert": lambda x: 1 / x}[tag](parameters)
        except Exception as error:
            manager.store_exception(task_id, error, traceback.format_exc())
        else:
            manager.store_result(task_id, result)
except TaskManagerTermination:
    manager.unregister_process(process)
"""


def test_004_01_requests_are_handed_out_and_those_of_the_dead_again(manager: RemoteTaskManager, other: Other) -> None:
    """Many threads ask, several processes work; what a process had that disappears is done by another one."""
    dies = other("manager.get_any_task(manager.register_process(0.05)); print('has it', flush=True); input()")
    ids = [manager.add_task_request("square", 1)]
    assert dies.stdout is not None
    assert dies.stdout.readline() == "has it\n"
    dies.kill()
    for _ in range(2):
        other(WORKER)

    with ThreadPoolExecutor(4) as threads:
        ids += threads.map(manager.add_task_request, ["square"] * 40, range(2, 42))
        results = dict(threads.map(lambda _: manager.get_any_result(limit(60))[::2], ids))

    assert sorted(results) == sorted(ids)
    assert sorted(results.values()) == [x * x for x in range(1, 42)]  # type: ignore[type-var]


def test_004_02_a_request_has_an_id(manager: RemoteTaskManager) -> None:
    """A string, `tag_N`, also for who says which process he is."""
    process = manager.register_process()

    assert [manager.add_task_request("add", (1, 2)), manager.add_task_request("add", {}, process)] == ["add_1", "add_2"]


def test_004_03_tasks_are_taken_by_any_or_by_tag(manager: RemoteTaskManager, other: Other) -> None:
    """They wait no more, but run; who finds none blocks until there is one."""
    for tag in "aab":
        manager.add_task_request(tag, tag)
    assert manager.get_task_with_tag("b") == ("b_1", "b")
    assert manager.get_any_task() == ("a_1", "a", "a")
    assert manager.number_of_tasks() == ({"a": 1}, {"a": 1, "b": 1}, {})

    blocked = other("print(manager.get_task_with_tag('late', manager.register_process()))")
    while manager.number_of_active_processes() == 0:
        assert blocked.poll() is None
    manager.add_task_request("late", 5)

    assert printed(blocked) == "('late_1', 5)"
    with pytest.raises(TimeoutError):
        manager.get_task_with_tag("b", timeout=0.01)


def test_004_04_results_are_taken_by_any_or_by_tag(manager: RemoteTaskManager, other: Other) -> None:
    """They are there no more; what raised is raised, with all that is known of it."""
    other(WORKER)
    for tag, parameters in (("square", 3), ("square", 4), ("invert", 0)):
        manager.add_task_request(tag, parameters)

    with pytest.raises(TaskRaisedException) as caught:
        manager.get_result_with_tag("invert", limit(60))
    results = [manager.get_result_with_tag("square", limit(60)), manager.get_any_result(limit(60))]

    assert results == [("square_1", 9), ("square_2", "square", 16)]
    error = caught.value
    assert (error.task_id, error.tag, type(error.exception)) == ("invert_1", "invert", ZeroDivisionError)
    assert "Traceback (most recent call last)" in error.traceback
    assert "ZeroDivisionError: division by zero" in error.traceback
    assert manager.number_of_tasks() == ({}, {}, {})


def test_004_05_results_and_exceptions_are_stored(manager: RemoteTaskManager) -> None:
    """The task runs no more, and is finished; nobody answers it a second time."""
    for _ in range(2):
        manager.add_task_request("a", 0)
    good, bad = manager.get_any_task()[0], manager.get_any_task()[0]

    assert manager.store_result(good, {"any": "value"})
    assert manager.store_exception(bad, ValueError("boom"), "the text")
    assert not manager.store_result(bad, "again")

    assert manager.number_of_tasks() == ({}, {}, {"a": 2})
    assert manager.get_any_result() == ("a_1", "a", {"any": "value"})
    with pytest.raises(TaskRaisedException, match="boom"):
        manager.get_any_result()


def test_004_06_a_returned_task_is_the_first_again(manager: RemoteTaskManager) -> None:
    """At the beginning of those that wait."""
    for number in range(3):
        manager.add_task_request("a", number)
    task_id, _, _ = manager.get_any_task()

    manager.return_task(task_id)

    assert manager.number_of_tasks() == ({"a": 3}, {}, {})
    assert [manager.get_any_task()[2] for _ in range(3)] == [0, 1, 2]


def test_004_07_processes_register_and_ping(manager: RemoteTaskManager) -> None:
    """Numbers are unique; who pings stays, who promised to and does not is unregistered; who promised nothing stays."""
    pings, silent, free = (manager.register_process(period) for period in (0.05, 0.05, None))
    assert len({pings, silent, free}) == 3

    while manager.number_of_active_processes() == 3:
        manager.ping(pings)

    with pytest.raises(UnknownToManager):
        manager.ping(silent)
    manager.ping(free)
    manager.unregister_process(free)
    with pytest.raises(UnknownToManager):
        manager.unregister_process(free)


def test_004_08_processes_and_tasks_are_counted(manager: RemoteTaskManager) -> None:
    """With what they say of themselves; by tag, waiting, running and finished."""
    process = manager.register_process(info="host 7")
    for tag in "aaab":
        manager.add_task_request(tag, 0)
    manager.get_task_with_tag("a", process)
    manager.store_result(manager.get_task_with_tag("b", process)[0], 0)

    assert manager.number_of_active_processes() == 1
    assert manager.active_process_info(process) == "host 7"
    assert manager.number_of_tasks() == ({"a": 2}, {"a": 1}, {"b": 1})


def test_004_09_processes_exchange_data(manager: RemoteTaskManager, other: Other) -> None:
    """By label."""
    manager.store_data(steps=3, name="x")

    assert printed(other("print(manager.retrieve_data('steps')); manager.store_data(back=[1, 2])")) == "3"

    assert manager.retrieve_data("back") == [1, 2]
    manager.delete_data("steps")
    with pytest.raises(UnknownToManager):
        manager.retrieve_data("steps")
    assert manager.retrieve_data("name") == "x"


def test_004_10_terminate_wakes_all_who_wait(manager: RemoteTaskManager, other: Other) -> None:
    """In this process and in others, for tasks and for results."""
    worker = other(WORKER)
    while manager.number_of_active_processes() == 0:
        assert worker.poll() is None
    told = []

    def wait() -> None:
        with pytest.raises(TaskManagerTermination):
            manager.get_any_result()
        told.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    manager.terminate()
    thread.join()

    assert printed(worker) == ""
    assert told == [True]


def test_the_same_methods_on_both_sides() -> None:
    """What is served has each method that the manager itself has, with the same parameters."""
    import inspect

    names = {name for name in vars(RemoteTaskManager) if not name.startswith("_") and name in dir(TaskManager)}

    assert names == {
        "add_task_request", "get_any_task", "get_task_with_tag", "store_result", "store_exception", "get_any_result",
        "get_result_with_tag", "return_task", "register_process", "unregister_process", "ping", "terminate",
        "number_of_active_processes", "active_process_info", "number_of_tasks", "store_data", "retrieve_data",
        "delete_data", "cancel_task",
    }
    for name in names:
        there = list(inspect.signature(getattr(TaskManager, name)).parameters)
        assert there == list(inspect.signature(getattr(RemoteTaskManager, name)).parameters)
