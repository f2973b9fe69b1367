"""Laws of the values of a sweep: each is read as its flag reads it, and what is wrong is named with the flag."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taskproc.cli.parameters import parameters_of
from taskproc.cli.sweep_options import read_sweep
from taskproc.cli.usage import UsageError
from taskproc.tasks.task import Task


@dataclass(frozen=True)
class Model:
    """Fields of a parameter."""

    layers: int = 1
    name: str = "m"


class Train(Task):
    """Parameters of many types."""

    def __init__(self, lr: float = 0.1, seed: int = 0, flag: bool = False, text: str = "", path: Path = Path(),
                 layers: Sequence[int] = (), model: Model = Model(), most: int | None = None, free: Any = 0,
                 other: object = None, task: Task | None = None):  # fmt: skip
        pass

    def run_task(self) -> None:
        """Nothing."""


def read(*words: str, flags: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Sequence[Any]]:
    """The values of a sweep."""
    return read_sweep(Train, parameters_of(Train), {"sweep": list(words) or None, **options}, flags or {})


@pytest.mark.parametrize(("word", "values"), [
    ("lr=0.1,1e-3", [0.1, 0.001]),
    ("lr=0:3", [0.0, 1.0, 2.0]),
    ("seed=0:5", [0, 1, 2, 3, 4]),
    ("seed=5:0:-2", [5, 3, 1]),
    ("seed=-2:2, 7", [-2, -1, 0, 1, 7]),
    ("flag=true,false", [True, False]),
    ("text=a,8:30,\"x,\"\"y\"\"\",\"\"", ["a", "8:30", 'x,"y"', ""]),
    ("text=0:5", ["0:5"]),
    ("text=\"0:5\"", ["0:5"]),
    ("path=a,b/c", [Path("a"), Path("b/c")]),
    ("layers=\"[1, 2]\",[3]", [[1, 2], [3]]),
    ("model.layers=2,3", [Model(2), Model(3)]),
    ("most=null,3", [None, 3]),
    ("most=0:2", [0, 1]),
    ("free=0:2,x", [0, 1, "x"]),
])  # fmt: skip
def test_values(word: str, values: list[object]) -> None:
    """Texts apart by commas, quoted as in CSV, and ranges as in Python."""
    name = word.partition("=")[0].partition(".")[0]

    found = read(word)

    assert [name] == list(found)
    assert values == list(found[name])
    assert [*map(type, values)] == [*map(type, found[name])]


def test_the_order_is_that_of_the_command_line() -> None:
    """So the last one changes fastest."""
    assert ["seed", "lr"] == list(read("seed=1", "lr=1"))


@pytest.mark.parametrize(("words", "text", "hint"), [
    (["lr"], "--sweep lr: expected NAME=VALUES", "start:stop"),
    (["=3"], "--sweep =3: expected NAME=VALUES", "start:stop"),
    (["sed=3"], "--sweep sed: unrecognized argument: --sed (did you mean --seed?)", ""),
    (["text=\"a\"b"], "a quote is not closed, or text follows it", "quote a value"),
    (["seed=a"], "--sweep seed: argument --seed: expected int, got 'a'", "apart by commas"),
    (["task=a"], "--sweep task: argument --task: Task | None cannot be given as a flag", ""),
    (["lr=1,,2"], "--sweep lr=1,,2: a value is missing", 'An empty text is ""'),
    (["lr="], "--sweep lr=: a value is missing", "apart by commas"),
    (['text="a'], '--sweep text="a: a quote is not closed', "quote a value"),
    (["lr=0:1:0.1"], "--sweep lr: 0:1:0.1 is not a range of whole numbers", "apart by commas"),
    (["seed=1:1"], "the range 1:1 is empty, since its end is excluded", "start:stop"),
    (["seed=0:5:0"], "the step of 0:5:0 is 0", "start:stop"),
    (["seed=0:1000000000000"], "--sweep makes 1,000,000,000,000 combinations; 100,000 are the most", "fewer values"),
    (["seed=0:1000", "lr=0:1000"], "--sweep makes 1,000,000 combinations", "one after another"),
    (["seed=0:5", "seed=7"], "--sweep seed is given twice", "--sweep seed=A,B,C"),
])  # fmt: skip
def test_what_is_wrong_is_named(words: list[str], text: str, hint: str) -> None:
    """With its flag, and with the remedy."""
    with pytest.raises(UsageError) as error:
        read(*words)

    assert text in str(error.value)
    assert hint in str(error.value.hint)


def test_a_parameter_is_swept_or_given() -> None:
    """Not both."""
    with pytest.raises(UsageError, match="--lr is given, and swept as well"):
        read("lr=1", flags={"lr": 2.0})


@pytest.mark.parametrize("option", [{"table": "acc"}, {"csv": "out.csv"}, {"json": True}])
def test_options_of_a_sweep_need_one(option: dict[str, Any]) -> None:
    """They are not ignored."""
    with pytest.raises(UsageError, match=f"--{next(iter(option))} belongs to a sweep"):
        read(**option)


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """Not after hours of work."""
    with pytest.raises(UsageError, match="there is no folder"):
        read("lr=1", csv=str(tmp_path / "gone" / "out.csv"))
    with pytest.raises(UsageError, match="this is a folder"):
        read("lr=1", csv=str(tmp_path))
    assert read("lr=1", csv=str(tmp_path / "out.csv"))
