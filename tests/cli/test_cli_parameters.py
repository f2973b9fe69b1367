"""Laws of flags made from the signature of a task."""
from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional, TypedDict

import pytest

from taskproc.cli.parameters import REQUIRED, Parameter, hint_text, is_plain, parameters_of, read_flags, takes_more
from taskproc.cli.usage import UsageError
from taskproc.tasks.future import Future, FutureList
from taskproc.tasks.task import Task

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Settings:
    rate: float = 0.1
    layers: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Holder:
    upstream: Future[int]


class Named(TypedDict):
    name: str


Meter = NewType("Meter", float)


class Entry(Task):
    def __init__(  # type: ignore[no-untyped-def]
        self,
        count: int,
        rate: float = 0.5,
        name: str = "x",
        flag: bool = False,
        maybe: Optional[int] = None,  # noqa: UP045  # both spellings are read
        either: int | str = 1,
        numbers: list[int] | None = None,
        table: dict[str, float] = {},  # noqa: B006
        pair: tuple[int, str] = (1, "a"),
        colour: Colour = Colour.RED,
        mode: Literal["fast", "slow"] = "fast",
        path: Path = Path("."),
        settings: Settings = Settings(rate=5.0),  # noqa: B008
        day: datetime.date | None = None,
        many_words: int = 0,
        items: int = 0,
        untyped=None,
        untyped_text="x",
        output: str = "",
        upstream: Future[int] | None = None,
        unknown: Unknown | None = None,
        **more: int,
    ):
        pass

    def run_task(self) -> None:
        pass


TAKEN = frozenset({"output"})
PARAMETERS = parameters_of(Entry, TAKEN)


def read(*words: str) -> dict[str, Any]:
    return read_flags(Entry, PARAMETERS, words)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--count", "10"], 10),
        (["--count=-5"], -5),
        (["--count", "-5"], -5),
        (["--rate", "1"], 1.0),
        (["--rate", "-1e-3"], -0.001),
        (["--name", "10"], "10"),
        (["--name", ""], ""),
        (["--name=--x"], "--x"),
        (["--name", "a = b"], "a = b"),
        (["--flag"], True),
        (["--flag", "false"], False),
        (["--no-flag"], False),
        (["--no_flag"], False),
        (["--maybe", "3"], 3),
        (["--maybe", "null"], None),
        (["--either", "3"], 3),
        (["--either", "three"], "three"),
        (["--numbers", "[1, 2]"], [1, 2]),
        (["--numbers+", "1", "--numbers+=2"], [1, 2]),
        (["--table", '{"a": 1}'], {"a": 1.0}),
        (["--pair", '[2, "b"]'], (2, "b")),
        (["--colour", "BLUE"], Colour.BLUE),
        (["--mode", "slow"], "slow"),
        (["--path", "a/b"], Path("a/b")),
        (["--settings", '{"layers": [1]}'], Settings(5.0, [1])),
        (["--settings.layers", "[2]"], Settings(5.0, [2])),
        (["--day", "2024-02-29"], datetime.date(2024, 2, 29)),
        (["--many-words", "1"], 1),
        (["--many_words", "1"], 1),
        (["--items", "4"], 4),
        (["--untyped", "7"], 7),
        (["--untyped-text", "7"], "7"),
    ],
    ids=str,
)
def test_words_become_values_of_the_hint(words: list[str], value: object) -> None:
    """A value has exactly the type of the hint, because 1 and 1.0 would be two tasks."""
    (found,) = read(*words).values()

    assert (value, type(value)) == (found, type(found))


def test_only_what_is_on_the_line_is_read() -> None:
    """Defaults are left to the task."""
    assert {"flag": True, "count": 2} == read("--flag", "--count", "2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--count", "x"], "argument --count: expected int, got 'x'"),
        (["--numbers", '["a"]'], r"argument --numbers: expected list\[int\] \| None in JSON, got"),
        (["--colour", "GREEN"], r"argument --colour: expected RED\|BLUE, got 'GREEN'"),
        (["--mode", "medium"], r"argument --mode: expected fast\|slow, got 'medium'"),
        (["--settings.speed", "1"], "argument --settings: expected Settings, got '.speed=1'"),
        (["--settings.laers", "1"], r"got '\.laers=1' \(Settings has no field 'laers'\. Did you mean 'layers'\?\)"),
        (["--settings", '{"laers": 1}'], r"Settings has no field 'laers'\. Did you mean 'layers'\?"),
        (["--settings.layers", "x"], r"\(settings\.layers: "),
        (["--count"], "argument --count: expected a value"),
        (["--count", "--flag"], "argument --count: expected a value"),
        (["--cuont", "1"], "unrecognized argument: --cuont .did you mean --count"),
        (["--zzz", "1"], "unrecognized argument: --zzz .flags of Entry: --count, --rate"),
        (["--cou", "1"], "unrecognized argument: --cou"),
        (["--no-count"], "unrecognized argument: --no-count"),
        (["extra"], "unrecognized argument: extra"),
        (["--upstream", "1"], r"argument --upstream: Future\[int\] \| None cannot be given as a flag, try --kwargs"),
        (["--unknown", "1"], "argument --unknown: a type that is not known here cannot be given as a flag"),
    ],
    ids=str,
)
def test_wrong_words_name_their_flag(words: list[str], message: str) -> None:
    """A wrong value is refused with its flag and a correct example."""
    with pytest.raises(UsageError, match=message):
        read(*words)


def test_parameters_that_are_no_flags() -> None:
    """Futures, unknown types and names of options have no flags."""
    assert ["output", "upstream", "unknown"] == [each.name for each in PARAMETERS.values() if not each.is_flag]


def test_a_signature_is_read_as_it_stands() -> None:
    """Parameters are read in order, without `self` and `**more`; those without a default are required."""

    class Small(Task):
        def __init__(self, a: int, *, b: str = "x"):
            pass

        def run_task(self) -> None:
            pass

    assert [Parameter("a", int, REQUIRED, True), Parameter("b", str, "x", True)] == list(parameters_of(Small).values())
    assert not takes_more(Small)
    assert takes_more(Entry)


def test_a_task_without_init_has_no_parameters() -> None:
    """A class without its own `__init__` has no parameters."""

    class Bare(Task):
        def run_task(self) -> None:
            pass

    assert {} == parameters_of(Bare)
    assert not takes_more(Bare)


def test_fields_of_a_dataclass_task_are_parameters() -> None:
    """The fields of a dataclass task are parameters."""

    @dataclasses.dataclass(eq=False)
    class Fields(Task):
        a: int
        b: list[str] = dataclasses.field(default_factory=list)

        def run_task(self) -> None:
            pass

    found = parameters_of(Fields)

    assert {"a": 3, "b": ["x"]} == read_flags(Fields, found, ["--a", "3", "--b", '["x"]'])


@pytest.mark.parametrize(
    "hint", [int, None | int, list, dict[str, list[Settings]], Annotated[int, "m"], Meter, Any, Named, tuple[int, ...]]
)
def test_what_can_be_written_in_words(hint: object) -> None:
    """Numbers, texts, and containers and classes of these can be written as flags."""
    assert is_plain(hint)


@pytest.mark.parametrize(
    "hint",
    [Future, Future[int], FutureList, Entry, Holder, list[Future[int]], Callable[[], int], type[int], bytes, "x"],
)
def test_what_cannot(hint: object) -> None:
    """Futures at any depth, and types that would have to be imported or run, cannot be written as flags."""
    assert not is_plain(hint)


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "int"),
        (Optional[int], "int | None"),  # noqa: UP045
        (tuple[int, ...], "tuple[int, ...]"),
        (dict[str, Colour], "dict[str, RED|BLUE]"),
        (Literal["a", 1], "a|1"),
        (Annotated[int, "m"], "int"),
        (Any, "Any"),
    ],
)
def test_hints_are_shown_as_written(hint: object, text: str) -> None:
    """Type hints are shown in short form, without modules."""
    assert text == hint_text(hint)
