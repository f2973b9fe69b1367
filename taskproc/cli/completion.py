"""Completion of commands and options in a shell, from the table: `taskproc completion SHELL` prints a script."""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence

from taskproc.cli.table import COMMANDS, HELP
from taskproc.cli.usage import DONE, tell

# If nothing is typed yet and only flags could follow, file names are completed
_BASH = """\
_taskproc() {{
    local known="" typed="${{COMP_WORDS[COMP_CWORD]}}"
    case "$COMP_CWORD ${{COMP_WORDS[1]}} ${{COMP_WORDS[COMP_CWORD-1]}}" in
{cases}
    esac
    [ -z "$typed" ] && [ "${{known#-}}" != "$known" ] && known=""
    COMPREPLY=($(compgen -W "$known" -- "$typed"))
}}
complete -o default -F _taskproc taskproc"""
# zsh can load the functions of bash that the script uses
_ZSH = """\
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
autoload -Uz bashcompinit && bashcompinit
"""
_FISH = "complete -c taskproc -n '{}' {} -d '{}'"


def next_words(words: Sequence[str]) -> list[str]:
    """The words of the table that may follow these words of a command line, without the name of the program.

    These are commands; or the values of an option with a few choices; or else the options of the command.
    """
    if not words:
        return [*COMMANDS, *HELP.flags, "--version"]
    options = (*COMMANDS.get(words[0], COMMANDS["run"]).options, HELP)
    values = [option.choices for option in options if words[-1] in option.flags and option.choices]
    return list(values[0]) if values else [word for option in options for word in option.flags or option.choices]


def completion_command(given: Namespace) -> int:
    """`completion SHELL`: print a script for a shell. It contains all words, so completion starts no Python."""
    bash = _BASH.format(cases="\n".join(f'        {case}) known="{" ".join(words)}" ;;' for case, words in _cases()))
    tell({"bash": bash, "zsh": _ZSH + bash, "fish": "\n".join(_fish())}[given.shell])
    return DONE


def _special_commands() -> list[str]:
    """The commands whose options are not those of a run."""
    return [name for name, each in COMMANDS.items() if each.options != COMMANDS["run"].options]


def _cases() -> Iterator[tuple[str, Sequence[str]]]:
    options = [option for each in COMMANDS.values() for option in each.options if option.flags and option.choices]
    yield from {"|".join(f'*" {flag}"' for flag in option.flags): option.choices for option in options}.items()
    yield from [('"1 "*', next_words([])), *((f'*" {name} "*', next_words([name])) for name in _special_commands())]
    yield "*", next_words(["script.py"])


def _fish() -> Iterator[str]:
    yield from (_FISH.format("__fish_use_subcommand", f"-a {each.name}", each.summary) for each in COMMANDS.values())
    for name in ("run", *_special_commands()):
        seen = f"__fish_seen_subcommand_from {name if name != 'run' else ' '.join(_special_commands())}"
        for each in (*COMMANDS[name].options, HELP):
            words = [f"-{'l' if flag.startswith('--') else 's'} {flag.lstrip('-')}" for flag in each.flags]
            words += [f"-x -a '{' '.join(each.choices)}'"] if each.choices else ["-r"] * bool(words and each.metavar)
            if words:
                test, text = f"{'not ' * (name == 'run')}{seen}", each.help.replace("'", "\\'")
                yield _FISH.format(test, " ".join(words), text)
