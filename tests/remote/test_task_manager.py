"""Laws of the task manager in one process, with a clock that the test sets."""
from __future__ import annotations

import gc
import pickle
import threading
import weakref

import pytest

from taskproc.errors import OptionError, TaskManagerTermination, TaskRaisedException, UnknownToManager, WorkerDied
from taskproc.remote.requests import TaskId
from taskproc.remote.task_manager import TaskManager
from taskproc.remote.waiting import Desk
from tests.pace import limit


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def manager(clock):
    """Every invariant holds when the test ends."""
    manager = TaskManager(clock=clock)
    yield manager
    manager.validate()


def waiting(manager, tag):
    return manager.number_of_tasks()[0].get(tag, 0)


def pass_time(manager, clock, seconds):
    clock.now += seconds
    return manager.check()


def test_first_come_first_served_across_tags(manager):
    """A pull of any tag gets the oldest task; a pull by tag the oldest of the tag."""
    ids = [manager.add_task_request(tag, number) for number, tag in enumerate("aab")]

    assert manager.get_task_with_tag("b") == (ids[2], 2)
    assert manager.get_any_task() == (ids[0], "a", 0)
    assert manager.get_any_task(tags=["b", "a"]) == (ids[1], "a", 1)


def test_ids_are_counted_for_each_tag(manager):
    """Ids are `tag_N`, counted for each tag."""
    assert [manager.add_task_request(tag, 0) for tag in "aba"] == ["a_1", "b_1", "a_2"]


def test_private_tags_are_for_those_who_name_them(manager):
    """Tasks and results with a private tag are only given to processes that name it."""
    manager.add_task_request("_call", 1)
    with pytest.raises(TimeoutError):
        manager.get_any_task(timeout=0)

    task_id, _ = manager.get_task_with_tag("_call")
    manager.store_result(task_id, 2)

    with pytest.raises(TimeoutError):
        manager.get_any_result(timeout=0)
    assert manager.get_result_with_tag("_call") == (task_id, 2)


def test_a_reply_tag_files_the_result(manager):
    """A result is collected by its reply tag, and reports the tag of its task."""
    manager.add_task_request("add", 1, reply_tag="mine")
    manager.store_result(manager.get_any_task()[0], 2)

    with pytest.raises(TimeoutError):
        manager.get_result_with_tag("add", timeout=0)
    assert manager.get_any_result() == ("add_1", "add", 2)


def test_what_is_returned_is_first(manager):
    """A returned task goes before all that wait."""
    manager.add_task_request("a", 1)
    manager.add_task_request("a", 2)
    task_id, _, _ = manager.get_any_task()

    assert manager.return_task(task_id)

    assert manager.get_any_task()[2] == 1


def test_missed_pings_put_all_to_the_front_in_order(manager, clock):
    """All tasks of a process that is given up go to the front, oldest first; other processes keep theirs."""
    for number in range(5):
        manager.add_task_request("a", number)
    dead, alive = manager.register_process(10.0), manager.register_process(10.0)
    held = [manager.get_any_task(dead), manager.get_any_task(alive), manager.get_any_task(dead)]
    pass_time(manager, clock, 30.0)
    manager.ping(alive)

    assert pass_time(manager, clock, 10.0) == 0.0
    assert manager.number_of_active_processes() == 2
    pass_time(manager, clock, 0.1)

    assert manager.number_of_active_processes() == 1
    assert [manager.get_any_task()[2] for _ in range(4)] == [0, 2, 3, 4]
    assert manager.store_result(held[1][0], "kept")


def test_a_late_answer_is_refused(manager, clock):
    """A late answer is refused, before and after the second process has answered: one answer counts."""
    manager.add_task_request("a", 1)
    slow = manager.register_process(1.0)
    late_id, _, _ = manager.get_any_task(slow)
    pass_time(manager, clock, 4.5)
    other_id, _, _ = manager.get_any_task()

    assert late_id == other_id
    assert not manager.store_result(late_id, "late")
    assert not manager.return_task(late_id)
    assert manager.store_result(other_id, "first")
    assert not manager.store_exception(late_id, ValueError(), "")
    assert not manager.store_result(other_id, "twice")

    assert manager.get_any_result() == ("a_1", "a", "first")
    with pytest.raises(TimeoutError):
        manager.get_any_result(timeout=0)


def test_a_plain_id_is_believed_while_the_task_runs(manager):
    """A plain text is accepted as id while the task runs; after that it is an error."""
    manager.add_task_request("a", 1)
    for wrong in ("a_1", "b_7"):
        with pytest.raises(UnknownToManager, match=wrong):
            manager.store_result(wrong, 0)
    manager.get_any_task()

    assert manager.store_result("a_1", 5)

    assert manager.get_any_result() == ("a_1", "a", 5)


def test_an_id_keeps_its_number_when_it_travels():
    """A pickled id has its number, and equals its text."""
    found = pickle.loads(pickle.dumps(TaskId("a_1", 7)))

    assert (found, found.number, type(found)) == ("a_1", 7, TaskId)
    assert {found: 1}["a_1"] == 1


def test_whoever_was_given_up_is_told(manager, clock):
    """The pings and pulls of a process that was given up are refused, so that it registers again."""
    process = manager.register_process(1.0)
    pass_time(manager, clock, 5.0)

    for call in (manager.ping, manager.get_any_task, manager.active_process_info, manager.unregister_process):
        with pytest.raises(UnknownToManager, match="was given up"):
            call(process)
    assert manager.register_process(1.0) != process


def test_a_pull_is_a_sign_of_life(manager, clock):
    """A pull counts as a ping."""
    manager.add_task_request("a", 1)
    process = manager.register_process(1.0)
    clock.now += 3.0
    manager.get_any_task(process)

    pass_time(manager, clock, 3.0)

    assert manager.number_of_active_processes() == 1


def test_a_task_that_kills_is_not_given_out_for_ever(manager, clock):
    """A task fails after three deaths, and its requester gets the error; tasks returned in order do not count."""
    manager.add_task_request("a", 1)
    manager.return_task(manager.get_any_task()[0])
    manager.return_task(manager.get_any_task()[0], died="killed by signal 9")
    for _ in range(2):
        manager.get_any_task(manager.register_process(1.0))
        pass_time(manager, clock, 5.0)

    with pytest.raises(TaskRaisedException, match="3 workers died with task 'a_1'") as caught:
        manager.get_any_result(timeout=0)
    assert isinstance(caught.value.exception, WorkerDied)
    assert manager.number_of_tasks() == ({}, {}, {})


def test_without_a_bound_it_is(clock):
    """With `most_deaths=None` a task is given out without a bound."""
    manager = TaskManager(most_deaths=None, clock=clock)
    manager.add_task_request("a", 1)
    for _ in range(10):
        manager.return_task(manager.get_any_task()[0], died="killed")

    assert waiting(manager, "a") == 1


def test_cancel_takes_what_waits(manager):
    """Only a waiting task is cancelled."""
    ids = [manager.add_task_request("a", number) for number in range(3)]
    running, _, _ = manager.get_any_task()

    assert [manager.cancel_task(each) for each in (ids[0], ids[1], "b_1")] == [False, True, False]
    manager.store_result(running, 0)
    assert not manager.cancel_task(ids[0])

    assert manager.get_any_task()[0] == ids[2]


def test_what_was_called_off_is_not_begun_again(manager, clock):
    """A running task that was cancelled may end; if its process does not finish it, it has failed."""
    for number in range(2):
        manager.add_task_request("a", number)
    process = manager.register_process(1.0)
    ids = [manager.get_any_task(process)[0] for _ in range(2)]
    assert [manager.cancel_task(each) for each in ids] == [False, False]
    manager.store_result(ids[0], "done all the same")

    pass_time(manager, clock, 5.0)

    assert manager.get_any_result()[2] == "done all the same"
    with pytest.raises(TaskRaisedException, match="task 'a_2' was cancelled"):
        manager.get_any_result()
    assert manager.number_of_tasks() == ({}, {}, {})


def test_what_only_the_dead_could_get_is_dropped(manager, clock):
    """The private requests of a dead process are dropped, waiting, running and answered; all others stay."""
    process = manager.register_process(1.0)
    for number in range(3):
        manager.add_task_request("_call", number, process, reply_tag="_call.me")
    manager.add_task_request("a", 0, process)
    done, _ = manager.get_task_with_tag("_call")
    running, _ = manager.get_task_with_tag("_call")
    manager.store_result(done, 0)

    pass_time(manager, clock, 5.0)

    assert manager.number_of_tasks() == ({"a": 1}, {}, {})
    assert not manager.store_result(running, 0)


def test_exceptions_are_raised_where_results_are_got(manager):
    """Collecting the result of a task that raised raises, with id, tag, exception and traceback."""
    manager.add_task_request("a", 1)
    error = ValueError("boom")
    manager.store_exception(manager.get_any_task()[0], error, "Traceback …")

    with pytest.raises(TaskRaisedException) as caught:
        manager.get_result_with_tag("a")

    raised = caught.value
    assert (raised.task_id, raised.tag, raised.exception, raised.traceback) == ("a_1", "a", error, "Traceback …")
    assert (raised.__cause__, str(raised)) == (error, "task a_1 raised ValueError: boom")
    assert str(pickle.loads(pickle.dumps(raised))) == str(raised)


def test_who_waits_is_served_in_turn():
    """Each waiting thread gets one task of its tags, in turn, and no thread is woken for nothing."""
    manager, got = TaskManager(), {}

    def pull(name, tags):
        got[name] = manager.get_any_task(timeout=limit(30), tags=tags)[2]

    threads = [threading.Thread(target=pull, args=each) for each in (("a", ["a"]), ("b", ["b"]), ("any", None))]
    for thread in threads:
        thread.start()
    while len(manager._tasks_desk._waiting) < 3:
        pass
    for tag in "cba":
        manager.add_task_request(tag, tag)
    for thread in threads:
        thread.join()

    assert got == {"a": "a", "b": "b", "any": "c"}
    manager.validate()


def waits_in_thread(manager, process=None):
    """A thread that waits for a task, and a list of what it gets or raises."""
    got = []

    def pull():
        try:
            got.append(manager.get_any_task(process, limit(30))[2])
        except UnknownToManager as error:
            got.append(error)

    thread = threading.Thread(target=pull)
    thread.start()
    while not manager._tasks_desk._waiting:
        pass
    return thread, got


def test_who_waits_gets_what_the_dead_had(manager, clock):
    """A waiting thread gets the tasks of a process as soon as that is given up."""
    manager.add_task_request("a", 7)
    manager.get_any_task(manager.register_process(1.0))
    thread, got = waits_in_thread(manager)

    pass_time(manager, clock, 5.0)
    thread.join()

    assert got == [7]


def test_who_waits_and_is_given_up_is_told(manager, clock):
    """A waiting process that is given up gets an error, and no task."""
    thread, got = waits_in_thread(manager, manager.register_process(1.0))

    pass_time(manager, clock, 5.0)
    thread.join()

    assert [type(each) for each in got] == [UnknownToManager]


def test_what_was_handed_to_one_who_leaves_is_put_back(monkeypatch):
    """A task that is handed over together with Ctrl-C is put back."""
    lock, things, back = threading.Lock(), [1], []
    desk = Desk(lock, lambda among, process: things.pop() if things else None, back.append)

    def interrupted(*_):
        desk.serve()
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Condition, "wait_for", interrupted)
    with lock, pytest.raises(KeyboardInterrupt):
        desk.wait(frozenset("a"), None, None)

    assert (things, back, desk._waiting) == ([], [1], {})


def test_terminate_wakes_all_and_keeps_what_is_there(manager):
    """`terminate` wakes all waiting threads; results can be collected and running tasks answered."""
    manager.add_task_request("a", 1)
    manager.add_task_request("a", 2)
    manager.add_task_request("a", 3)
    done, _, _ = manager.get_any_task()
    running, _, _ = manager.get_any_task()
    manager.store_result(done, "kept")
    told = []

    def wait():
        try:
            manager.get_result_with_tag("other", limit(30))
        except TaskManagerTermination as error:
            told.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not manager._results_desk._waiting:
        pass

    manager.terminate()
    thread.join()

    assert len(told) == 1
    assert manager.get_any_result()[2] == "kept"
    assert manager.store_result(running, "late, but wanted")
    assert manager.get_any_result()[2] == "late, but wanted"
    for call in (manager.get_any_task, manager.get_any_result, lambda: manager.add_task_request("a", 1)):
        with pytest.raises(TaskManagerTermination):
            call()


def test_a_result_that_was_not_got_is_first_again(manager):
    """A result that was put back is first again."""
    for number in range(2):
        manager.add_task_request("a", number)
        manager.store_result(manager.get_any_task()[0], number)
    taken = manager.take_result(None)

    manager.put_back_result(taken)

    assert [manager.get_any_result()[2] for _ in range(2)] == [0, 1]


def test_a_result_that_was_not_got_reaches_who_waits(manager):
    """A result that was put back goes to a waiting thread at once."""
    manager.add_task_request("a", 1)
    manager.store_result(manager.get_any_task()[0], 7)
    taken, got = manager.take_result("a"), []
    thread = threading.Thread(target=lambda: got.append(manager.get_result_with_tag("a", limit(20))))
    thread.start()
    while not manager._results_desk._waiting:
        pass

    manager.put_back_result(taken)
    thread.join()

    assert got == [("a_1", 7)]


def test_a_task_that_is_returned_reaches_who_waits(manager):
    """A returned task goes to a waiting thread at once."""
    manager.add_task_request("a", 7)
    task_id, _, _ = manager.get_any_task()
    thread, got = waits_in_thread(manager)

    manager.return_task(task_id)
    thread.join()

    assert got == [7]


def test_nothing_stays_of_what_was_answered(manager):
    """A manager stores nothing of tasks whose results were collected."""
    for number in range(1000):
        manager.add_task_request("a", number)
        manager.store_result(manager.get_any_task()[0], number)
        manager.get_any_result()

    assert (len(manager._plan), manager._requests, manager._finished) == (0, {}, {})
    assert (manager._results._buckets, manager._plan._ready._buckets, manager._plan._later) == ({}, {}, [])


@pytest.mark.parametrize("period", [0, -1.0, float("nan")])
def test_a_period_is_some_time(manager, period):
    """A period must be above zero."""
    with pytest.raises(OptionError, match="watchdog_period must be more than 0"):
        manager.register_process(period)


def test_the_watchdog_is_a_thread_that_keeps_nothing_alive():
    """The watchdog looks by the real clock; it ends with the manager, or when no process promises pings any more."""
    manager = TaskManager()
    process = manager.register_process(0.001)
    manager._watcher.join()

    with pytest.raises(UnknownToManager):
        manager.ping(process)
    manager.register_process(1000.0)
    thread, bell, there = manager._watcher, manager._bell, weakref.ref(manager)
    del manager
    while there() is not None:
        gc.collect()  # the thread may have it in hand in this moment
    bell.set()
    thread.join()
