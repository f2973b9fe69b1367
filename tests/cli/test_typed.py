"""Laws of values that flags and JSON give to parameters: one reading for both, and nothing is dropped."""
from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskproc.cli.defaults import DefaultArguments
from taskproc.cli.options import parse_options
from taskproc.cli.usage import UsageError
from taskproc.tasks.task import Task


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


@dataclasses.dataclass
class Opt:
    lr: float = 0.1
    name: str = "a"


@dataclasses.dataclass
class Model:
    layers: int = 1
    opt: Opt = dataclasses.field(default_factory=Opt)
    others: list[Opt] = dataclasses.field(default_factory=list)
    maybe: Opt | None = None


@attrs.define
class AttrsOpt:
    lr: float = 0.1


@attrs.define
class AttrsModel:
    layers: int = 1
    opt: AttrsOpt = attrs.field(factory=AttrsOpt)


class PydanticOpt(pydantic.BaseModel):
    lr: float = 0.1


class PydanticModel(pydantic.BaseModel):
    layers: int = 1
    opt: PydanticOpt = pydantic.Field(default_factory=PydanticOpt)


class Table(TypedDict):
    opt: Opt


class Refused(NamedTuple):
    """Stands for a value that is refused."""


def task_of(hint: object, default: object = ...) -> type[Task]:
    class Entry(Task):
        def __init__(self, p):  # type: ignore[no-untyped-def]
            self.p = p

        def run_task(self) -> None:
            pass

    Entry.__init__.__annotations__["p"] = hint
    if default is not ...:
        Entry.__init__.__defaults__ = (default,)
    return Entry


def read(cls: type[Task], *words: str, **defaults: Any) -> Any:
    """The arguments of the task in this folder."""
    try:
        value = parse_options("prog", cls, ["-o", "x", *words], DefaultArguments(**defaults)).arguments["p"]
    except UsageError:
        return Refused()
    return repr(value), type(value)


def by_kwargs(value: object) -> list[str]:
    return ["--kwargs", json.dumps({"p": value})]


def by_flag(value: object) -> str:
    """A text is given to a flag as it is, any other value as JSON."""
    return f"--p={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"


HINTS = [
    int, float, bool, complex, Path, Mode, datetime.date, Literal["a", 1], int | None, Path | None, int | float,
    tuple[int, int], tuple[int, ...], list[int], list[float], list[Path], set[int], frozenset[float], dict[str, float],
    dict[int, Path], dict[str, Mode], Sequence[float], Annotated[float, "m"], Model, Model | None, list[Model],
    tuple[Opt, int], dict[str, Model], AttrsModel, PydanticModel, Table,
]  # fmt: skip
_words = st.sampled_from(["p", "a/b", "FAST", "x", "3", "1.5", "2024-02-29", "1+2j", "a", "true", "é😀"])
_scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, -2.0, 1e16]) | _words
_names = st.sampled_from(["layers", "opt", "optt", "lr", "name", "others", "maybe", "1", "q"])
_json = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3), max_leaves=6
)


@pytest.mark.slow
@given(st.sampled_from(HINTS), _json)
def test_kwargs_are_read_like_flags(hint: Any, value: object) -> None:
    """--kwargs and flags give the same value of the same type, or both refuse it."""
    cls = task_of(hint)
    flag = read(cls, by_flag(value))

    if flag[1:] == (type(Path()),) and type(value) not in (str, int, float):
        flag = Refused()  # behind a flag it is the text that is written there
    assert flag == read(cls, *by_kwargs(value))


@pytest.mark.parametrize(
    ("hint", "value", "found"),
    [
        (Path, "p", Path("p")),
        (Mode, "FAST", Mode.FAST),
        (tuple[int, str], [1, "b"], (1, "b")),
        (float, 1, 1.0),
        (float, float("inf"), float("inf")),
        (int, "3", 3),
        (str, 3, "3"),
        (str, "3", "3"),
        (str, "null", "null"),
        (int | str, "3", "3"),
        (int | str, 3, 3),
        (str | None, None, None),
        (Any, "3", "3"),
        (Any, ["😀", {"a": None}], ["😀", {"a": None}]),
        (list, [1, "x"], [1, "x"]),
        (list[str], ["😀\x7f", "null"], ["😀\x7f", "null"]),
        (list[Model], [{"layers": 3}], [Model(3)]),
        (Model | Opt, {"name": "b"}, Opt(name="b")),
        (Model | dict[str, Any], {"optt": {}}, {"optt": {}}),
    ],
    ids=str,
)
def test_json_becomes_a_value_of_the_hint(hint: Any, value: object, found: object) -> None:
    """JSON becomes a value of exactly the hinted type; a text stays a text if it may."""
    assert (repr(found), type(found)) == read(task_of(hint), *by_kwargs(value))


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, "x"), (int, 1.5), (int, True), (int, None), (float, "x"), (str, None), (str, True), (str, [1]), (str, {}),
        (Path, None), (Path, []), (Mode, "fast"), (Mode, None), (tuple[int, int], [1]), (Model, None), (Model, 3),
        (Model, "x"), (Model, []), (list[Model], [None]), (Model, {"opt": None}), (Model, {"opt": 3}),
        (Model, {"layers": None}), (dict[str, int], {"a": None}), (list[int], [None]),
    ],
    ids=str,
)  # fmt: skip
def test_json_that_does_not_fit_is_refused(hint: Any, value: object) -> None:
    """JSON that does not fit the hint is refused; null fits only where None is allowed."""
    assert Refused() == read(task_of(hint), *by_kwargs(value))


def test_a_name_of_an_option_is_converted_too() -> None:
    """A parameter without a flag is converted to its type too."""

    class Entry(Task):
        def __init__(self, output: Path):
            pass

        def run_task(self) -> None:
            pass

    given_ = parse_options("prog", Entry, ["-o", "x", "--kwargs", '{"output": "p"}'], DefaultArguments())

    assert {"output": Path("p")} == given_.arguments


def test_none_may_be_given_where_it_is_the_default() -> None:
    """None may be given if it is the default, as in `n: int = None`."""
    assert ("None", type(None)) == read(task_of(int, None), *by_kwargs(None))
    assert ("None", type(None)) == read(task_of(int, None), "--p", "null")


@pytest.mark.parametrize(
    ("hint", "value", "found"),
    [
        (Path, "p", Path("p")),
        (float, 1, 1.0),
        (tuple[int, int], [1, 2], (1, 2)),
        (tuple[int, int], (1, 2), (1, 2)),
        (Model, {"layers": 2}, Model(2)),
        (Model, Model(2), Model(2)),
        (list[Any], [Path("p")], [Path("p")]),
        (Mode, Mode.SLOW, Mode.SLOW),
    ],
    ids=str,
)
def test_defaults_are_read_as_far_as_they_are_json(hint: Any, value: object, found: object) -> None:
    """Default kwargs of a script are converted as far as they are JSON; other Python values stay as they are."""
    assert (repr(found), type(found)) == read(task_of(hint), kwargs={"p": value})


@pytest.mark.parametrize("model", [Model, AttrsModel, PydanticModel])
@pytest.mark.parametrize("value", [{"layers": 7, "optt": {}}, {"optt": {"a": {}}}, {"optt": None}, {"optt": []}])
def test_an_unknown_field_is_refused_whatever_its_value(model: type, value: object) -> None:
    """An unknown field is refused, by a flag and by --kwargs."""
    for words in ([by_flag(value)], by_kwargs(value)):
        with pytest.raises(UsageError, match=r"Model has no field 'optt'\. Did you mean 'opt'\?"):
            parse_options("prog", task_of(model), ["-o", "x", *words], DefaultArguments())


@pytest.mark.parametrize(
    ("hint", "value", "name"),
    [
        (Model, {"opt": {"lr": 3, "kin": {}}}, "kin"),
        (AttrsModel, {"opt": {"kin": {}}}, "kin"),
        (PydanticModel, {"opt": {"kin": {}}}, "kin"),
        (Model, {"others": [{}, {"nam": {}}]}, "nam"),
        (Model, {"maybe": {"nam": {}}}, "nam"),
        (Model | None, {"optt": {}}, "optt"),
        (list[Model], [{"optt": {}}], "optt"),
        (dict[str, Model], {"a": {"opt": {"nam": {}}}}, "nam"),
        (tuple[Opt, Model], [{"lr": 1}, {"optt": {}}], "optt"),
        (tuple[Model, ...], [{}, {"optt": {}}], "optt"),
        (Model | Opt, {"optt": {}}, "optt"),
        (Table, {"opt": {"nam": {}}}, "nam"),
    ],
    ids=str,
)
def test_an_unknown_field_is_refused_at_any_depth(hint: Any, value: object, name: str) -> None:
    """An unknown field at any depth is refused by name."""
    for words in ([by_flag(value)], by_kwargs(value)):
        with pytest.raises(UsageError, match=f"has no field {name!r}"):
            parse_options("prog", task_of(hint), ["-o", "x", *words], DefaultArguments())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--p.laye", "3"], "Model has no field 'laye'. Did you mean 'layers'?"),
        (["--p.opt.l", "9"], "Opt has no field 'l'. Did you mean 'lr'?"),
        (["--p.op.lr", "9"], "Model has no field 'op'. Did you mean 'opt'?"),
        (["--p.other+", '{"lr": 1}'], "Model has no field 'other'. Did you mean 'others'?"),
        (["--p", "{layers: 7, optt: {}}"], "Model has no field 'optt'. Did you mean 'opt'?"),
        (["--p.opt", "null"], 'p.opt: expected Opt, got "null"'),
        (["--p.layers", "x"], "p.layers: expected int, got x"),
        (["--p", "null"], "argument --p: expected Model, got 'null'"),
        (["--p", "3"], "argument --p: expected Model, got '3'"),
        (["--p", '{"opt": {"name": 3}}'], "p.opt.name: expected str, got 3"),
    ],
    ids=str,
)
def test_fields_are_written_out(words: list[str], message: str) -> None:
    """Abbreviated fields are refused, and messages do not mention the parser."""
    with pytest.raises(UsageError) as caught:
        parse_options("prog", task_of(Model), ["-o", "x", *words], DefaultArguments())

    assert message in str(caught.value)
    assert not {"Parser key", "Unable to load", "<class"} & {part for part in ("Parser key", "Unable to load", "<class")
                                                            if part in str(caught.value)}


def test_no_file_is_read_for_fields(tmp_path: Path) -> None:
    """A path is not read as the content of an object."""
    path = tmp_path / "model.json"
    path.write_text('{"layers": 7, "optt": {}}')

    assert Refused() == read(task_of(Model), "--p", str(path))


def test_a_text_field_is_a_text() -> None:
    """A text field takes any text behind its own flag."""
    assert (repr(Model(opt=Opt(name="null"))), Model) == read(task_of(Model), "--p.opt.name", "null")
