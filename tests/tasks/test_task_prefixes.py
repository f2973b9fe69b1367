"""Prefix commands: read once, found by label, filled for each attempt."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import OptionError
from taskproc.tasks.labels import Prefix, prefix_of, read_prefixes
from taskproc.tasks.task import Task


class Train(Task):
    def run_task(self) -> None: ...


class Attempt:
    """An attempt whose data directory is created on access."""

    def __init__(self) -> None:
        self.made = False

    def log(self, stream: str) -> Path:
        return Path("/cache", f"{stream}.txt")

    @property
    def directory(self) -> Path:
        self.made = True
        return Path("/cache/data")


def test_commands_are_split_as_a_shell_splits_words() -> None:
    """A list is used as it is; an empty one means no command."""
    given = read_prefixes({"gpu": "jbsub -wait -mem '64 g'", "cpu": ["nice", "-n 5"], "own": ""}, None)

    assert given == {"gpu": Prefix(("jbsub", "-wait", "-mem", "64 g")), "cpu": Prefix(("nice", "-n 5")),
                     "own": Prefix(())}


def test_both_names_of_the_option_mean_the_same() -> None:
    """They are combined; a label in both is refused."""
    assert read_prefixes({"a": "x"}, {"b": "y"}) == {"a": Prefix(("x",)), "b": Prefix(("y",))}
    assert read_prefixes(None, None) == {}
    with pytest.raises(OptionError, match="label 'a' has a command in prefixes and in prefix: give one"):
        read_prefixes({"a": "x"}, {"a": "x"})


@pytest.mark.parametrize("words", [None, 5, ["nice", 5], b"nice", {"nice"}])
def test_a_command_that_is_none_is_refused(words: Any) -> None:
    """Before anything runs, with its label."""
    with pytest.raises(OptionError, match="prefix of label 'gpu': it must be a string or a list of strings, got "):
        read_prefixes({"gpu": words}, None)


def test_open_quotes_are_refused_with_their_label() -> None:
    """Wrong input fails where it is passed."""
    with pytest.raises(OptionError, match=r"prefix of label 'gpu': .*cannot be split"):
        read_prefixes({"gpu": "echo 'x"}, None)


@pytest.mark.parametrize("option", ["prefixes", "prefix"])
def test_a_prefix_without_a_label_is_refused(option: str) -> None:
    """A string alone does not say which tasks it is for."""
    with pytest.raises(OptionError, match=f"^{option} must map labels to commands, got 'srun'"):
        read_prefixes(**{"prefixes": None, "prefix": None, option: "srun"})  # type: ignore[arg-type]


def test_the_leftmost_label_that_has_a_command_wins() -> None:
    """In the order of the task's labels, not of the option."""
    given = read_prefixes({"memory": "m", "gpu": ""}, None)

    assert prefix_of(("Train", "gpu", "memory"), given) == Prefix(())
    assert prefix_of(("Train", "memory", "gpu"), given) == Prefix(("m",))
    assert prefix_of(("Train",), given) is None


@pytest.mark.usefixtures("cache")
def test_templates_are_filled_for_each_attempt() -> None:
    """Within words; other braces stay; the data directory is created only if it is named."""
    command = Prefix(("bsub", "-J{task_name}", "-o", "{stdout}", "-e", "{stderr}", "{task_id}", "{other}"))
    attempt: Any = Attempt()

    words = command.filled(Train(), attempt)

    assert words == (
        "bsub", f"-J{Train.task_name}", "-o", "/cache/stdout.txt", "-e", "/cache/stderr.txt", str(Train().task_id),
        "{other}",
    )
    assert not attempt.made
    assert Prefix(("{task_directory}/x",)).filled(Train(), attempt) == ("/cache/data/x",)
    assert attempt.made
