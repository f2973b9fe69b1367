"""docs/cli.md, as the table of the command line makes it: `python tests/cli/reference.py` writes the page."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from taskproc.cli.parsing import help_text
from taskproc.cli.table import COMMANDS, HELP, REMOTE, REMOTE_COMMANDS, CommandEntry, Option

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
_HEAD = """\
# The command line

Every command with its options and their defaults.
`COMMAND --help` shows the same.
Behind a script it shows the parameters of its entry task, too, and the defaults that the script has set.
Before a script `run` may be left out: `taskproc SCRIPT -o DIR`.
SCRIPT is a file, MODULE what an import would find, and CLASS the entry task, by default `Main`.
"""


def page() -> str:
    """The text of the whole page."""
    return "\n".join([_HEAD, *_program("taskproc", COMMANDS), *_program(REMOTE, REMOTE_COMMANDS)])


def _program(name: str, commands: Mapping[str, CommandEntry]) -> Iterator[str]:
    yield f"## `{name}`\n\n| command | what it does |\n|---|---|"
    yield from (f"| [`{each.name}`](#{_anchor(name, each)}) | {_escaped(each.summary)} |" for each in commands.values())
    seen: dict[tuple[Option, ...], str] = {}
    for each in commands.values():
        yield f"\n### {_title(name, each)}\n\n```\n{name} {each.name} {each.usage()}\n```\n"
        yield "\n".join(_escaped(line) for line in each.description().splitlines())
        first = seen.setdefault(each.options, each.name)
        if first == each.name:
            yield "\n| option | meaning |\n|---|---|"
            yield from (f"| {_names(option)} | {_meaning(option)} |" for option in (*each.options, HELP))
        else:
            yield f"Its options are those of [`{first}`](#{_anchor(name, commands[first])})."
    yield ""


def _title(program: str, command: CommandEntry) -> str:
    return command.name if program == "taskproc" else f"remote {command.name}"


def _anchor(program: str, command: CommandEntry) -> str:
    return _title(program, command).replace(" ", "-")


def _names(option: Option) -> str:
    *others, last = option.flags or ("",)
    value = option.metavar or "|".join(option.choices)
    return _escaped(", ".join(f"`{flag}`" for flag in [*others, f"{last} {value}".strip()]))


def _meaning(option: Option) -> str:
    return _escaped(help_text(option, option.default, here=""))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
