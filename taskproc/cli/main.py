"""The front door: which command is meant, and its exit code.

The first word is a subcommand, or a script: what ends in `.py`, has a path separator in it, or is a file.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from taskproc.cli.target import is_script, split
from taskproc.cli.usage import DONE, RUN, UsageError, guarded
from taskproc.text import did_you_mean

if TYPE_CHECKING:
    from taskproc.cli.defaults import DefaultArguments
    from taskproc.cli.options import Options
    from taskproc.tasks.task import Task

    Command = Callable[[type[Task], Options], int]

_HELP = """\
usage: {prog} SCRIPT -o DIR [options]
       {prog} run SCRIPT|MODULE[:CLASS] -o DIR [options]
       {prog} COMMAND …

Run the task called Main of a script, and whatever it needs that is not in the cache.

commands:
  run SCRIPT -o DIR         the same, also for scripts whose name looks like a command
  run MODULE[:CLASS]        run a task of a module that can be imported: `run package.module:Train`
  why SCRIPT -o DIR         tell why Main is fresh or would run; nothing is run
  accept SCRIPT -o DIR      take stored results for results of the present source
  list -o DIR [NAME]        show what a cache holds, or the tasks of a class with their ids
  check -o DIR              read all of it, and tell what is damaged or left over
  clear -o DIR NAME [ID …]  forget the results of a task class, or of some of its tasks

Wherever SCRIPT stands, SCRIPT:CLASS may stand for another task than Main; after `run`, `why` and `accept` also
MODULE or MODULE:CLASS. `COMMAND --help` tells more of a command.

options:
  -h, --help                show this and exit; after a script: its parameters and all options
  --version                 show the version and exit

A module whose last lines are `if __name__ == '__main__': Main.cli()` takes the same options:
python -m MODULE -o DIR [options]
"""

_RUNS_NOT = "\nNothing is run, and options that say how to run change nothing."
_PURPOSES = {
    "run": RUN,
    "why": "Tell why {} is fresh or would run, and what changed." + _RUNS_NOT,
    "accept": "Take stored results of {}, and of all it needs, for results of the present source." + _RUNS_NOT,
}
_TARGETS = """\

SCRIPT is a file; MODULE is what an import would find, such as package.module. CLASS is the task that is meant, by
default Main; --help behind it shows its parameters and the defaults of its script, too. To run it,
the command may be left out: {prog} SCRIPT -o DIR
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of this process; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    prog = _prog()
    return guarded(lambda: _dispatch(prog, words), f"see `{' '.join([prog, *_known(words)])} --help`")


def _known(words: list[str]) -> list[str]:
    """The first words, as far as help on them can be had."""
    if words[:1] and words[0] in _PURPOSES:
        place = split("".join(words[1:2]))[0]
        is_known = os.path.isfile(place) or not (place.startswith("-") or is_script(place))
        return words[: 1 + (bool(place) and is_known)]
    return words[: 1 if words[:1] and (words[0] in _COMMANDS or _is_target(words[0])) else 0]


def run_class(cls: type[Task], args: Sequence[str] | None = None, defaults: DefaultArguments | None = None) -> int:
    """Run a command line for the entry task `cls`; returns its exit code.

    Args:
        args: the words; default: those of this process.
        defaults: default: those that were populated.
    """
    words = list(sys.argv[1:] if args is None else args)
    prog = _prog_of_main()
    return guarded(lambda: _run_entry(prog, cls, words, defaults), f"see `{prog} --help`")


def _run_entry(prog: str, cls: type[Task], words: list[str], defaults: DefaultArguments | None) -> int:
    return _with_entry(prog, cls, words, defaults, _execute, RUN)


def _dispatch(prog: str, words: list[str]) -> int:
    if not words:
        raise UsageError("which script? Give the file that defines Main")
    first, rest = words[0], words[1:]
    if first in ("-h", "--help"):
        print(_HELP.format(prog=prog), end="")
        return DONE
    if first == "--version":
        print(f"taskproc {_version()}")
        return DONE
    if first in _COMMANDS:
        return _COMMANDS[first](f"{prog} {first}", rest)
    if _is_target(first):
        return _with_target(prog, words, _execute, RUN)
    if first.startswith("-"):
        near = did_you_mean(first, ["--version", "--help"])
        raise UsageError(f"the script stands before its options, got {first!r}{near}")
    known = ", ".join(_COMMANDS)
    near = did_you_mean(first, [*_COMMANDS, *(name for name in os.listdir() if name.endswith(".py"))])
    raise UsageError(
        f"{first!r} is neither a script (it does not end in .py, names no path and is no file) nor a command ({known})"
        + (near or f". To run a module: `{prog} run {first}`")
    )


def _is_target(word: str) -> bool:
    return word not in _COMMANDS and not word.startswith("-") and is_script(split(word)[0])


def _run(prog: str, words: list[str]) -> int:
    return _with_target(prog, words, _execute, _PURPOSES["run"])


def _why(prog: str, words: list[str]) -> int:
    return _with_target(prog, words, _explain, _PURPOSES["why"])


def _accept(prog: str, words: list[str]) -> int:
    return _with_target(prog, words, _take, _PURPOSES["accept"])


# What runs a graph is imported after the words were understood: `--help`, and a slip of the pen, take half the time


def _execute(cls: type[Task], options: Options) -> int:
    if options.force_entrypoint and options.exec_type == "process" and not (options.dry_run or options.prefixes):
        from taskproc.run import ahead

        ahead.start(options.num_workers)  # it will be needed: 100 ms of imports, beside those that follow here
    from taskproc.cli.execute import execute

    return execute(cls, options)


def _explain(cls: type[Task], options: Options) -> int:
    from taskproc.cli.execute import explain_entry

    return explain_entry(cls, options)


def _take(cls: type[Task], options: Options) -> int:
    from taskproc.cli.execute import accept_entry

    return accept_entry(cls, options)


def _with_target(prog: str, words: list[str], command: Command, purpose: str) -> int:
    from taskproc.cli.entry import load_entry

    if words[:1] in (["-h"], ["--help"]):
        from taskproc.cli.options import help_without_entry

        print(help_without_entry(prog, purpose, _TARGETS.format(prog=_prog())), end="")
        return DONE
    if not words or words[0].startswith("-"):
        raise UsageError("which script? Give the file that defines Main")
    target, rest = words[0], words[1:]
    return _with_entry(f"{prog} {target}", load_entry(target), rest, None, command, purpose)


def _with_entry(
    prog: str,
    cls: type[Task],
    words: list[str],
    defaults: DefaultArguments | None,
    command: Command,
    purpose: str,
) -> int:
    from taskproc.cli.defaults import populated
    from taskproc.cli.options import parse

    return command(cls, parse(prog, cls, words, populated() if defaults is None else defaults, purpose))


def _list(prog: str, words: list[str]) -> int:
    from taskproc.cli.store import list_command

    return list_command(prog, words)


def _check(prog: str, words: list[str]) -> int:
    from taskproc.cli.store import check_command

    return check_command(prog, words)


def _clear(prog: str, words: list[str]) -> int:
    from taskproc.cli.store import clear_command

    return clear_command(prog, words)


_COMMANDS: Mapping[str, Callable[[str, list[str]], int]] = {
    "run": _run,
    "why": _why,
    "accept": _accept,
    "list": _list,
    "check": _check,
    "clear": _clear,
}


def _prog() -> str:
    return "python -m taskproc" if os.path.basename(sys.argv[0]) in ("__main__.py", "-m") else "taskproc"


def _prog_of_main() -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec is not None else f"python {sys.argv[0]}"


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("taskproc")
    except PackageNotFoundError:
        return "(not installed)"
