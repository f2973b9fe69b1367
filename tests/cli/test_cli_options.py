"""Laws of options: the line comes before DefaultArguments, these before the task; an error names its flag."""
from __future__ import annotations

import json
from typing import Any

import pytest

from taskproc.cli.defaults import DefaultArguments
from taskproc.cli.options import Options, built_in, parse_options
from taskproc.cli.table import COMMANDS
from taskproc.cli.usage import UsageError
from taskproc.frozen import replace
from taskproc.tasks.task import Task


class Entry(Task):
    """Train 100% of it.

    In two paragraphs.
    """

    def __init__(self, rate: float, layers: int = 3, output: str = "out"):
        pass

    def run_task(self) -> None:
        pass


class Plain(Task):
    def run_task(self) -> None:
        pass


class Open(Task):
    def __init__(self, **more: int):
        pass

    def run_task(self) -> None:
        pass


def options(*words: str, cls: type = Plain, **defaults: Any) -> Options:
    return parse_options("prog", cls, ["-o", "cache", *words], DefaultArguments(**defaults))


def arguments(*words: str, cls: type = Entry, **defaults: Any) -> dict[str, Any]:
    return dict(options(*words, cls=cls, **defaults).arguments)


def test_what_is_not_on_the_line_is_the_default() -> None:
    """An empty line gives the documented defaults."""
    assert Options(
        arguments={}, output="cache", loglevel="warning", num_workers=None, prefixes=None, rate_limits=None,
        exec_type="process", on_error="stop", detect_source_change=True, force_entrypoint=True, show_progress=True,
        dry_run=False, more={"sweep": {}, "table": None, "csv": None, "json": False},
    ) == options()  # fmt: skip


SETTINGS: dict[str, tuple[list[str], Any]] = {
    "loglevel": (["-l", "INFO"], "info"),
    "num_workers": (["-n", "4"], 4),
    "prefixes": (["--prefix", '{"gpu": "srun"}'], {"gpu": "srun"}),
    "rate_limits": (["--rate-limits", '{"gpu": 1}'], {"gpu": 1}),
    "exec_type": (["-t", "thread"], "thread"),
    "on_error": (["--on-error", "continue"], "continue"),
    "detect_source_change": (["-D"], False),
    "force_entrypoint": (["--dont-force-entrypoint"], False),
    "show_progress": (["--dont-show-progress"], False),
    "dry_run": (["--dry-run"], True),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_each_option_changes_one_thing(name: str) -> None:
    """An option sets its own value and no other."""
    words, value = SETTINGS[name]

    assert replace(options(), **{name: value}) == options(*words)


def test_long_and_short_names_are_one() -> None:
    """Each short option has its long form, and the prefix its two names."""
    short = options("-n", "2", "-t", "local", "-l", "error", "-D", "--prefix", "{}")
    long = options("--num-workers=2", "--exec-type=local", "--loglevel=error", "--disable-detect-source-change",
                   "--prefixes", "{}")  # fmt: skip

    assert short == long
    assert "cache" == parse_options("prog", Plain, ["--output", "cache"], DefaultArguments()).output


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - {"dry_run"}))
def test_defaults_are_taken_where_the_line_is_silent(name: str) -> None:
    """A value of DefaultArguments acts like the option."""
    words, value = SETTINGS[name]

    assert options(*words) == options(**{name: value})


@pytest.mark.parametrize("name", ["detect_source_change", "force_entrypoint", "show_progress"])
def test_what_a_script_has_off_can_be_turned_on(name: str) -> None:
    """An option that a script turns off can be turned on; the last flag on the line counts."""
    flag, off = f"--{name.replace('_', '-')}", SETTINGS[name][0]

    assert options() == options(flag, **{name: False}) == options(*off, flag) == options(flag)
    assert options(*off) == options(flag, *off)


def test_a_parameter_keeps_the_name_of_a_younger_option() -> None:
    """A parameter that has the name of a newer option stays a parameter."""

    class Older(Task):
        def __init__(self, show_progress: int, force: str = ""):
            pass

        def run_task(self) -> None:
            pass

    assert arguments("--show-progress", "3", "--force", "x", cls=Older) == {"show_progress": 3, "force": "x"}
    assert not options("--show-progress", "3", "--dont-show-progress", cls=Older).show_progress


def test_the_line_wins_and_replaces() -> None:
    """A JSON option on the line replaces its default as a whole."""
    found = options("--rate-limits", '{"a": 1}', "--prefixes", "{}", "-n", "3",
                    rate_limits={"b": 2}, prefix={"b": "srun"}, num_workers=5)  # fmt: skip

    assert ({"a": 1}, {}, 3) == (found.rate_limits, found.prefixes, found.num_workers)


def test_the_output_may_have_a_default() -> None:
    """With a default output, the line needs none."""
    assert "there" == parse_options("prog", Plain, [], DefaultArguments(output="there")).output
    with pytest.raises(UsageError, match="no cache folder is given: -o DIR"):
        parse_options("prog", Plain, [], DefaultArguments())


def test_arguments_flag_over_kwargs_over_defaults() -> None:
    """A flag comes before --kwargs, and --kwargs replaces the default kwargs as a whole."""
    defaults = {"rate": 0.1, "layers": 1}

    assert {"rate": 0.1, "layers": 1} == arguments(kwargs=defaults)
    assert {"rate": 0.1, "layers": 2} == arguments("--layers", "2", kwargs=defaults)
    assert {"rate": 0.5} == arguments("--kwargs", '{"rate": 0.5}', kwargs=defaults)
    assert {"rate": 0.7} == arguments("--kwargs", '{"rate": 0.5}', "--rate", "0.7")


def test_kwargs_say_what_flags_cannot() -> None:
    """--kwargs reaches parameters with the name of an option, and `**` parameters."""
    found = options("--kwargs", '{"rate": 1, "output": "x"}', cls=Entry)

    assert {"rate": 1, "output": "x"} == dict(found.arguments)
    assert "cache" == found.output
    assert {"a": 1} == arguments("--kwargs", '{"a": 1}', cls=Open)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-n", "0"], "argument -n/--num-workers: expected an int of at least 1, got '0'"),
        (["-n", "two"], "argument -n/--num-workers"),
        (["-t", "fibre"], "argument -t/--exec-type: invalid choice: 'fibre'"),
        (["-l", "loud"], "argument -l/--loglevel: invalid choice: 'loud'"),
        (["--on-error", "ignore"], "argument --on-error: invalid choice"),
        (["--kwargs", "{"], r"argument --kwargs: expected a JSON object such as .*, got '\{' \(Expecting property"),
        (["--kwargs", "[1]"], "argument --kwargs: expected a JSON object"),
        (["--rate-limits", "1"], "argument --rate-limits: expected a JSON object"),
        (["--kwargs", '{"lr": 1}'], r"--kwargs: unknown parameter 'lr' \(parameters of Entry: rate, layers, output\)"),
        (["--layers", "3"], "Entry requires --rate"),
        (["--num", "3", "--rate", "1"], "unrecognized argument: --num "),
        (["--dry", "--rate", "1"], "unrecognized argument: --dry "),
        (["-n"], "argument -n/--num-workers: expected one argument"),
        (["-x", "--rate", "1"], "unrecognized argument: -x"),
    ],
    ids=str,
)
def test_wrong_usage_names_the_flag(words: list[str], message: str) -> None:
    """Abbreviations, unknown names and wrong values are refused with the flag."""
    with pytest.raises(UsageError, match=message):
        options(*words, cls=Entry)


def test_a_task_without_parameters_says_so() -> None:
    """Flags and --kwargs are refused for a task without parameters."""
    with pytest.raises(UsageError, match="unrecognized argument: --x .flags of Plain: none"):
        options("--x", "1")
    with pytest.raises(UsageError, match="unknown parameter 'x' .Plain has no parameters"):
        options("--kwargs", '{"x": 1}')


def test_help_shows_the_task_and_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """The help has the docstring, the parameters with types and defaults, and all options."""
    with pytest.raises(SystemExit) as caught:
        options("--help", cls=Entry, kwargs={"layers": 7}, output="there")

    shown = capsys.readouterr().out
    assert 0 == caught.value.code
    assert "Train 100% of it.\n\nIn two paragraphs." in shown
    assert "--rate float               required" in shown
    assert "--layers int               default: 7" in shown
    assert "output (by --kwargs only)  default: 'out'" in shown
    assert "the cache folder; default: there" in shown
    missing = [name for name in built_in(COMMANDS["run"]) if f"--{name.replace('_', '-')}" not in shown]
    assert [] == missing


def test_json_may_be_given_in_one_word() -> None:
    """`--kwargs=…` and `--kwargs …` mean the same."""
    text = json.dumps({"rate": 2.0})

    assert arguments("--kwargs", text) == arguments(f"--kwargs={text}")
