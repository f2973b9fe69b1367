"""Laws of the executor on a task manager, with workers in threads of the test and with real ones."""
from __future__ import annotations

import pickle
import threading
from concurrent.futures import BrokenExecutor, CancelledError, as_completed, wait

import pytest
from remote_processes import KEY

from taskproc.errors import OptionError, TaskManagerTermination, UnsendableItem, WorkerDied
from taskproc.remote import executor as executor_module
from taskproc.remote.calls import TaskFunctions
from taskproc.remote.client import connect
from taskproc.remote.executor import RemoteExecutor
from taskproc.remote.requests import CALL
from tests.pace import limit


@pytest.fixture
def executor(server):
    """An executor without workers."""
    executor = RemoteExecutor(server.address, KEY, max_workers=3)
    yield executor
    executor.shutdown(wait=False, cancel_futures=True)


def do_one(client, task=None):
    """Run one task as a worker does: the given one, or the next one."""
    task_id, tag, content = task or client.link.take_task(None, 30, tags=[CALL])
    what, content, traceback = TaskFunctions("")(pickle.dumps((str(task_id), tag, content)))
    if what == "result":
        client.link.store_result(task_id, content)
    else:
        client.link.store_exception(task_id, content, traceback)


def test_values_and_exceptions_come_back(executor, client):
    """Values come back, also of lambdas, and exceptions with the traceback of the worker."""
    factor = 3
    good, bad = executor.submit(lambda x, y=0: factor * x + y, 2, y=1), executor.submit(divmod, 1, 0)
    do_one(client)
    do_one(client)

    assert good.result(limit(30)) == 7
    with pytest.raises(ZeroDivisionError) as caught:
        bad.result(limit(30))
    assert "ZeroDivisionError" in str(caught.value.__cause__)


def test_two_executors_and_a_master_get_their_own(server, executor, client):
    """Each of two executors and a master gets only its own results."""
    with RemoteExecutor(server.address, KEY) as other:
        futures = [each.submit(int, number) for number, each in enumerate((executor, other, executor))]
        client.add_task_request("a", 1)
        client.store_result(client.get_any_task()[0], "mine")
        for _ in futures:
            do_one(client)

        assert [future.result(limit(30)) for future in futures] == [0, 1, 2]
    assert client.get_any_result() == ("a_1", "a", "mine")


def test_cancel_is_for_what_no_worker_has(executor, client):
    """A call that runs or is done cannot be cancelled; threads that wait for a cancelled future are woken."""
    running, waits = executor.submit(int, 1), executor.submit(int, 2)
    task = client.link.take_task(None, 30, tags=[CALL])

    assert not running.cancel()
    assert waits.cancel()
    assert waits.cancel()

    assert client.number_of_tasks() == ({}, {CALL: 1}, {})
    with pytest.raises(CancelledError):
        waits.result()
    assert wait([waits]).done == {waits}
    do_one(client, task)
    assert running.result(limit(30)) == 1
    assert not running.cancel()


def test_what_was_called_off_in_vain_is_not_begun_again(executor, client):
    """A running call whose cancel failed is not run again when its worker dies."""
    future = executor.submit(int, 1)
    task_id, _, _ = client.link.take_task(None, 30, tags=[CALL])
    assert not future.cancel()

    client.return_task(task_id, died="killed")

    with pytest.raises(WorkerDied, match="was cancelled"):
        future.result(limit(30))


def test_shutdown_waits_for_what_runs(executor, client):
    """`shutdown` waits for running calls and can cancel waiting ones; the manager goes on."""
    first, second = executor.submit(int, 1), executor.submit(int, 2)
    task = client.link.take_task(None, 30, tags=[CALL])
    thread = threading.Thread(target=lambda: executor.shutdown(cancel_futures=True))
    thread.start()
    while not second.cancelled():
        pass
    assert client.number_of_active_processes() == 1
    do_one(client, task)
    thread.join()

    assert first.result() == 1
    assert client.number_of_active_processes() == 0
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(int)


def test_calls_that_kill_fail(executor, client):
    """A call fails when the third worker has died with it."""
    future = executor.submit(int, 1)
    for _ in range(3):
        client.return_task(client.link.take_task(None, 30, tags=[CALL])[0], died="it was killed by signal 9")

    with pytest.raises(WorkerDied, match=r"3 workers died with task '_call_1'.*signal 9"):
        future.result(limit(30))


def test_what_cannot_travel_is_a_failed_future(executor, client):
    """A call or a value that cannot be pickled fails its future."""
    there, back = executor.submit(threading.Lock().acquire), executor.submit(threading.Lock)
    do_one(client)

    with pytest.raises(UnsendableItem, match=r"the call of .*acquire"):
        there.result()
    with pytest.raises(UnsendableItem, match="the result of task '_call_1' cannot be pickled"):
        back.result(limit(30))


def test_without_a_manager_it_is_broken(server, executor):
    """Without a manager all futures fail, and `submit` raises."""
    futures = [executor.submit(int, number) for number in range(3)]
    server.close()

    for future in as_completed(futures, 60):
        with pytest.raises(BrokenExecutor, match="no task manager answers"):
            future.result()
    with pytest.raises(BrokenExecutor):
        executor.submit(int)


def test_a_terminated_manager(executor, client):
    """When the manager is terminated, waiting futures fail with that."""
    future = executor.submit(int, 1)

    client.terminate()

    with pytest.raises(TaskManagerTermination):
        future.result(limit(30))


def test_an_executor_that_was_given_up_is_broken(server, client, monkeypatch):
    """The futures of an executor that was given up fail, because its requests were dropped."""
    monkeypatch.setattr(executor_module, "LOOK_EVERY", 0.02)
    with RemoteExecutor(server.address, KEY, period=limit(0.5)) as executor:
        future = executor.submit(int, 1)
        client.unregister_process(1)

        with pytest.raises(BrokenExecutor, match="process 1 is not registered"):
            future.result(limit(30))
        assert client.number_of_tasks() == ({}, {}, {})


def test_it_takes_at_least_one(server):
    """`max_workers` must be at least 1."""
    with pytest.raises(OptionError, match="max_workers must be at least 1"):
        RemoteExecutor(server.address, KEY, max_workers=0)


def test_a_dead_executor_leaves_nothing(server, manager):
    """The requests of a dead executor are dropped."""
    executor = RemoteExecutor(server.address, KEY)
    executor.submit(int, 1)
    with connect(server.address, KEY) as client:
        client.unregister_process(executor._process)

    assert manager.number_of_tasks() == ({}, {}, {})


def test_an_executor_that_cannot_ping_has_broken(server):
    """An executor whose pings fail is broken, also if its other connection still waits for results."""
    executor = RemoteExecutor(server.address, KEY, period=0.1)
    future = executor.submit(int)
    manager = executor._manager.link

    def break_idle():
        """Break the connection for pings while the other one waits for a result."""
        with manager._lock:
            for channel in manager._idle if len(manager._busy) == 1 else []:
                channel.shut()
                return True
        return False

    while not break_idle():
        pass
    server._door.close()
    while not break_idle() and not future.done():
        pass

    with pytest.raises(BrokenExecutor, match="ManagerUnreachable"):
        future.result(limit(30))
