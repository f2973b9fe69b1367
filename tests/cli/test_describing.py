"""Laws of the help on a task: its parameters with types, defaults and the text of its docstrings."""
from __future__ import annotations

import dataclasses
import enum
import re
from pathlib import Path
from typing import Any

import pytest

from taskproc.cli.defaults import DefaultArguments
from taskproc.cli.options import parse_options
from taskproc.cli.usage import UsageError
from taskproc.tasks.task import Task


@dataclasses.dataclass
class Step:
    """How to go on.

    Attributes:
        rate: how far each step goes.
        kind (str): what it is called.
    """

    rate: float = 0.1
    kind: str = "sgd"


@dataclasses.dataclass
class Model:
    layers: int
    step: Step = dataclasses.field(default_factory=Step)


NEAR = Step(0.3)


class Train(Task):
    """Train 100% of it.

    Args:
        model: the network
            in full.
        first, last (int): a bound.
        unknown: of a parameter that was removed.

    More words: these.
    """

    def __init__(
        self, model: Model, step: Step | None = None, other: Step = NEAR, first: int = 1, last: int = 2,
        far: int = 3,
    ):  # fmt: skip
        """Arguments:
            far: how far.
        """

    def run_task(self) -> None:
        pass


class Told(Task):
    """A task.

    Args:
        word: what to say.
    """

    def __init__(self, word: str = "x"):
        pass

    def run_task(self) -> None:
        pass


class Heir(Told):
    pass


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The help on a class, in a terminal of 100 columns."""
    monkeypatch.setenv("COLUMNS", "100")

    def show(cls: type, **defaults: Any) -> str:
        with pytest.raises(SystemExit):
            parse_options("prog", cls, ["--help"], DefaultArguments(**defaults))
        return capsys.readouterr().out

    return show


def test_words_stand_beside_the_flags(shown: Any) -> None:
    """Flags have the text of the docstrings of the class and of `__init__`, also if several names share it."""
    text = shown(Train)

    for line in (
        "--model Model  the network in full; required",
        "--first int    a bound; default: 1",
        "--last int     a bound; default: 2",
        "--far int      how far; default: 3",
    ):
        assert line.split() in [each.split() for each in text.splitlines()]
    assert "Train 100% of it." in text
    assert "More words: these." in text


def test_fields_of_a_dataclass_are_flags_with_dots(shown: Any) -> None:
    """Fields at any depth are flags with dots, with their docstrings and defaults, also if None is allowed."""
    text = shown(Train, kwargs={"other": Step(0.7)})

    for line in (
        "--model.layers int       required",
        "--model.step.rate float  how far each step goes; default: 0.1",
        "--model.step.kind str    what it is called; default: 'sgd'",
        "--step Step | None       default: None",
        "--step.rate float        how far each step goes; default: 0.1",
        "--other.rate float       how far each step goes; default: 0.7",
    ):
        assert line.split() in [each.split() for each in text.splitlines()]


def test_what_stands_beside_the_flags_is_not_said_twice(shown: Any) -> None:
    """A section that is shown at the flags is left out of the description, inherited ones too."""
    assert "Args:" in shown(Train)  # of it one entry has no flag
    text = shown(Told, kwargs={"word": "y"})
    assert "Args:" not in text
    assert 1 == text.count("what to say")
    assert "--word str  what to say; default: 'y'" in text
    assert "--word str  what to say; default: 'x'" in shown(Heir)


def test_long_words_are_wrapped(shown: Any) -> None:
    """Long texts are wrapped within the terminal."""
    long = type("Long", (Told,), {"__doc__": f"A task.\n\nArgs:\n    word: {'many words ' * 20}\n"})

    lines = shown(long).splitlines()

    first = next(number for number, line in enumerate(lines) if "--word str" in line)
    assert lines[first + 1].startswith(" " * 14)
    assert max(map(len, lines)) <= 100


def test_json_for_a_dataclass_is_one(shown: Any) -> None:
    """JSON gives a dataclass in --kwargs and behind its flag, and a wrong field is named."""
    given = parse_options("prog", Train, ["-o", "x", "--kwargs", '{"model": {"layers": 2}}'], DefaultArguments())

    assert {"model": Model(2)} == given.arguments
    with pytest.raises(UsageError, match=r"Model has no field 'layrs'\. Did you mean 'layers'\?"):
        parse_options("prog", Train, ["-o", "x", "--kwargs", '{"model": {"layrs": 2}}'], DefaultArguments())


class Speed(enum.Enum):
    FAST = "fast"


class Typed(Task):
    def __init__(
        self,
        speed: Speed = Speed.FAST,
        path: Path = Path("a/b"),
        speeds: tuple[Speed, ...] = (Speed.FAST,),
        table: dict[str, Path] = {"x": Path("y")},  # noqa: B006  # it is what is shown
    ):
        pass

    def run_task(self) -> None:
        pass


def test_defaults_are_shown_as_they_would_be_written(shown: Any) -> None:
    """Defaults of an Enum and of paths are shown as a flag takes them."""
    text = shown(Typed)

    assert re.search(r"--speed FAST +default: FAST\n", text)
    assert "default: a/b" in text
    assert "default: (FAST,)" in text
    assert "default: {'x': y}" in text
