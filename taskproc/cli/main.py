"""The entry point of the command line: finds the command and returns its exit code.

The first word is a subcommand or a script. A word that ends in `.py`, contains a path separator or is the name of a
file is a script.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from taskproc.cli.table import ALIASES, COMMANDS, COMPLETE, CommandEntry, command_lines
from taskproc.cli.target import is_script, split
from taskproc.cli.usage import DONE, UsageError, guarded, program
from taskproc.frozen import replace
from taskproc.modules import runs_as_main
from taskproc.text import did_you_mean

if TYPE_CHECKING:
    from taskproc.cli.defaults import DefaultArguments
    from taskproc.cli.options import Options
    from taskproc.tasks.task import Task

_HELP = """\
usage: {prog} SCRIPT -o DIR [options]
       {prog} COMMAND …    each command has its own help: COMMAND --help

Run the task called Main of a script, and all tasks it needs whose results are not in the cache.

commands:
{commands}

{targets}
options:
  -h, --help   show this and exit; after a script: its parameters and all options
  --version    show the version and exit

A module that ends with `if __name__ == '__main__': Main.cli()` takes the same options:
python -m MODULE -o DIR [options]
"""

_TARGETS = """\
SCRIPT is a file; MODULE is a name as in an import, such as package.module; CLASS is the entry task, by default Main.
--help after the script also shows the parameters of the task and the defaults of the script.
The command `run` may be left out: {prog} SCRIPT -o DIR
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of this process, and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    words[:1] = [ALIASES.get(word, word) for word in words[:1]]
    prog = program()
    return guarded(lambda: _dispatch(prog, words), f"see `{' '.join([prog, *_known(words)])} --help`")


def _known(words: list[str]) -> list[str]:
    """The first words, as far as `--help` can follow them."""
    command = COMMANDS.get("".join(words[:1]))
    if command and command.takes_task:
        place = split("".join(words[1:2]))[0]
        is_known = os.path.isfile(place) or not (place.startswith("-") or is_script(place))
        return words[: 1 + (bool(place) and is_known)]
    return words[: 1 if command or _is_target("".join(words[:1])) else 0]


def run_class(cls: type[Task], args: Sequence[str] | None = None, defaults: DefaultArguments | None = None) -> int:
    """Run a command line for the entry task `cls`, and return its exit code.

    Args:
        args: the words of the command line; default: those of this process.
        defaults: default: those of the last `populate()`.
    """
    words = list(sys.argv[1:] if args is None else args)
    prog = _prog_of_main()
    start = ("python -m taskproc", _script_of_main() if runs_as_main(cls) else "")
    return guarded(lambda: _with_entry(COMMANDS["run"], prog, cls, words, start, defaults), f"see `{prog} --help`")


def _dispatch(prog: str, words: list[str]) -> int:
    if not words:
        raise UsageError("which script? Give the file that defines Main")
    first, rest = words[0], words[1:]
    if first in ("-h", "--help"):
        targets = _TARGETS.format(prog=prog)
        print(_HELP.format(prog=prog, commands=command_lines(COMMANDS.values()), targets=targets), end="")
        return DONE
    if first == "--version":
        print(f"taskproc {_version()}")
        return DONE
    if first == COMPLETE:
        from taskproc.cli.completion import complete_command

        return complete_command(rest)
    if first in COMMANDS:
        return _start(COMMANDS[first], f"{prog} {first}", rest)
    if _is_target(first):
        return _start(COMMANDS["run"], prog, words)
    if first.startswith("-"):
        near = did_you_mean(first, ["--version", "--help"])
        raise UsageError(f"the script must come before its options, got {first!r}{near}")
    known = ", ".join(COMMANDS)
    near = did_you_mean(first, [*COMMANDS, *(name for name in os.listdir() if name.endswith(".py"))])
    raise UsageError(
        f"{first!r} is neither a script (it does not end in .py and is not a path or a file) nor a command ({known})"
        + (near or f". To run a module: `{prog} run {first}`")
    )


def _is_target(word: str) -> bool:
    return not word.startswith("-") and is_script(split(word)[0])


def _start(command: CommandEntry, prog: str, words: list[str]) -> int:
    if not command.takes_task:
        from taskproc.cli.parsing import call

        return call(command, prog, words)
    if words[:1] in (["-h"], ["--help"]):
        from taskproc.cli.parsing import Parser

        about = f"{command.description()}\n\n{_TARGETS.format(prog=program())}"
        print(Parser(command, prog, about=about).format_help(), end="")
        return DONE
    if not words or words[0].startswith("-"):
        raise UsageError("which script? Give the file that defines Main")
    from taskproc.cli.entry_class import load_entry

    target, rest = words[0], words[1:]
    task_id = rest.pop(0) if command.takes_id and rest and not rest[0].startswith("-") else ""
    return _with_entry(command, f"{prog} {target}", load_entry(target), rest, (program(), target), task_id=task_id)


def _with_entry(
    command: CommandEntry,
    prog: str,
    cls: type[Task],
    words: list[str],
    start: tuple[str, str],
    defaults: DefaultArguments | None = None,
    *,
    task_id: str = "",
) -> int:
    """Parse the options and call the command. `start`: the program and the script, as they were called."""
    from taskproc.cli.defaults import populated
    from taskproc.cli.options import parse_options

    options = parse_options(prog, cls, words, populated() if defaults is None else defaults, command)
    options = replace(options, program=start[0], script=start[1], words=tuple(words), task_id=task_id)
    # Modules that run a graph are imported only now: `--help` and wrong usage take half the time without them
    return command.load()(cls, options)


def run_entry(cls: type[Task], options: Options) -> int:
    """Run the entry task, or report what would run. Returns the exit code."""
    if options.more.get("sweep"):
        from taskproc.cli.sweep import sweep_entry

        return sweep_entry(cls, options)
    early: AbstractContextManager[None] = nullcontext()
    if options.force_entrypoint and options.exec_type == "process" and not (options.dry_run or options.prefixes):
        from taskproc.run import process

        # It will be needed: 100 ms of imports, in parallel with those that follow here
        early = process.early_worker(options.num_workers)
    with early:
        from taskproc.cli.entry_commands import execute

        return execute(cls, options)


def _prog_of_main() -> str:
    is_module = getattr(sys.modules.get("__main__"), "__spec__", None) is not None
    return f"python {'-m ' * is_module}{_script_of_main()}"


def _script_of_main() -> str:
    """The script or module that is run, as it is written on a command line."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return sys.argv[0] if spec is None else str(spec.name.removesuffix(".__main__"))


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("taskproc")
    except PackageNotFoundError:
        return "(not installed)"
