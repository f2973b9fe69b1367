"""Laws of calls over a network: a call that breaks is executed once or not at all, and no object is lost."""
from __future__ import annotations

import socket
import threading

import pytest
from remote_processes import KEY

from taskproc.errors import (
    ManagerUnreachable,
    OptionError,
    TaskManagerTermination,
    TaskRaisedException,
    UnknownToManager,
    UnsendableItem,
)
from taskproc.remote import client as client_module
from taskproc.remote import server as server_module
from taskproc.remote.channel import Channel, secret_of
from taskproc.remote.client import connect
from taskproc.remote.server import Server
from taskproc.remote.task_manager import TaskManager
from tests.pace import limit


@pytest.fixture
def channel(server):
    """A connection on which a test can stop in the middle of a call."""
    channel = Channel(socket.create_connection(server.address))
    channel.introduce(secret_of(KEY))
    channel.receive()
    yield channel
    channel.close()


def ask(channel, verb, number="1", **arguments):
    channel.send({"id": number, "verb": verb, "arguments": arguments})
    return channel.receive(30)


def test_a_task_that_nobody_got_is_first_again(client, channel):
    """A task whose receipt was not acknowledged before the process was killed is first in line again."""
    for number in range(2):
        client.add_task_request("a", number)
    assert ask(channel, "take_task", tags=None, process_id=None, timeout=limit(5))["value"][0] == "a_1"
    channel.shut()

    taken = {client.get_any_task(timeout=limit(30))[2] for _ in range(2)}

    assert taken == {0, 1}


def test_a_result_that_nobody_got_is_there_again(client, channel):
    """A result whose receipt was not acknowledged is given out again, once."""
    client.add_task_request("a", 1)
    client.store_result(client.get_any_task()[0], 2)
    ask(channel, "take_result", tag=None, timeout=limit(5))
    channel.shut()

    assert client.get_any_result(limit(30)) == ("a_1", "a", 2)
    with pytest.raises(TimeoutError):
        client.get_any_result(0)


def test_a_result_whose_receipt_is_not_confirmed_is_there_again(client, channel, monkeypatch):
    """A result is also taken back if the connection stays open without an acknowledgement."""
    monkeypatch.setattr(server_module, "CONFIRM", 0.05)
    client.add_task_request("a", 1)
    client.store_result(client.get_any_task()[0], 2)
    ask(channel, "take_result", tag=None, timeout=limit(5))

    assert client.get_any_result(limit(30)) == ("a_1", "a", 2)


def test_what_was_said_to_have_been_got_is(client, channel):
    """After the acknowledgement, the end of the connection changes nothing."""
    client.add_task_request("a", 1)
    client.store_result(client.get_any_task()[0], 2)
    ask(channel, "take_result", tag=None, timeout=limit(5))
    channel.send({"got": True})
    ask(channel, "ping", "2", process_id=1)  # so that it was read
    channel.shut()

    with pytest.raises(TimeoutError):
        client.get_any_result(0)


def test_what_is_asked_again_is_done_once(manager, channel, monkeypatch):
    """A repeated request is executed once, by its id; a bounded number of answers is stored."""
    monkeypatch.setattr(server_module, "REMEMBERED", 1)
    request = {"tag": "a", "parameters": b"", "process_id": None, "reply_tag": None}

    first = ask(channel, "add_task_request", "one", **request)
    again = ask(channel, "add_task_request", "one", **request)
    ask(channel, "add_task_request", "two", **request)

    assert first == again == {"value": "a_1"}
    assert manager.number_of_tasks()[0] == {"a": 2}
    assert ask(channel, "add_task_request", "one", **request) == {"value": "a_3"}


def test_a_broken_connection_is_made_again(server, client):
    """A call after a broken connection succeeds."""
    client.add_task_request("a", 1)
    for channel in list(server._channels):
        channel.shut()

    assert client.add_task_request("a", 2) == "a_2"


def test_a_broken_connection_is_made_again_under_who_waits(server, client):
    """A waiting call whose connection breaks asks again and gets its object."""
    got = []
    thread = threading.Thread(target=lambda: got.append(client.get_any_task(timeout=limit(30))[2]))
    thread.start()
    while not server._manager._tasks_desk._waiting:
        pass
    for channel in list(server._channels):
        channel.shut()

    with connect(server.address, KEY) as other:
        other.add_task_request("a", 1)
    thread.join()

    assert got == [1]


def test_another_manager_at_the_same_address_is_another_one(client, server):
    """A restarted manager is refused, because it has lost the tasks and its ids mean other ones."""
    client.add_task_request("a", 1)
    task_id, _, _ = client.get_any_task()
    server.close()

    with Server(TaskManager(), server.address, key=KEY), pytest.raises(ManagerUnreachable, match="restarted"):
        client.store_result(task_id, 2)


def test_nobody_there(server, client):
    """Without a manager the error names the address, at once or after `retry` seconds."""
    server.close()

    with pytest.raises(ManagerUnreachable, match=f"no task manager answers at 127.0.0.1:{server.address[1]}"):
        client.number_of_tasks()
    with pytest.raises(ManagerUnreachable):
        connect(server.address, KEY, retry=0.01)


def test_a_late_answer_is_refused_over_a_network(server, client):
    """The id of a pulled task identifies its pull, also over a network."""
    client.add_task_request("a", 1)
    slow = client.register_process()
    late_id, _, _ = client.get_any_task(slow)
    client.unregister_process(slow)
    with connect(server.address, KEY) as other:
        task_id, _, _ = other.get_any_task()

        assert not client.store_result(late_id, "late")
        assert other.store_result(task_id, "first")

    assert client.get_any_result()[2] == "first"


def test_close_ends_calls_that_wait(server, client, monkeypatch):
    """`close` ends a call that waits in another thread, at once."""
    for module in (client_module, server_module):
        monkeypatch.setattr(module, "LONGEST_WAIT", 1000.0)
    told = []

    def wait():
        with pytest.raises(ManagerUnreachable):
            client.get_any_task()
        told.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    while not server._manager._tasks_desk._waiting:
        pass

    client.close()
    thread.join()

    assert told == [True]


def test_a_second_server_at_an_address(server):
    """A second server at an address fails with the reason."""
    with pytest.raises(ManagerUnreachable, match="cannot listen on 127.0.0.1"):
        Server(TaskManager(), server.address, key=KEY)


def test_errors_arrive_as_themselves(client):
    """Each error that a manager raises arrives with its class."""
    with pytest.raises(UnknownToManager, match="process 7 is not registered"):
        client.ping(7)
    with pytest.raises(UnknownToManager, match="'a_1' does not run"):
        client.store_result("a_1", 1)
    with pytest.raises(UnknownToManager, match="no data is stored as 'x'"):
        client.retrieve_data("x")
    with pytest.raises(OptionError, match="watchdog_period"):
        client.register_process(-1)
    with pytest.raises(TimeoutError):
        client.get_any_result(0)
    with pytest.raises(OptionError, match="no such request"):
        client.link.ask("__class__", {})
    client.terminate()
    with pytest.raises(TaskManagerTermination):
        client.get_any_task()


class Strange(Exception):
    """An exception with arguments of its own."""

    def __init__(self, one, *, two):
        super().__init__(f"{one} and {two}")
        self.two = two


def test_exceptions_arrive_as_themselves(client):
    """Exceptions of tasks arrive with the traceback of the worker as their last cause."""
    client.add_task_request("a", 1)
    client.store_exception(client.get_any_task()[0], Strange(1, two=2), "as it was there")

    with pytest.raises(TaskRaisedException) as caught:
        client.get_any_result()

    error = caught.value.exception
    assert (type(error), str(error), error.two) == (Strange, "1 and 2", 2)
    assert "as it was there" in str(error.__cause__)
    assert caught.value.traceback == "as it was there"


def load_nowhere():
    raise ImportError("it is not here")


class Homesick:
    """An object that cannot be unpickled."""

    def __reduce__(self):
        return load_nowhere, ()


def test_what_cannot_be_unpickled_costs_itself(client):
    """A worker answers a task that cannot be unpickled with the error, and takes the next one."""
    client.add_task_request("a", Homesick())
    client.add_task_request("a", 2)

    task_id, _, parameters = client.get_any_task()

    assert (task_id, parameters) == ("a_2", 2)
    with pytest.raises(TaskRaisedException, match="parameters of task 'a_1' cannot be unpickled here"):
        client.get_any_result()
    client.store_result(task_id, Homesick())
    with pytest.raises(UnsendableItem, match="the result of task 'a_2' cannot be unpickled here"):
        client.get_any_result()


def test_what_cannot_be_pickled_is_told_where_it_is_given(client):
    """A value that cannot be pickled is refused by name when it is given."""
    with pytest.raises(UnsendableItem, match="parameters of task 'a' cannot be pickled"):
        client.add_task_request("a", threading.Lock())


def test_plain_objects_in_a_served_manager_are_not_sent(manager, client):
    """An object added without `connect` is refused over a network, and the task is not lost."""
    manager.add_task_request("a", object())

    with pytest.raises(RuntimeError, match="Use a served manager only through connect"):
        client.get_any_task()

    while manager.number_of_tasks() != ({"a": 1}, {}, {}):
        pass


def test_large_values_pass(client):
    """Values of megabytes pass in one message."""
    content = bytes(range(256)) * 20_000
    client.add_task_request("a", content)

    assert client.get_any_task()[2] == content


def test_data_by_any_name(client):
    """Data may have any name, also those of parameters of the method."""
    client.store_data(self=1, verb=2, label=[3])

    assert [client.retrieve_data(label) for label in ("self", "verb", "label")] == [1, 2, [3]]
    client.delete_data("self")
    with pytest.raises(UnknownToManager):
        client.retrieve_data("self")
