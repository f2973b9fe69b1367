"""Laws of the arguments of `python -m taskproc.remote`: which are accepted and refused, and the messages."""
from __future__ import annotations

import re
import signal
import socket

import pytest

from taskproc.cli import remote_commands
from taskproc.cli.remote_commands import main
from taskproc.cli.table import REMOTE_COMMANDS
from taskproc.remote.server import Server
from taskproc.remote.task_manager import TaskManager
from taskproc.store.rules import make_key_file


@pytest.fixture
def key(tmp_path, monkeypatch):
    """A key file of that name in the working folder."""
    monkeypatch.chdir(tmp_path)
    make_key_file("key")
    return "key"


def test_help_tells_every_command(capsys):
    """The help lists every command, and each command has its own."""
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in REMOTE_COMMANDS:
        assert re.search(rf"^  {command} ", out, re.MULTILINE)
        assert main([command, "--help"]) == 0
        assert f"usage: python -m taskproc.remote {command}" in capsys.readouterr().out


def test_signals_are_given_back(key, capsys):
    """The signal handlers of the caller are restored, also after a failure."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    assert main(["serve", "--key-file", key, "--address", "nowhere"]) != 0

    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the command must be one of key, serve, work, status"),
        (["sreve"], "the command must be one of key, serve, work, status, got 'sreve'"),
        (["serve"], "no key is given: --key-file FILE\n\nhint: create one with `python -m taskproc.remote key FILE`"),
        (["work", "--key-file", "key"], "no address of a task manager is given: --address HOST:PORT"),
        (["work", "--key-file", "key", "--address", "a:1", "--jobs", "0"],
         "-n/--jobs: expected an int of at least 1"),
        (["work", "--key-file", "key", "--address", "a:1", "--retry", "x"],
         "--retry: expected a number of seconds of at least 0"),
        (["work", "--key-file", "key", "--address", "a:1", "--period", "0"],
         "--period: expected a number of seconds above 0"),
        (["work", "--key-file", "key", "--address", "a:1", "no_module"], "no module 'no_module' can be imported"),
        (["work", "--key-file", "key", "--address", "a:1", "json"], "'json' has no function called do_<tag>"),
        (["serve", "--key-file", "key", "--address", "here"], "address must be HOST:PORT, as 127.0.0.1:7007, got"),
        (["serve", "--key-file", "nowhere"], "key file 'nowhere' does not exist"),
        (["serve", "--key-file", "open"], "'open' is not private, other users may read or write it: chmod 600 'open'"),
        (["key", "key"], "key file 'key' already exists and is not replaced"),
    ],
)
def test_wrong_usage_is_told(key, tmp_path, capsys, words, message):
    """Wrong usage has a message and exit code 2."""
    make_key_file(tmp_path / "open")
    (tmp_path / "open").chmod(0o640)

    assert main(words) == 2

    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["serv"], "one of key, serve, work, status, got 'serv'. Did you mean 'serve'?"),
        (["serve", "--prot", "1"], "unrecognized arguments: --prot 1. Its options are --help, --key-file, --address, "),
        (["serve", "--adress=x"], "unrecognized arguments: --adress=x. Did you mean '--address'?"),
    ],
)
def test_a_slip_is_guessed(capsys, words, message):
    """A misspelt command or option gets a suggestion."""
    assert main(words) == 2

    assert message in capsys.readouterr().err


def test_nobody_there(key, capsys):
    """Without a manager the exit code is 1, and the message has the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert main(["status", "--key-file", key, "--address", f"127.0.0.1:{port}"]) == 1

    assert f"error: no task manager answers at 127.0.0.1:{port}" in capsys.readouterr().err


def test_a_module_that_raises_is_the_users(key, tmp_path, monkeypatch, capsys):
    """The traceback of a module is shown, without frames of taskproc."""
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert main(["work", "--key-file", key, "--address", "a:1", "broken_module"]) == 1

    err = capsys.readouterr().err
    assert err.endswith("ZeroDivisionError: division by zero\n")
    assert "cli/remote_commands.py" not in err


def test_an_address_for_others_is_warned_of(key, capsys):
    """An address that other machines can reach gets a warning with the remedy; the loopback does not."""
    for address, warned in (("127.0.0.1:0", False), ("0.0.0.0:0", True)):
        with Server(TaskManager(), address, key=key) as server:
            remote_commands._warn_if_open(server)

        assert ("not encrypted" in capsys.readouterr().err) == warned
