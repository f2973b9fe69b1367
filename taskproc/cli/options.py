"""The options of a run: words and defaults become one frozen value.

What is on the line wins over DefaultArguments, which win over the task's own defaults. A flag of the entry task wins
over `--kwargs`, for it is the more particular of the two.
"""
from __future__ import annotations

import argparse
import inspect
import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from taskproc.cli.defaults import EXEC_TYPES, LOG_FORMATS, LOG_LEVELS, ON_ERROR, DefaultArguments
from taskproc.cli.parameters import REQUIRED, Parameter, parameters_of, read_flags, shown_hint, takes_json, takes_more
from taskproc.cli.usage import UsageError
from taskproc.frozen import frozen

BUILT_IN = frozenset(
    "help output loglevel num_workers kwargs prefix prefixes rate_limits disable_detect_source_change exec_type "
    "dont_force_entrypoint dont_show_progress log_format on_error dry_run".split()
)


@frozen
class Options:
    """How a run was asked for; `arguments` are those of the entry task."""

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


_RUN = "Run {}, and whatever it needs that is not in the cache."


class Parser(argparse.ArgumentParser):
    """Knows no abbreviations, and says what is wrong by raising UsageError."""

    def __init__(self, **keywords: Any):
        super().__init__(**keywords, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Instead of ending the process."""
        raise UsageError(message)


def parse(
    prog: str, cls: type, words: Sequence[str], defaults: DefaultArguments, purpose: str = ""
) -> Options:
    """Read the words after the script. UsageError names the flag that is wrong; `--help` raises SystemExit.

    Args:
        purpose: what the command does, for its help, with {} for the entry task; default: that it runs.
    """
    parameters = parameters_of(cls, BUILT_IN)
    parser = _parser(prog, cls, parameters, defaults, purpose or _RUN)
    given, rest = parser.parse_known_args(list(words))
    flags = read_flags(cls, parameters, rest)
    kwargs = defaults.kwargs if given.kwargs is None else given.kwargs
    output = given.output or defaults.output
    if not output:
        raise UsageError("no cache folder is given: -o DIR")
    return Options(
        arguments=_arguments(cls, parameters, {**(kwargs or {}), **flags}),
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
    )


def _arguments(cls: type, parameters: Mapping[str, Parameter], given: dict[str, Any]) -> dict[str, Any]:
    name = cls.__qualname__
    if unknown := [key for key in given if key not in parameters and not takes_more(cls)]:
        there = f"parameters of {name}: {', '.join(parameters)}" if parameters else f"{name} has no parameters"
        raise UsageError(f"--kwargs: unknown parameter {unknown[0]!r} ({there})")
    missing = [each for each in parameters.values() if each.default is REQUIRED and each.name not in given]
    if missing:
        how = [f"--{each.name}" if each.is_flag else f"{each.name} (by --kwargs)" for each in missing]
        raise UsageError(f"{name} requires {', '.join(how)}")
    return given


def _parser(
    prog: str, cls: type, parameters: Mapping[str, Parameter], defaults: DefaultArguments, purpose: str
) -> Parser:
    description = _description(cls, purpose)
    parser = Parser(prog=prog, usage="%(prog)s -o DIR [options]", description=description, add_help=False)
    _describe_parameters(parser, cls, parameters, defaults.kwargs or {})
    if "%(prog)" in (parser.description or ""):
        parser.description = _plain(str(parser.description))  # only then argparse replaces here too
    add = parser.add_argument_group("options").add_argument
    add("-h", "--help", action="help", help="show this and exit")
    folder = f"; default: {defaults.output}" if defaults.output else " (required)"
    add("-o", "--output", metavar="DIR", help=_plain(f"the cache folder{folder}"))
    add("-n", "--num-workers", metavar="N", type=_count, default=defaults.num_workers,
        help="how many tasks run at once; default: as many as there are cores to use")
    add("-t", "--exec-type", choices=EXEC_TYPES, default=defaults.exec_type,
        help="where tasks run: in worker processes, in threads, or one by one right here; default: %(default)s")
    add("--kwargs", metavar="JSON", type=_json_object, help=f"arguments of {cls.__qualname__}; its flags win over them")
    add("--prefixes", "--prefix", metavar="JSON", type=_json_object,
        help="label or task name → command that tasks are run behind: '{\"gpu\": \"srun\"}'")
    add("--rate-limits", metavar="JSON", type=_json_object,
        help="label or task name → how many run at once, or the names of so many slots: '{\"gpu\": 1}'")
    add("--on-error", choices=ON_ERROR, default=defaults.on_error,
        help="after a failure start nothing new, or run all that does not need it; default: %(default)s")
    add("-D", "--disable-detect-source-change", dest="detect_source_change", action="store_false",
        default=defaults.detect_source_change, help="keep results whose source has changed")
    add("--dont-force-entrypoint", dest="force_entrypoint", action="store_false", default=defaults.force_entrypoint,
        help=f"take {cls.__qualname__} from the cache too, if it is there")
    add("--dry-run", action="store_true", help="tell what would run and why, run nothing")
    add("--dont-show-progress", dest="show_progress", action="store_false", default=defaults.show_progress,
        help="no progress on standard error")
    add("--log-format", choices=LOG_FORMATS, default=defaults.log_format,
        help="what is said of the run on standard error: for people, or one JSON object a line; default: %(default)s")
    add("-l", "--loglevel", metavar="LEVEL", type=str.lower, choices=LOG_LEVELS, default=defaults.loglevel,
        help=f"of taskproc's own messages: {', '.join(LOG_LEVELS)}; default: %(default)s")
    return parser


def _description(cls: type, purpose: str) -> str:
    text = purpose.format(cls.__qualname__)
    own = inspect.cleandoc(vars(cls).get("__doc__") or "")
    # What dataclasses writes for want of a docstring is the signature
    if own.startswith(f"{cls.__name__}("):
        own = ""
    return f"{own}\n\n{text}".strip()


def _describe_parameters(
    parser: Parser, cls: type, parameters: Mapping[str, Parameter], kwargs: Mapping[str, Any]
) -> None:
    if not parameters:
        return
    lines = []
    for each in parameters.values():
        flag = f"--{each.name} {shown_hint(each.hint)}" if each.is_flag else f"{each.name} (by --kwargs only)"
        default = kwargs.get(each.name, each.default)
        lines.append((flag, "required" if default is REQUIRED else f"default: {default!r}"))
    width = min(28, max(len(flag) for flag, _ in lines))
    text = "\n".join(f"{flag:<{width}}  {words}" for flag, words in lines)
    how = " (lists, tuples and dicts in JSON)" if any(takes_json(each.hint) for each in parameters.values()) else ""
    title = f"parameters of {cls.__qualname__}{how}:"
    parser.description = f"{parser.description}\n\n{title}\n{textwrap.indent(text, '  ')}"


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
