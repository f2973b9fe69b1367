"""The options of a run: words and defaults become one frozen value.

Options on the command line take precedence over DefaultArguments, and these over the defaults of the task. A flag of
the entry task takes precedence over `--kwargs`, because it is more specific.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from taskproc.cli.defaults import DefaultArguments
from taskproc.cli.parameters import Parameter, convert, parameters_of, read_flags, takes_more
from taskproc.cli.parsing import Parser, complete
from taskproc.cli.sweep_options import read_sweep
from taskproc.cli.table import COMMANDS, HELP, CommandEntry
from taskproc.cli.task_help import description
from taskproc.cli.typed_values import REQUIRED
from taskproc.cli.usage import UsageError
from taskproc.frozen import frozen
from taskproc.text import did_you_mean

_RUN = COMMANDS["run"]


@frozen
class Options:
    """The values of the options; `arguments` are the arguments of the entry task.

    Attributes:
        force: create the cache even in a folder that contains other files.
        more: values of the options that only some commands have; of `sweep`, the values by parameter.
        task_id: the word behind the script, of a command that takes one.
        program, script: how the program was called, and with which script or module; empty if it is not known.
        words: behind the script.
    """

    arguments: Mapping[str, Any]
    output: str
    loglevel: str
    num_workers: int | None
    prefixes: Mapping[str, Any] | None
    rate_limits: Mapping[str, int | Sequence[str]] | None
    exec_type: str
    on_error: str
    detect_source_change: bool
    force_entrypoint: bool
    show_progress: bool
    dry_run: bool
    log_format: str = "text"
    force: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)
    program: str = ""
    script: str = ""
    words: Sequence[str] = ()
    task_id: str = ""


def parse_options(
    prog: str, cls: type, words: Sequence[str], defaults: DefaultArguments, command: CommandEntry = _RUN
) -> Options:
    """Parse the words after the script. Raises UsageError, which names the wrong flag; SystemExit for `--help`."""
    parameters = parameters_of(cls, built_in(command))
    name, start = cls.__qualname__, defaults.in_force()
    text = description(cls, command.description().replace("Main", name), parameters, start["kwargs"] or {})
    behind_script = command._replace(takes_task=False)
    parser = Parser(behind_script, prog, about=text, name=name, defaults=start, parameters=parameters)
    given, rest = parser.parse_known_args(list(words))
    flags = read_flags(cls, parameters, rest, [flag for flag, _ in _flags(command)])
    swept = read_sweep(cls, parameters, vars(given), flags)
    values = {**start, **vars(given), "output": given.output or start["output"]}
    kwargs = _converted(values.pop("kwargs") or {}, parameters)
    complete(command, values)
    more = {key: values.pop(key) for key in vars(given).keys() - start.keys()}
    if swept and not any(word.partition("=")[0] == "--on-error" for word in words):
        values["on_error"] = "continue"
    first = {key: column[0] for key, column in swept.items()}
    arguments = _arguments(cls, parameters, {**kwargs, **flags, **first})
    return Options(arguments=arguments, **values, more={**more, "sweep": swept} if "sweep" in more else more)


def built_in(command: CommandEntry) -> frozenset[str]:
    """Names of options of the command: a parameter with such a name cannot be a flag."""
    return frozenset(flag.replace("-", "_") for flag, yields in _flags(command) if not yields)


def _flags(command: CommandEntry) -> list[tuple[str, bool]]:
    """The long flags of a command, and whether a parameter may take each of them."""
    flags = [(flag, option.yields) for option in (HELP, *command.options) for flag in option.flags]
    return [(flag.removeprefix("--"), yields) for flag, yields in flags if flag.startswith("--")]


def _converted(kwargs: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    return {name: convert(parameters[name], value) if name in parameters else value for name, value in kwargs.items()}


def _arguments(cls: type, parameters: Mapping[str, Parameter], given: dict[str, Any]) -> dict[str, Any]:
    name = cls.__qualname__
    if unknown := [key for key in given if key not in parameters and not takes_more(cls)]:
        there = f"parameters of {name}: {', '.join(parameters)}" if parameters else f"{name} has no parameters"
        raise UsageError(f"--kwargs: unknown parameter {unknown[0]!r} ({there}){did_you_mean(unknown[0], parameters)}")
    missing = [entry for entry in parameters.values() if entry.default is REQUIRED and entry.name not in given]
    if missing:
        how = [f"--{entry.name}" if entry.is_flag else f"{entry.name} (by --kwargs)" for entry in missing]
        raise UsageError(f"{name} requires {', '.join(how)}")
    return given
