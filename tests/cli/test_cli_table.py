"""Laws of the table: everything that the command line knows of commands and options is declared there once."""
from __future__ import annotations

import ast
import dataclasses
import inspect
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

import taskproc
from taskproc.cli.completion import next_words
from taskproc.cli.defaults import DefaultArguments
from taskproc.cli.main import main
from taskproc.cli.options import Options
from taskproc.cli.table import COMMANDS, COUNT, ENTRY_OPTIONS, REMOTE_COMMANDS, CommandEntry, Option
from taskproc.cli.usage import tell
from taskproc.tasks.task import Task
from tests.cli import reference

Capture = pytest.CaptureFixture[str]
EVERY = [*COMMANDS.values(), *REMOTE_COMMANDS.values()]


def count_tasks(given: Namespace) -> int:
    """The function of a command that a test adds."""
    tell(f"{given.output} {given.least} {given.name} {given.fast}")
    return 5


def describe_task(cls: type[Task], options: Options) -> int:
    """The function of a command on a task that a test adds."""
    tell(f"{cls.__qualname__} {dict(options.arguments)} {options.output} {dict(options.more)}")
    return 0


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two more commands, each added by one entry."""
    output = ENTRY_OPTIONS[0]
    least = Option("least", ("-m", "--least"), "how many at least", "N", COUNT, default=2)
    fast = Option("fast", ("--fast",), "look at less", sets=True, default=False)
    name = Option("name", (), "what is counted", "NAME", required="name")
    level = Option("level", ("--level",), "how much to say about Main", choices=("low", "high"), default="low")
    for each in (
        CommandEntry("count", "count all that is there", f"{__name__}:count_tasks",
                (output, least, fast, name)),
        CommandEntry("describe", "describe Main", f"{__name__}:describe_task",
                (*ENTRY_OPTIONS, level), takes_task=True),
    ):  # fmt: skip
        monkeypatch.setitem(COMMANDS, each.name, each)  # type: ignore[arg-type]  # nobody else may write there


@pytest.mark.usefixtures("added")
def test_a_command_is_one_entry_and_one_function(capsys: Capture) -> None:
    """One entry gives a command its arguments, help, errors, line in the overview, completion and reference."""
    assert 5 == main(["count", "-o", "cache", "rows", "-m", "3", "--fast"])
    assert 5 == main(["count", "rows", "--output=cache"])
    assert "cache 3 rows True\ncache 2 rows False\n" == capsys.readouterr().out

    assert 0 == main(["count", "--help"]) == main(["--help"])
    own, _, program = capsys.readouterr().out.partition("usage: taskproc SCRIPT")
    assert own.startswith("usage: taskproc count [-o DIR] NAME [options]\n\nCount all that is there.\n")
    assert "how many at least; default: 2" in own
    assert "\n  count [-o DIR] NAME " in program
    for words, error in {
        ("count", "rows"): "no cache folder is given: -o DIR\n\nhint: give it with -o DIR, or set TASKPROC_CACHE",
        ("count", "-o", "cache"): "no name is given: NAME",
        ("count", "-o", "cache", "rows", "-m", "0"): "argument -m/--least: expected an int of at least 1",
        ("count", "--lest=1"): "unrecognized arguments: --lest=1. Did you mean '--least'?",
        ("cuont",): "Did you mean 'count'?",
    }.items():
        assert 2 == main(words)
        assert error in capsys.readouterr().err
    assert "count" in next_words([])
    assert {"--least", "--fast"} <= set(next_words(["count"]))
    assert "\ntaskproc count [-o DIR] NAME [options]\n" in reference.page()
    assert "| `-m`, `--least N` | how many at least; default: 2 |" in reference.page()


@pytest.mark.usefixtures("added")
def test_a_command_on_a_task_may_have_options_of_its_own(tmp_path: Path, capsys: Capture) -> None:
    """It has them in addition to those of a run, with the defaults of the script."""
    (tmp_path / "job.py").write_text(
        "from taskproc import DefaultArguments, Task\nDefaultArguments(output='there').populate()\n"
        "class Main(Task):\n    def __init__(self, x: int, level: str = ''):\n        pass\n"
    )

    assert 0 == main(["describe", "job.py", "--x", "3", "--level", "high"])
    assert "Main {'x': 3} there {'level': 'high'}\n" == capsys.readouterr().out
    assert 0 == main(["describe", "job.py", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "Describe Main." in shown
    assert "how much to say about Main; default: low" in shown
    assert ["low", "high"] == next_words(["describe", "job.py", "--level"])


@pytest.mark.parametrize("command", EVERY, ids=lambda each: each.function)
def test_a_command_has_its_function(command: CommandEntry) -> None:
    """The function of each command exists and takes the arguments of the table."""
    takes = ["cls", "options"] if command.takes_task else ["given"]

    found = list(inspect.signature(command.load()).parameters)

    assert takes == found[: len(takes)]


@pytest.mark.parametrize("command", EVERY, ids=lambda each: each.function)
def test_the_options_of_a_command_agree(command: CommandEntry) -> None:
    """A command has no flag twice, and options that set one attribute have the same default."""
    flags = [flag for option in command.options for flag in option.flags]
    defaults = {(option.name, option.default) for option in command.options}

    assert sorted(set(flags)) == sorted(flags)
    assert len(defaults) == len({name for name, _ in defaults})


def test_the_defaults_of_a_script_are_those_of_the_table() -> None:
    """DefaultArguments has exactly the options of a run that are not for one run only."""
    table = {option.name: option.default for option in ENTRY_OPTIONS if option.name not in ("force", "dry_run")}

    fields = {each.name: each.default for each in dataclasses.fields(DefaultArguments)}

    assert {**table, "prefix": None} == fields
    assert table == {name: value for name, value in DefaultArguments().in_force().items() if name in table}


def test_the_reference_is_what_the_table_makes() -> None:
    """docs/cli.md is the page that `python tests/cli/reference.py` writes."""
    assert reference.page() == reference.PAGE.read_text("utf-8")


def test_options_are_declared_nowhere_else() -> None:
    """Only one module makes parsers and adds options."""
    root = Path(taskproc.__file__).parent
    adding = {path.name for path in root.rglob("*.py") for call in _calls(path) if call.endswith("add_argument")}

    assert {"parsing.py", "typed_values.py"} == adding  # typed_values.py has jsonargparse read single values


def _calls(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    yield from (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
