"""Prefix commands: read once, found by label, filled for each attempt."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import OptionError
from taskproc.tasks.commands import Command, command_of, commands
from taskproc.tasks.task import Task


class Train(Task):
    def run_task(self) -> None: ...


class Attempt:
    """An attempt whose data directory is made when it is asked for."""

    def __init__(self) -> None:
        self.made = False

    def log(self, stream: str) -> Path:
        return Path("/cache", f"{stream}.txt")

    @property
    def directory(self) -> Path:
        self.made = True
        return Path("/cache/data")


def test_commands_are_split_as_a_shell_splits_words() -> None:
    """A list is taken as it is, nothing is nothing."""
    given = commands({"gpu": "jbsub -wait -mem '64 g'", "cpu": ["nice", "-n 5"], "own": ""}, None)

    assert given == {"gpu": Command(("jbsub", "-wait", "-mem", "64 g")), "cpu": Command(("nice", "-n 5")),
                     "own": Command(())}


def test_both_names_of_the_option_mean_the_same() -> None:
    """Together they are one; a label in both is refused."""
    assert commands({"a": "x"}, {"b": "y"}) == {"a": Command(("x",)), "b": Command(("y",))}
    assert commands(None, None) == {}
    with pytest.raises(OptionError, match="label 'a' has a command in prefixes and in prefix: give one"):
        commands({"a": "x"}, {"a": "x"})


@pytest.mark.parametrize("words", [None, 5, ["nice", 5], b"nice", {"nice"}])
def test_a_command_that_is_none_is_refused(words: Any) -> None:
    """Before anything runs, with its label."""
    with pytest.raises(OptionError, match="prefix of label 'gpu': it must be a string or a list of strings, got "):
        commands({"gpu": words}, None)


def test_open_quotes_are_refused_with_their_label() -> None:
    """Wrong input fails where it is given."""
    with pytest.raises(OptionError, match=r"prefix of label 'gpu': .*cannot be split"):
        commands({"gpu": "echo 'x"}, None)


@pytest.mark.parametrize("option", ["prefixes", "prefix"])
def test_a_prefix_without_a_label_is_refused(option: str) -> None:
    """A string alone says not for whom it is."""
    with pytest.raises(OptionError, match=f"^{option} must map labels to commands, got 'srun'"):
        commands(**{"prefixes": None, "prefix": None, option: "srun"})  # type: ignore[arg-type]


def test_the_leftmost_label_that_has_a_command_wins() -> None:
    """In the order of the task's labels, not of the option."""
    given = commands({"memory": "m", "gpu": ""}, None)

    assert command_of(("Train", "gpu", "memory"), given) == Command(())
    assert command_of(("Train", "memory", "gpu"), given) == Command(("m",))
    assert command_of(("Train",), given) is None


@pytest.mark.usefixtures("cache")
def test_templates_are_filled_for_each_attempt() -> None:
    """Within words; other braces stay; the data directory is made only where it is named."""
    command = Command(("bsub", "-J{task_name}", "-o", "{stdout}", "-e", "{stderr}", "{task_id}", "{other}"))
    attempt: Any = Attempt()

    words = command.filled(Train(), attempt)

    assert words == (
        "bsub", f"-J{Train.task_name}", "-o", "/cache/stdout.txt", "-e", "/cache/stderr.txt", str(Train().task_id),
        "{other}",
    )
    assert not attempt.made
    assert Command(("{task_directory}/x",)).filled(Train(), attempt) == ("/cache/data/x",)
    assert attempt.made
