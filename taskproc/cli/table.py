"""The command line as a table: one entry for each option, and one for each command.

Parsers, `--help`, defaults, `DefaultArguments`, completion and docs/cli.md are made from it. A new command is one entry
here and the function that the entry names. Nothing is imported for it but what the entry says, when it is used.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

SHELLS = ("bash", "zsh", "fish")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
TARGET = "SCRIPT|MODULE[:CLASS]"
REMOTE = "python -m taskproc.remote"


class Kind(NamedTuple):
    """What an option takes: how a word is read (ValueError if it cannot be), which values fit, and in words."""

    read: Callable[[str], Any]
    fits: Callable[[Any], bool]
    wanted: str


def _json(text: str) -> object:
    import json

    return json.loads(text)


TEXT = Kind(str, lambda value: isinstance(value, str), "a text")
PATH = TEXT._replace(wanted="the path of a folder")
LOWER = TEXT._replace(read=str.lower)
COUNT = Kind(int, lambda value: type(value) is int and value >= 1, "an int of at least 1")
SECONDS = Kind(float, lambda value: 0 <= value < float("inf"), "a number of seconds of at least 0")
PERIOD = Kind(float, lambda value: 0 < value < float("inf"), "a number of seconds above 0")
JSON = Kind(_json, lambda value: isinstance(value, Mapping), "a JSON object such as '{\"key\": 1}'")


class Option(NamedTuple):
    """An option of the command line, or a word of it that has no flag.

    Attributes:
        name: of the attribute that gets the value; options that set one attribute have one default.
        flags: `-o`, `--output`; empty if the value stands alone.
        help: what it means. The entry task is called Main in it.
        sets: for a flag without a value: what it sets.
        required: what is missing if it is not given, in the words of the error. `hint` then says how to get it.
        several: whether any number of values may be given.
        unset: what happens by default, where the default is None; `{here}` is how that turns out on this machine.
        yields: whether a parameter of the entry task takes its flag, because the option is younger than such scripts.
    """

    name: str
    flags: tuple[str, ...]
    help: str
    metavar: str = ""
    kind: Kind = TEXT
    choices: tuple[str, ...] = ()
    default: Any = None
    sets: bool | None = None
    required: str = ""
    hint: str | None = None
    several: bool = False
    unset: str = ""
    yields: bool = False


class Command(NamedTuple):
    """A command.

    Attributes:
        summary: its line in the help of the program, and the first sentence of its own; the entry task is Main.
        function: `module:name`; called with the values of the options, returns the exit code.
        takes_task: whether a script or module comes first. The function is called with its entry task and an Options.
        more: further sentences of its own help.
    """

    name: str
    summary: str
    function: str
    options: tuple[Option, ...]
    takes_task: bool = False
    more: str = ""

    def description(self) -> str:
        """What its own help says above the options."""
        return f"{self.summary[0].upper()}{self.summary[1:]}.{self.more}"

    def load(self) -> Callable[..., int]:
        """Import the function of the command."""
        module, _, name = self.function.partition(":")
        function: Callable[..., int] = getattr(import_module(module), name)
        return function

    def usage(self) -> str:
        """What must follow the name of the command, and what may."""
        flags = [f"{each.flags[0]} {each.metavar}" for each in self.options if each.flags and each.required]
        places = [each.metavar if each.required else f"[{each.metavar}]" for each in self.options if not each.flags]
        more = ["[options]"] if any(each.flags and not each.required for each in self.options) else []
        return " ".join([TARGET] * self.takes_task + flags + places + more)


def lines_of(commands: Iterable[Command]) -> str:
    """Commands with their summaries, as the help of a program lists them."""
    rows = [(f"{each.name} {each.usage().removesuffix(' [options]')}", each.summary) for each in commands]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"  {call:<{width}}  {summary}" for call, summary in rows)


HELP = Option("help", ("-h", "--help"), "show this and exit")
_OUTPUT = Option("output", ("-o", "--output"), "the cache folder", "DIR", PATH, required="cache folder")
_WHAT = Option("what", (), "a task class as `list` shows it, and ids of its tasks without a `#`; by default all of it",
               "NAME [ID …]", several=True)  # fmt: skip

# Of all commands that take a task; those that DefaultArguments has as fields get their defaults from it
ENTRY_OPTIONS = (
    _OUTPUT,
    Option("force", ("--force",), "make the cache even in a folder that holds other files", sets=True, default=False,
           yields=True),
    Option("num_workers", ("-n", "--num-workers"), "how many tasks run at once", "N", COUNT,
           unset="as many as there are cores to use{here}"),
    Option("exec_type", ("-t", "--exec-type"),
           "where tasks run: in worker processes, in threads, or one by one in this process",
           choices=("process", "thread", "local"), default="process"),
    Option("kwargs", ("--kwargs",), "arguments of Main; its flags win over them", "JSON", JSON),
    Option("prefixes", ("--prefixes", "--prefix"),
           "commands that tasks are run behind, by label or task name: '{\"gpu\": \"srun\"}'", "JSON", JSON),
    Option("rate_limits", ("--rate-limits",),
           "how many tasks run at once, or the names of so many slots, by label or task name: '{\"gpu\": 1}'",
           "JSON", JSON),
    Option("on_error", ("--on-error",), "after a failure start nothing new, or run all that does not need it",
           choices=("stop", "continue"), default="stop"),
    Option("detect_source_change", ("-D", "--disable-detect-source-change"), "use results whose source has changed",
           sets=False, default=True),
    Option("detect_source_change", ("--detect-source-change",), "judge results by their source, too",
           sets=True, default=True, yields=True),
    Option("force_entrypoint", ("--dont-force-entrypoint",), "take Main from the cache too, if it is there",
           sets=False, default=True),
    Option("force_entrypoint", ("--force-entrypoint",), "run Main each time", sets=True, default=True, yields=True),
    Option("dry_run", ("--dry-run",), "show what would run and why; run nothing", sets=True, default=False),
    Option("show_progress", ("--dont-show-progress",), "show no progress on standard error", sets=False, default=True),
    Option("show_progress", ("--show-progress",), "show progress on standard error", sets=True, default=True,
           yields=True),
    Option("log_format", ("--log-format",),
           "how the run is reported on standard error: as text for people, or as one JSON object a line",
           choices=("text", "json"), default="text"),
    Option("loglevel", ("-l", "--loglevel"), f"level of taskproc's own messages: {', '.join(LOG_LEVELS)}",
           "LEVEL", LOWER, LOG_LEVELS, "warning"),
)  # fmt: skip

_RUNS_NOTHING = "\nNothing is run, and options that say how to run change nothing."

COMMANDS: Mapping[str, Command] = {command.name: command for command in (
    Command("run", "run Main, and whatever it needs that is not in the cache",
            "taskproc.cli.main:run_entry", ENTRY_OPTIONS, takes_task=True),
    Command("why", "tell why Main is fresh or would run, and what changed",
            "taskproc.cli.execute:explain_entry", ENTRY_OPTIONS, takes_task=True, more=_RUNS_NOTHING),
    Command("accept", "take stored results of Main, and of all it needs, for results of the present source",
            "taskproc.cli.execute:accept_entry", ENTRY_OPTIONS, takes_task=True, more=_RUNS_NOTHING),
    Command("list", "show what a cache holds, or the tasks of a class with their ids and arguments",
            "taskproc.cli.store:list_command", (_OUTPUT, _WHAT), more="\nWith ids it shows all that is known of them."),
    Command("check", "read all of a cache, and tell what is damaged, dead, foreign or left over",
            "taskproc.cli.store:check_command", (_OUTPUT,)),
    Command("clear", "forget results of a task class, or of some of its tasks",
            "taskproc.cli.store:clear_command", (_OUTPUT, _WHAT), more="\nWithout a name only the trash is emptied."),
    Command("completion", "print a script that completes commands and options in a shell",
            "taskproc.cli.completion:completion_command",
            (Option("shell", (), f"the shell: {', '.join(SHELLS)}", "SHELL", choices=SHELLS, required="shell"),),
            more="\nbash, zsh: source <(taskproc completion SHELL); fish: taskproc completion fish | source"),
)}  # fmt: skip

_KEY_FILE = Option("key_file", ("--key-file",), f"the key that all share; `{REMOTE} key FILE` makes one", "FILE",
                   required="key", hint=f"make one with `{REMOTE} key FILE`")  # fmt: skip
_ADDRESS = Option("address", ("--address",), "where the task manager is", "HOST:PORT",
                  required="address of a task manager")  # fmt: skip

REMOTE_COMMANDS: Mapping[str, Command] = {command.name: command for command in (
    Command("key", "make a new random key, in a file that only you can read", "taskproc.cli.remote:key_command",
            (Option("file", (), "a file that does not exist yet", "FILE", required="file for the key"),)),
    Command("serve", "serve a task manager, until it is terminated or interrupted",
            "taskproc.cli.remote:serve_command",
            (_KEY_FILE,
             Option("address", ("--address",), "where to serve; port 0 is any that is free", "HOST:PORT",
                    default="127.0.0.1:0"),
             Option("most_deaths", ("--most-deaths",), "after how many deaths of its worker a task counts as failed",
                    "N", COUNT, default=3))),
    Command("work", "do tasks by the functions do_<tag> of a module or script", "taskproc.cli.remote:work_command",
            (_KEY_FILE, _ADDRESS,
             Option("module", (), "module or script with functions do_<tag>; without one, only the calls of "
                    "RemoteExecutors are done", "MODULE", default=""),
             Option("jobs", ("-n", "--jobs"), "how many tasks run at once, each in a process of its own", "N", COUNT,
                    default=1),
             Option("period", ("--period",), "seconds between two pings; a process that misses four is given up",
                    "SECONDS", PERIOD, default=5.0),
             Option("retry", ("--retry",), "seconds for which a task manager that does not answer is tried again",
                    "SECONDS", SECONDS, default=10.0)),
            more="\nEnds when the task manager is terminated or gone."),
    Command("status", "tell how many processes and tasks a task manager has", "taskproc.cli.remote:status_command",
            (_KEY_FILE, _ADDRESS)),
)}  # fmt: skip
