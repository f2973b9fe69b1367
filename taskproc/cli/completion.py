"""Completion in a shell: commands and options from the table, ids and class names from the cache.

`taskproc completion SHELL` prints a script. It contains all words of the table; only for a class or an id it calls
`taskproc --complete WORD …`, which loads no script and reads no more than names. A shell expands what it is offered,
so names that are not plain words are left out.
"""
from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator, Sequence

from taskproc.cli.cache_folder import default_folder
from taskproc.cli.table import ALIASES, COMMANDS, COMPLETE, ENTRY_OPTIONS, HELP, Option
from taskproc.cli.usage import DONE, UsageError, tell
from taskproc.errors import TaskprocError

# If nothing is typed yet and only flags could follow, file names are completed
_BASH = """\
_taskproc() {{
    local known="" typed="${{COMP_WORDS[COMP_CWORD]}}"
    case "$COMP_CWORD ${{COMP_WORDS[1]}} ${{COMP_WORDS[COMP_CWORD-1]}}" in
{cases}
    esac
    [ -z "$typed" ] && [ "${{known#-}}" != "$known" ] && known=""
    case "$typed ${{COMP_WORDS[1]}} " in
        -*) ;;
        *" "{dynamic}" ")
            local there="$("${{COMP_WORDS[0]}}" {complete} "${{COMP_WORDS[@]:1:$COMP_CWORD}}" 2>/dev/null)"
            [ -n "$there" ] && known="$there" ;;
    esac
    COMPREPLY=($(compgen -W "$known" -- "$typed"))
}}
complete -o default -F _taskproc taskproc"""
# zsh can load the functions of bash that the script uses
_ZSH = """\
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
autoload -Uz bashcompinit && bashcompinit
"""
_FISH = "complete -c taskproc -n '{}' {} -d '{}'"
_FISH_THERE = (
    "complete -c taskproc -n '__fish_seen_subcommand_from {}' "
    "-a '(taskproc {} (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'"
)
_PLAIN = re.compile(r"[\w.]+")
_HEX = frozenset("0123456789abcdef")
_MOST = 200  # ids that are offered at once


def next_words(words: Sequence[str]) -> list[str]:
    """The words of the table that may follow these words of a command line, without the name of the program.

    These are commands; or the values of an option with a few choices; or else the options of the command.
    """
    if not words:
        return [*COMMANDS, *HELP.flags, "--version"]
    options = (*COMMANDS.get(ALIASES.get(words[0], words[0]), COMMANDS["run"]).options, HELP)
    values = [option.choices for option in options if words[-1] in option.flags and option.choices]
    return list(values[0]) if values else [word for option in options for word in option.flags or option.choices]


def words_in_cache(words: Sequence[str]) -> list[str]:
    """The classes, and the ids of tasks, that may stand in the place of the last of these words of a command line.

    Costs one listing for each class. Nothing if there is no cache, or no such word belongs there.
    """
    if len(words) < 2:
        return []
    command, *before, typed = words
    command = ALIASES.get(command, command)
    if command not in _with_cache_words() or typed.startswith("-") or _awaits_value(command, before):
        return []
    from taskproc.cli.cache_output import opened  # here: most words of a completion need no cache
    from taskproc.ledger.identifiers import Catalogue

    try:
        catalogue = Catalogue(opened(_folder_in(before) or default_folder() or ""))
        given = [word for word in _positional(command, before) if "=" not in word]
        if command == "list":
            return _class_words(catalogue.names(), typed) if not given else []
        folder = catalogue.class_folder(given[0]) if given and not set(given[0]) <= _HEX else ""
    except (TaskprocError, UsageError, OSError):
        return []
    ids = [catalogue.short(task.id) for task in catalogue.located(folder)] if folder or set(typed) <= _HEX else []
    found = sorted(word for word in ids if word.startswith(typed))[:_MOST] if folder or typed else []
    return [*([] if given else _class_words(catalogue.names(), typed)), *found]


def complete_command(words: Sequence[str]) -> int:
    """`--complete WORD …`: print what may stand in the place of the last word, for the scripts of completion."""
    for word in words_in_cache(words):
        tell(word)
    return DONE


def _class_words(names: Sequence[str], typed: str) -> list[str]:
    """The names of classes that begin with what is typed: their last part, or if another class has it, all of it."""
    plain = [name for name in names if _PLAIN.fullmatch(name)]
    ends = [name.rpartition(".")[2] for name in plain]
    short = [end if ends.count(end) == 1 else name for name, end in zip(plain, ends)]
    whole = [name for name in plain if typed and name not in short]
    return [name for name in (*short, *whole) if name.startswith(typed)]


def _with_cache_words() -> list[str]:
    """The commands that take a class or an id."""
    names = [name for name, each in COMMANDS.items() if any(option.name == "what" for option in each.options)]
    return [*names, *(alias for alias, name in ALIASES.items() if name in names)]


def _takes_value(option: Option) -> bool:
    return bool(option.flags) and option.sets is None


def _awaits_value(command: str, before: Sequence[str]) -> bool:
    options = COMMANDS[command].options
    return bool(before) and any(before[-1] in option.flags for option in options if _takes_value(option))


def _positional(command: str, before: Sequence[str]) -> list[str]:
    """The words that are neither flags nor their values."""
    return [word for place, word in enumerate(before)
            if not word.startswith("-") and not _awaits_value(command, before[:place])]  # fmt: skip


def _folder_in(before: Sequence[str]) -> str:
    """The cache folder that is given by an option."""
    for place, word in enumerate(before):
        flag, _, value = word.partition("=")
        if flag in ENTRY_OPTIONS[0].flags:
            return value or "".join(before[place + 1 : place + 2])
    return ""


def completion_command(given: Namespace) -> int:
    """`completion SHELL`: print a script for a shell, with all words of the table in it."""
    cases = "\n".join(f'        {case}) known="{" ".join(words)}" ;;' for case, words in _cases())
    dynamic = '" "|*" "'.join(_with_cache_words())
    bash = _BASH.format(cases=cases, dynamic=dynamic, complete=COMPLETE)
    tell({"bash": bash, "zsh": _ZSH + bash, "fish": "\n".join(_fish())}[given.shell])
    return DONE


def _special_commands() -> list[str]:
    """The commands whose options are not those of a run."""
    return [name for name, each in COMMANDS.items() if each.options != COMMANDS["run"].options]


def _cases() -> Iterator[tuple[str, Sequence[str]]]:
    options = [option for each in COMMANDS.values() for option in each.options if option.flags and option.choices]
    yield from {"|".join(f'*" {flag}"' for flag in option.flags): option.choices for option in options}.items()
    special = [*_special_commands(), *ALIASES]
    yield from [('"1 "*', next_words([])), *((f'*" {name} "*', next_words([name])) for name in special)]
    yield "*", next_words(["script.py"])


def _fish() -> Iterator[str]:
    yield from (_FISH.format("__fish_use_subcommand", f"-a {each.name}", each.summary) for each in COMMANDS.values())
    others = " ".join([*_special_commands(), *ALIASES])
    for name in ("run", *_special_commands()):
        names = " ".join([name, *(alias for alias, meant in ALIASES.items() if meant == name)])
        seen = f"__fish_seen_subcommand_from {names if name != 'run' else others}"
        for each in (*COMMANDS[name].options, HELP):
            words = [f"-{'l' if flag.startswith('--') else 's'} {flag.lstrip('-')}" for flag in each.flags]
            words += [f"-x -a '{' '.join(each.choices)}'"] if each.choices else ["-r"] * bool(words and each.metavar)
            if words:
                test, text = f"{'not ' * (name == 'run')}{seen}", each.help.replace("'", "\\'")
                yield _FISH.format(test, " ".join(words), text)
    yield _FISH_THERE.format(" ".join(_with_cache_words()), COMPLETE)
