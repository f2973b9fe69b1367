"""Parsers made from the table: words become values, and an error names the option whose value does not fit."""
from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, NoReturn

from taskproc.cli.table import HELP, JSON, CommandEntry, Option, ValueKind, load_function
from taskproc.cli.usage import UsageError
from taskproc.machine import available_cpus
from taskproc.text import did_you_mean


def call(command: CommandEntry, prog: str, words: Sequence[str], *context: object) -> int:
    """Parse the words after a command, and call its function with the values and `context`. Returns the exit code."""
    given = Parser(command, prog).parse_intermixed_args(list(words))
    complete(command, vars(given))
    return command.load()(given, *context)


def complete(command: CommandEntry, values: MutableMapping[str, Any]) -> None:
    """Put in the fallbacks of options that have none. Raise UsageError if a required option has no value then."""
    for option in command.options:
        if option.fallback and not values.get(option.name):
            values[option.name] = load_function(option.fallback)()
        if option.required and not values.get(option.name):
            how = " ".join([*option.flags[:1], option.metavar])
            raise UsageError(f"no {option.required} is given: {how}", option.hint)


class Parser(argparse.ArgumentParser):
    """Parses the options of a command, without abbreviations. Raises UsageError instead of ending the process.

    Args:
        about: text above the options; default: the description of the command.
        name: of the entry task; it replaces Main.
        defaults: name of an option → its default, if it is not that of the table.
        parameters: of the entry task; newer options give up their flags for them.
    """

    def __init__(
        self,
        command: CommandEntry,
        prog: str,
        *,
        about: str = "",
        name: str = "Main",
        defaults: Mapping[str, Any] | None = None,
        parameters: Collection[str] = (),
    ):
        text = about or command.description()
        if "%(prog)" in text:
            text = _plain(text)  # argparse replaces `%…` only in a description that names the program
        super().__init__(prog=prog, usage=_plain(f"{prog} {command.usage()}"), description=text, add_help=False,
                         allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
        self.add_argument(*HELP.flags, action="help", help=HELP.help)
        for option in command.options:
            if not (option.yields and option.name in parameters):
                self._add(option, name, (defaults or {}).get(option.name, option.default))

    def _add(self, option: Option, name: str, default: Any) -> None:
        how: dict[str, Any] = {"default": default, "help": _plain(help_text(option, default, name))}
        if option.sets is not None:
            how["action"] = "store_true" if option.sets else "store_false"
        else:
            how |= {"metavar": option.metavar or None, "choices": option.choices or None}
            how["type"] = partial(_value, option.kind)
            if option.flags and option.several:
                how |= {"action": "append", "default": list(default)}
        if option.flags:
            self.add_argument(*option.flags, dest=option.name, **how)
        else:
            self.add_argument(option.name, nargs="*" if option.several else "?", **how)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError, with a similar option if one is unknown."""
        _, _, unknown = message.partition("unrecognized arguments: ")
        flag = next((word.partition("=")[0] for word in unknown.split() if word.startswith("--")), "")
        if flag:
            known = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
            message += did_you_mean(flag, known) or f". Its options are {', '.join(known)}"
        raise UsageError(message)


def help_text(option: Option, default: Any, name: str = "Main", here: str | None = None) -> str:
    """The meaning of an option and its default.

    Args:
        default: the one in force.
        here: the value of the default on this machine; default: it is looked up.
    """
    text = option.help.replace("Main", name)
    if option.sets is not None:
        return text + " (as is the default here)" * (default is option.sets is not option.default)
    if default is None and option.unset:
        return f"{text}; default: {option.unset.format(here=f' ({available_cpus()})' if here is None else here)}"
    if default in (None, ""):
        return text + " (required)" * bool(option.required)
    return f"{text}; default: {_shown(default)}"


def _shown(value: object) -> str:
    import json

    try:
        return value if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError):
        return repr(value)  # a script may set a default that has no JSON form


def _plain(text: str) -> str:
    """`text` with `%` doubled, because argparse replaces `%…`."""
    return text.replace("%", "%%")


def _value(kind: ValueKind, text: str) -> Any:
    why = ""
    try:
        if kind.fits(value := kind.read(text)):
            return value
    except ValueError as error:
        why = f" ({error})" * (kind is JSON)  # other errors say no more than the message below
    raise argparse.ArgumentTypeError(f"expected {kind.wanted}, got {text!r}{why}")
