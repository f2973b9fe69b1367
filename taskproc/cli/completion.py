"""Completion of commands and options in a shell, made from the table: `taskproc completion SHELL` prints a script."""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence

from taskproc.cli.table import COMMANDS, ENTRY_OPTIONS, HELP
from taskproc.cli.usage import DONE, tell

# Where nothing is typed yet and only flags could follow, names of files are completed
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
# zsh has the functions of bash that the script uses, if it is asked for them
_ZSH = """\
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
autoload -Uz bashcompinit && bashcompinit
"""
_FISH = "complete -c taskproc -n '{}' {} -d '{}'"


def next_words(words: Sequence[str]) -> list[str]:
    """The words of the table that may follow these, which stand behind the name of the program.

    First commands; then the values of an option that has a few, or else what the command takes, or a script.
    """
    if not words:
        return [*COMMANDS, *HELP.flags, "--version"]
    options = (*COMMANDS.get(words[0], COMMANDS["run"]).options, HELP)
    values = [each.choices for each in options if words[-1] in each.flags and each.choices]
    return list(values[0]) if values else [word for each in options for word in each.flags or each.choices]


def completion_command(given: Namespace) -> int:
    """`completion SHELL`: a script for a shell. It knows the words itself, so that Python need not start."""
    bash = _BASH.format(cases="\n".join(f'        {case}) known="{" ".join(words)}" ;;' for case, words in _cases()))
    tell({"bash": bash, "zsh": _ZSH + bash, "fish": "\n".join(_fish())}[given.shell])
    return DONE


def _own() -> list[str]:
    """Commands with other options than those of a run."""
    return [name for name, each in COMMANDS.items() if each.options != ENTRY_OPTIONS]


def _cases() -> Iterator[tuple[str, Sequence[str]]]:
    options = [option for each in COMMANDS.values() for option in each.options if option.flags and option.choices]
    yield from {"|".join(f'*" {flag}"' for flag in option.flags): option.choices for option in options}.items()
    yield from [('"1 "*', next_words([])), *((f'*" {name} "*', next_words([name])) for name in _own())]
    yield "*", next_words(["script.py"])


def _fish() -> Iterator[str]:
    yield from (_FISH.format("__fish_use_subcommand", f"-a {each.name}", each.summary) for each in COMMANDS.values())
    for name in ("run", *_own()):
        seen = f"__fish_seen_subcommand_from {name if name != 'run' else ' '.join(_own())}"
        for each in (*COMMANDS[name].options, HELP):
            words = [f"-{'l' if flag.startswith('--') else 's'} {flag.lstrip('-')}" for flag in each.flags]
            words += [f"-x -a '{' '.join(each.choices)}'"] if each.choices else ["-r"] * bool(words and each.metavar)
            if words:
                test, text = f"{'not ' * (name == 'run')}{seen}", each.help.replace("'", "\\'")
                yield _FISH.format(test, " ".join(words), text)
