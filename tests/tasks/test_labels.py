"""Labels of classes, and misspelled labels in the options."""
from __future__ import annotations

import logging
from typing import Any

import pytest

from taskproc import Task
from taskproc.errors import BuildError
from taskproc.tasks.labels import labels_of, warn_of_unknown


def labelled(label: Any) -> type:
    return type("Train", (), {"__module__": "models", "task_label": label})


@pytest.mark.parametrize(
    ("label", "labels"),
    [
        ("gpu", ("models.Train", "gpu")),
        (["gpu", "memory"], ("models.Train", "gpu", "memory")),
        (("memory", "gpu"), ("models.Train", "memory", "gpu")),
        (["gpu", "models.Train", "gpu"], ("models.Train", "gpu")),
        ((), ("models.Train",)),
    ],
)
def test_the_name_comes_first_then_the_labels_in_their_order(label: Any, labels: tuple[str, ...]) -> None:
    """Each once: the leftmost one decides if only one can."""
    assert labels_of(labelled(label)) == labels


def test_a_class_has_the_labels_of_its_base() -> None:
    """Unless it sets its own."""
    base = labelled("gpu")

    assert labels_of(type("Fine", (base,), {"__module__": "models"})) == ("models.Fine", "gpu")
    assert labels_of(type("Bare", (base,), {"__module__": "models", "task_label": ()})) == ("models.Bare",)


@pytest.mark.parametrize("label", [None, 3, ["gpu", 3], [["gpu"]]])
def test_a_label_that_is_no_string_is_refused(label: Any) -> None:
    """When the class is defined."""
    with pytest.raises(BuildError, match=r"task_label of Train must be a string or a list of strings, got "):
        type("Train", (Task,), {"task_label": label, "run_task": lambda self: None, "__qualname__": "Train"})


def test_a_label_that_no_task_has_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """It is most likely misspelled; names of classes count as labels."""
    with caplog.at_level(logging.WARNING, "taskproc"):
        warn_of_unknown([labelled("gpu")], "rate limit", {"gpu": 1, "models.Train": 2, "gpus": 3})

    assert [record.getMessage() for record in caplog.records] == [
        "no task of this graph has the label 'gpus' of a rate limit. Did you mean 'gpu'?"
    ]
