"""The options of a run: words and defaults become one frozen value.

What is on the line wins over DefaultArguments, which win over the task's own defaults. A flag of the entry task wins
over `--kwargs`, for it is the more particular of the two.
"""
from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from taskproc.cli.defaults import EXEC_TYPES, LOG_FORMATS, LOG_LEVELS, ON_ERROR, DefaultArguments
from taskproc.cli.describing import description
from taskproc.cli.parameters import Parameter, convert, parameters_of, read_flags, takes_more
from taskproc.cli.records import REQUIRED
from taskproc.cli.usage import RUN, UsageError
from taskproc.frozen import frozen
from taskproc.text import did_you_mean

BUILT_IN = frozenset(
    "help output loglevel num_workers kwargs prefix prefixes rate_limits disable_detect_source_change exec_type "
    "dont_force_entrypoint dont_show_progress log_format on_error dry_run".split()
)


# Younger than scripts that have parameters of these names, which keep their flags
YOUNGER = frozenset({"force", "force_entrypoint", "detect_source_change", "show_progress"})


@frozen
class Options:
    """How a run was asked for; `arguments` are those of the entry task.

    Attributes:
        force: make the cache even in a folder that holds other files.
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


class Parser(argparse.ArgumentParser):
    """Knows no abbreviations, and says what is wrong by raising UsageError."""

    def __init__(self, **keywords: Any):
        super().__init__(**keywords, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
        self._words: Sequence[str] = ()

    # typeshed has one overload for each way to give a namespace
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As argparse does, and keep the words: where one is missing, another may be misspelt."""
        self._words = [] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Instead of ending the process."""
        known = [flag for action in self._actions for flag in action.option_strings]
        flags = [word.partition("=")[0] for word in self._words if word.startswith("--") and word != "--"]
        unknown = next((flag for flag in flags if flag not in known), "")
        if unknown and message.startswith(("unrecognized arguments: ", "the following arguments are required: ")):
            if not message.startswith("unrecognized"):
                message = f"unrecognized arguments: {unknown}"
            long = [flag for flag in known if flag.startswith("--")]
            message += did_you_mean(unknown, long) or f". Its options are {', '.join(long)}"
        raise UsageError(message)


def parse(
    prog: str, cls: type, words: Sequence[str], defaults: DefaultArguments, purpose: str = ""
) -> Options:
    """Read the words after the script. UsageError names the flag that is wrong; `--help` raises SystemExit.

    Args:
        purpose: what the command does, for its help, with {} for the entry task; default: that it runs.
    """
    parameters = parameters_of(cls, BUILT_IN)
    text = description(cls, purpose or RUN, parameters, defaults.kwargs or {})
    parser = _parser(prog, "%(prog)s -o DIR [options]", text, cls.__qualname__, defaults, parameters)
    given, rest = parser.parse_known_args(list(words))
    flags = read_flags(cls, parameters, rest, [name.replace("_", "-") for name in BUILT_IN | YOUNGER])
    kwargs = _converted((defaults.kwargs or {}) if given.kwargs is None else given.kwargs, parameters)
    output = given.output or defaults.output
    if not output:
        raise UsageError("no cache folder is given: -o DIR")
    return Options(
        arguments=_arguments(cls, parameters, {**kwargs, **flags}),
        output=output,
        loglevel=given.loglevel,
        num_workers=given.num_workers,
        prefixes=(defaults.prefixes or defaults.prefix) if given.prefixes is None else given.prefixes,
        rate_limits=defaults.rate_limits if given.rate_limits is None else given.rate_limits,
        exec_type=given.exec_type,
        on_error=given.on_error,
        detect_source_change=given.detect_source_change,
        force_entrypoint=given.force_entrypoint,
        show_progress=given.show_progress,
        log_format=given.log_format,
        dry_run=given.dry_run,
        force=getattr(given, "make_anyway", False),
    )


def _converted(kwargs: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    return {name: convert(parameters[name], value) if name in parameters else value for name, value in kwargs.items()}


def _arguments(cls: type, parameters: Mapping[str, Parameter], given: dict[str, Any]) -> dict[str, Any]:
    name = cls.__qualname__
    if unknown := [key for key in given if key not in parameters and not takes_more(cls)]:
        there = f"parameters of {name}: {', '.join(parameters)}" if parameters else f"{name} has no parameters"
        raise UsageError(f"--kwargs: unknown parameter {unknown[0]!r} ({there}){did_you_mean(unknown[0], parameters)}")
    missing = [each for each in parameters.values() if each.default is REQUIRED and each.name not in given]
    if missing:
        how = [f"--{each.name}" if each.is_flag else f"{each.name} (by --kwargs)" for each in missing]
        raise UsageError(f"{name} requires {', '.join(how)}")
    return given


def help_without_entry(prog: str, purpose: str, targets: str) -> str:
    """The help of a command that was given no script."""
    text = f"{purpose.format('Main')}\n\n{targets}"
    usage = "%(prog)s SCRIPT|MODULE[:CLASS] -o DIR [options]"
    return _parser(prog, usage, text, "Main", DefaultArguments()).format_help()


def _parser(
    prog: str,
    usage: str,
    about: str,
    name: str,
    defaults: DefaultArguments,
    parameters: Collection[str] = (),
) -> Parser:
    """The built-in options with the defaults in force, for an entry task called `name` with these parameters."""
    # argparse replaces what follows a % only where the program is named
    text = _plain(about) if "%(prog)" in about else about
    parser = Parser(prog=prog, usage=usage, description=text, add_help=False)
    options = parser.add_argument_group("options")

    def add(*flags: str, words: str, default: object = None, shown: object = None, **how: Any) -> None:
        words += f"; default: {_shown(shown)}" * (shown is not None)
        options.add_argument(*flags, default=default, help=_plain(words), **how)

    def switch(*flags: str, dest: str, words: str, back: str) -> None:
        """A flag that turns off what is on by default, and one that turns it on where the script has it off."""
        set_already = not getattr(defaults, dest)
        add(*flags, dest=dest, action="store_false", default=not set_already,
            words=words + " (as is the default here)" * set_already)
        if dest not in parameters:
            add(f"--{dest.replace('_', '-')}", dest=dest, action="store_true", default=not set_already, words=back)

    options.add_argument("-h", "--help", action="help", help="show this and exit")
    add("-o", "--output", metavar="DIR", shown=defaults.output,
        words="the cache folder" + " (required)" * (not defaults.output))
    if "force" not in parameters:
        add("--force", dest="make_anyway", action="store_true", default=False,
            words="make the cache even in a folder that holds other files")
    add("-n", "--num-workers", metavar="N", type=_count, default=defaults.num_workers,
        shown=defaults.num_workers or "as many as there are cores to use", words="how many tasks run at once")
    add("-t", "--exec-type", choices=EXEC_TYPES, default=defaults.exec_type, shown=defaults.exec_type,
        words="where tasks run: in worker processes, in threads, or one by one right here")
    add("--kwargs", metavar="JSON", type=_json_object, shown=defaults.kwargs,
        words=f"arguments of {name}; its flags win over them")
    add("--prefixes", "--prefix", metavar="JSON", type=_json_object, shown=defaults.prefixes or defaults.prefix,
        words="label or task name → command that tasks are run behind: '{\"gpu\": \"srun\"}'")
    add("--rate-limits", metavar="JSON", type=_json_object, shown=defaults.rate_limits,
        words="label or task name → how many run at once, or the names of so many slots: '{\"gpu\": 1}'")
    add("--on-error", choices=ON_ERROR, default=defaults.on_error, shown=defaults.on_error,
        words="after a failure start nothing new, or run all that does not need it")
    switch("-D", "--disable-detect-source-change", dest="detect_source_change",
           words="keep results whose source has changed", back="judge results by their source, too")
    switch("--dont-force-entrypoint", dest="force_entrypoint", words=f"take {name} from the cache too, if it is there",
           back=f"run {name} each time")
    add("--dry-run", action="store_true", default=False, words="tell what would run and why, run nothing")
    switch("--dont-show-progress", dest="show_progress", words="no progress on standard error",
           back="show progress on standard error")
    add("--log-format", choices=LOG_FORMATS, default=defaults.log_format, shown=defaults.log_format,
        words="what is said of the run on standard error: for people, or one JSON object a line")
    add("-l", "--loglevel", metavar="LEVEL", type=str.lower, choices=LOG_LEVELS, default=defaults.loglevel,
        shown=defaults.loglevel, words=f"of taskproc's own messages: {', '.join(LOG_LEVELS)}")
    return parser


def _shown(value: object) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError):
        return repr(value)  # a script may give what JSON cannot say


def _plain(text: str) -> str:
    """`text` for the help of an option, where argparse replaces what follows a %."""
    return text.replace("%", "%%")


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return count


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"this is no JSON: {text!r} ({error}). Write an object such as '{{\"key\": 1}}'"
        ) from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object such as '{{\"key\": 1}}', got {text!r}")
    return value
