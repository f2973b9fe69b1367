"""A served task manager and its users."""
from __future__ import annotations

import os

import pytest
from remote_processes import KEY, Remote

from taskproc.remote.client import connect
from taskproc.remote.server import Server
from taskproc.remote.task_manager import TaskManager


@pytest.fixture
def manager():
    """Every invariant holds when the test ends."""
    manager = TaskManager()
    yield manager
    manager.validate()


@pytest.fixture
def server(manager):
    """A server on a free port of the loopback."""
    with Server(manager, key=KEY) as server:
        yield server


@pytest.fixture
def client(server):
    """A client with the key."""
    with connect(server.address, KEY) as client:
        yield client


@pytest.fixture
def bomb(tmp_path):
    """A pickle that creates a file when it is loaded, and that file."""
    return _Bomb(tmp_path / "it was unpickled")


class _Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def remote(tmp_path, environ):
    """Starts processes; ends all of them after the test."""
    remote = Remote(tmp_path, environ)
    yield remote
    remote.stop()
