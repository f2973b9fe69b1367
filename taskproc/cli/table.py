"""The command line as a table: one entry per option and one per command.

Parsers, `--help`, defaults, `DefaultArguments`, completion and docs/cli.md are derived from it. A new command is one
entry here, and the function that the entry names; the module of the function is imported when the command is used.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

SHELLS = ("bash", "zsh", "fish")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
TARGET = "SCRIPT|MODULE[:CLASS]"
REMOTE = "python -m taskproc.remote"


class ValueKind(NamedTuple):
    """The values that an option takes: how a word is read (may raise ValueError), which values fit, in words."""

    read: Callable[[str], Any]
    fits: Callable[[Any], bool]
    wanted: str


def _json(text: str) -> object:
    import json

    return json.loads(text)


def _moment(text: str) -> object:
    """The moment that was so long ago, such as `2d`, or is written in ISO format."""
    import datetime as dt

    units = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    count = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        if (unit := units.get(text[len(count) :])) and count:
            return dt.datetime.now() - dt.timedelta(**{unit: float(count)})
        return dt.datetime.fromisoformat(text)
    except OverflowError as error:
        raise ValueError(str(error)) from None


TEXT = ValueKind(str, lambda value: isinstance(value, str), "a text")
PATH = TEXT._replace(wanted="the path of a folder")
LOWER = TEXT._replace(read=str.lower)
COUNT = ValueKind(int, lambda value: type(value) is int and value >= 1, "an int of at least 1")
SECONDS = ValueKind(float, lambda value: 0 <= value < float("inf"), "a number of seconds of at least 0")
PERIOD = ValueKind(float, lambda value: 0 < value < float("inf"), "a number of seconds above 0")
CONDITION = TEXT._replace(fits=lambda text: text.partition("=")[0].isidentifier() and "=" in text,
                          wanted="NAME=VALUE, such as lr=0.1")  # fmt: skip
MOMENT = ValueKind(_moment, lambda value: True, "a time such as 2d, 3h, 30min or 2026-11-30")
JSON = ValueKind(_json, lambda value: isinstance(value, Mapping), "a JSON object such as '{\"key\": 1}'")


def _size(text: str) -> int:
    factor = _UNITS.get(text[-1:].upper(), 1)
    size = float(text[:-1] if factor > 1 else text) * factor
    if not 0 <= size < float("inf"):
        raise ValueError("not a size")
    return int(size)


_UNITS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
SIZE = ValueKind(_size, lambda value: type(value) is int and value >= 0, "a size in bytes such as 500M or 200G")


class Option(NamedTuple):
    """An option of the command line, or a positional argument.

    Attributes:
        name: of the attribute that gets the value; options that set one attribute have one default.
        flags: `-o`, `--output`; empty for a positional argument.
        help: its meaning. The entry task is called Main.
        sets: the value that a flag without a value sets.
        required: the name of the missing thing in the error if the option is not given; `hint` says how to get it.
        several: whether any number of values may be given; with flags, each time one of them is given.
        unset: the effect of the default None; `{here}` is replaced by its value on this machine.
        fallback: `module:function` that gives the value if the option is not given, or None.
        yields: whether a parameter of the entry task may take its flag, because the option is newer than such scripts.
    """

    name: str
    flags: tuple[str, ...]
    help: str
    metavar: str = ""
    kind: ValueKind = TEXT
    choices: tuple[str, ...] = ()
    default: Any = None
    sets: bool | None = None
    required: str = ""
    hint: str | None = None
    several: bool = False
    unset: str = ""
    fallback: str = ""
    yields: bool = False


class CommandEntry(NamedTuple):
    """A command.

    Attributes:
        summary: its line in the help of the program, and the first sentence of its own help. The entry task is Main.
        function: `module:name`; it is called with the values of the options and returns the exit code.
        takes_task: whether a script or module comes first. The function is called with the entry task and an Options.
        more: further sentences of its own help.
        takes_id: whether the id of a task may follow the script.
    """

    name: str
    summary: str
    function: str
    options: tuple[Option, ...]
    takes_task: bool = False
    more: str = ""
    takes_id: bool = False

    def description(self) -> str:
        """The text above the options in its own help."""
        return f"{self.summary[0].upper()}{self.summary[1:]}.{self.more}"

    def load(self) -> Callable[..., int]:
        """Import the function of the command."""
        function: Callable[..., int] = load_function(self.function)
        return function

    def usage(self) -> str:
        """The words that follow the name of the command in its usage line."""
        needed = [option for option in self.options if option.flags and option.required]
        words = [(f"{option.flags[0]} {option.metavar}", option.fallback) for option in needed]
        flags = [f"[{word}]" if fallback else word for word, fallback in words]
        positional = [option for option in self.options if not option.flags]
        places = [option.metavar if option.required else f"[{option.metavar}]" for option in positional]
        more = ["[options]"] if any(option.flags and not option.required for option in self.options) else []
        return " ".join([TARGET] * self.takes_task + ["[ID]"] * self.takes_id + flags + places + more)


def load_function(place: str) -> Callable[..., Any]:
    """Import the function that `module:name` names."""
    module, _, name = place.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


def command_lines(commands: Iterable[CommandEntry]) -> str:
    """Commands with their summaries, as the help of a program lists them."""
    rows = [(f"{command.name} {command.usage().removesuffix(' [options]')}", command.summary) for command in commands]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"  {call:<{width}}  {summary}" for call, summary in rows)


HELP = Option("help", ("-h", "--help"), "show this and exit")
_OUTPUT = Option("output", ("-o", "--output"), "the cache folder", "DIR", PATH, required="cache folder",
                 hint="give it with -o DIR, or set TASKPROC_CACHE, or `cache` in [tool.taskproc] of pyproject.toml",
                 unset="that of TASKPROC_CACHE, or of `cache` in [tool.taskproc] of pyproject.toml",
                 fallback="taskproc.cli.cache_folder:default_folder")  # fmt: skip
_WHAT = Option("what", (), "a task class, ids of tasks, or both; a class by the end of its name, if it is unique",
               "CLASS|ID …", several=True)  # fmt: skip
_AS_JSON = Option("as_json", ("--json",), "print one JSON object per line, as described in docs/json.md",
                  sets=True, default=False)  # fmt: skip
_LIST = (
    _OUTPUT,
    Option("what", (), "a task class, by the end of its name if it is unique; by default a line per class",
           "CLASS", several=True),
    Option("where", ("--where",), "only tasks that have this argument, written as in Python; several times for several",
           "NAME=VALUE", CONDITION, default=(), several=True),
    Option("script", ("--script",), "say which results are stale for the Main of this script; flags of Main stand with "
           "it in quotes", "SCRIPT"),
    Option("failed", ("--failed",), "only tasks whose newest attempt failed", sets=True, default=False),
    Option("since", ("--since",), "only what ended, or began if it runs, since then: 2d, 3h or 2026-11-30", "TIME",
           MOMENT),
    Option("sort", ("--sort",), "what to sort by, the largest first; default: tasks newest first, classes by name",
           choices=("seconds", "size", "when", "peak", "name")),
    Option("wide", ("--wide",), "show arguments and times whole, whatever the width of the terminal", sets=True,
           default=False),
    _AS_JSON,
)  # fmt: skip

_TASK = Option("what", (), "the id of a task; its class may stand in front", "ID", several=True, required="task",
               hint="`list CLASS` shows the ids of its tasks")  # fmt: skip
_SHOW = (
    _OUTPUT,
    _TASK,
    Option("value", ("--value",), "load the result, and show its type, shape, length and the start of its repr",
           sets=True, default=False),
    _AS_JSON,
)  # fmt: skip

_LOG = (
    _OUTPUT,
    _TASK,
    Option("follow", ("-f", "--follow"), "go on until the attempt ends", sets=True, default=False),
    Option("stderr", ("--stderr",), "its standard error instead of its standard output", sets=True, default=False),
    _AS_JSON,
)

_STATUS = (
    _OUTPUT,
    Option("watch", ("-w", "--watch"), "show them again and again until they have ended", sets=True, default=False),
    _AS_JSON,
)
_HISTORY = (
    _OUTPUT,
    Option("run", (), "the id of a run, its beginning, or the digits behind its `-`; by default a line for each run",
           "RUN"),
    _AS_JSON,
)  # fmt: skip
_GC = (
    _OUTPUT,
    Option("scripts", (), "pipelines whose results stay, each as a script or module with the flags of its Main in "
           "quotes: 'train.py --lr 0.1'; results that they do not reach may go", "SCRIPT …", several=True),
    Option("keep_days", ("--keep-days",), "results that are younger than so many days stay", "DAYS",
           SECONDS._replace(wanted="a number of days of at least 0")),
    Option("max_size", ("--max-size",), "delete only as much as is needed for this size: 500M, 200G; first what is "
           "cheapest to compute again per byte", "SIZE", SIZE),
    Option("yes", ("--yes",), "delete; without it, nothing changes", sets=True, default=False),
    _AS_JSON,
)  # fmt: skip

# For all commands that take a task; DefaultArguments sets the defaults of those that are its fields
ENTRY_OPTIONS = (
    _OUTPUT,
    Option("force", ("--force",), "create the cache even in a folder that contains other files", sets=True,
           default=False, yields=True),
    Option("num_workers", ("-n", "--num-workers"), "number of tasks that run at once", "N", COUNT,
           unset="the number of available processors{here}"),
    Option("exec_type", ("-t", "--exec-type"),
           "where tasks run: in worker processes, in threads, or one by one in this process",
           choices=("process", "thread", "local"), default="process"),
    Option("kwargs", ("--kwargs",), "arguments of Main; its flags take precedence", "JSON", JSON),
    Option("prefixes", ("--prefixes", "--prefix"),
           "commands to run tasks behind, by label or task name: '{\"gpu\": \"srun\"}'", "JSON", JSON),
    Option("rate_limits", ("--rate-limits",),
           "number of tasks that run at once, or names of slots, by label or task name: '{\"gpu\": 1}'",
           "JSON", JSON),
    Option("on_error", ("--on-error",), "after a failure: start nothing new, or run every task that does not need it",
           choices=("stop", "continue"), default="stop"),
    Option("detect_source_change", ("-D", "--disable-detect-source-change"), "use results whose source has changed",
           sets=False, default=True),
    Option("detect_source_change", ("--detect-source-change",), "run tasks whose source has changed again",
           sets=True, default=True, yields=True),
    Option("force_entrypoint", ("--dont-force-entrypoint",), "use the stored result of Main, if it is fresh",
           sets=False, default=True),
    Option("force_entrypoint", ("--force-entrypoint",), "run Main each time", sets=True, default=True, yields=True),
    Option("dry_run", ("--dry-run",), "show which tasks would run and why; run nothing", sets=True, default=False),
    Option("show_progress", ("--dont-show-progress",), "show no progress on standard error", sets=False, default=True),
    Option("show_progress", ("--show-progress",), "show progress on standard error", sets=True, default=True,
           yields=True),
    Option("log_format", ("--log-format",),
           "format of the report on standard error: text for people, or one JSON object per line",
           choices=("text", "json"), default="text"),
    Option("loglevel", ("-l", "--loglevel"), f"level of taskproc's own messages: {', '.join(LOG_LEVELS)}",
           "LEVEL", LOWER, LOG_LEVELS, "warning"),
)  # fmt: skip

# For `run` alone
SWEEP_OPTIONS = (
    Option("sweep", ("--sweep",), "run all combinations of values of Main's parameters: lr=0.1,0.01 or seed=0:5",
           "NAME=VALUES", default=(), several=True, yields=True),
    Option("table", ("--table",), "fields of the results that the table of a sweep shows: acc,loss", "FIELDS",
           yields=True),
    Option("csv", ("--csv",), "write the table of a sweep to a file", "FILE", yields=True),
    Option("json", ("--json",), "print a JSON object per combination of a sweep instead of a table", sets=True,
           default=False, yields=True),
)  # fmt: skip

_PLAN_OPTIONS = (
    *ENTRY_OPTIONS,
    _AS_JSON._replace(name="json", yields=True),
    Option("against", ("--against",), "show the same for a Git revision beside it: what a change would cost", "REV",
           yields=True),
    Option("exit_code", ("--exit-code",), "exit with 3 if a task other than a forced Main would run", sets=True,
           default=False, yields=True),
)  # fmt: skip
_WHY_OPTIONS = (
    *ENTRY_OPTIONS,
    _AS_JSON._replace(name="json", yields=True),
    Option("run", ("--run",), "show why a run of the past ran what it ran; `history` has the ids", "RUN",
           yields=True),
    Option("tree", ("--tree",), "show the chain of tasks that would run, up to the causes", sets=True, default=False,
           yields=True),
)  # fmt: skip
_EACH_CAUSE = (
    "\nShows each cause once, with the tasks that have it; with an id, such as 3fa1, it shows one task of the graph."
)
_RUNS_NOTHING = "\nRuns nothing, so options that say how to run have no effect."
_ENTRY, _REMOTE = (f"taskproc.cli.{name}_commands" for name in ("entry", "remote"))
_SCRIPT = Option("script", (), "the script or module that defines the task, or imports its module", "SCRIPT|MODULE",
                 required="script")  # fmt: skip
_PDB = Option("pdb", ("--pdb",), "stop in the debugger where the task fails", sets=True, default=False)
_SHELL = Option("shell", (), f"the shell: {', '.join(SHELLS)}", "SHELL", choices=SHELLS, required="shell")



def _of_cache(name: str) -> str:
    """The place of the function of a command that looks at a cache."""
    return f"taskproc.cli.{name}_command:{name}_command"


ALIASES = {"ls": "list"}
COMPLETE = "--complete"  # what scripts of completion call; for no one else
COMMANDS: Mapping[str, CommandEntry] = {command.name: command for command in (
    CommandEntry("run", "run Main, and all tasks it needs whose results are not in the cache",
                 "taskproc.cli.main:run_entry", (*ENTRY_OPTIONS, *SWEEP_OPTIONS), takes_task=True),
    CommandEntry("plan", "show what a run of Main would do: which tasks, why, how long, how much memory and disk",
                 "taskproc.cli.plan_command:plan_entry", _PLAN_OPTIONS, takes_task=True,
                 more="\nRuns nothing. Times and sizes are estimates from earlier runs in this cache."),
    CommandEntry("why", "show why Main is fresh or would run, and what changed",
                 "taskproc.cli.why_command:why_entry", _WHY_OPTIONS, takes_task=True, more=_EACH_CAUSE + _RUNS_NOTHING,
                 takes_id=True),
    CommandEntry("accept", "declare stored results of Main, and of all tasks it needs, to be of the present source",
                 f"{_ENTRY}:accept_entry", (*ENTRY_OPTIONS, _AS_JSON._replace(name="json", yields=True)),
                 takes_task=True, takes_id=True,
                 more="\nWith an id, it concerns this task, and all that it needs." + _RUNS_NOTHING),
    CommandEntry("rerun", "run one task of a cache alone, in this process, with its recorded arguments and inputs",
                 "taskproc.cli.rerun_command:rerun_command",
                 (_SCRIPT, _TASK, _OUTPUT._replace(required="", fallback=""), _PDB),
                 more="\nWhat it prints goes to the terminal. Nothing is written to the cache."),
    CommandEntry("list", "show the classes of a cache, or tasks with their ids, arguments, states, times and sizes",
                 _of_cache("list"), _LIST, more="\n`ls` is the same."),
    CommandEntry("show", "show all that is known of one task: arguments, inputs, costs, code, files and logs",
                 _of_cache("show"), _SHOW, more="\nLoads its result only with --value."),
    CommandEntry("log", "show what a task printed, and follow it while it runs, on any host that shares the folder",
                 _of_cache("log"), _LOG,
                 more="\nThe output is that of its newest attempt. With -f, the exit code is 1 if that fails."),
    CommandEntry("du", "show the bytes of each class: results, data directories, logs, earlier versions; and the trash",
                 _of_cache("du"), (_OUTPUT, _AS_JSON)),
    CommandEntry("status", "show the runs that are on their way, on any host that shares the folder",
                 _of_cache("status"), _STATUS,
                 more="\nIf there is none, it shows how the last run ended; the exit code is 1 unless that is done."),
    CommandEntry("history", "show the runs that were: what they ran, how long they took, and what the cache saved",
                 _of_cache("history"), _HISTORY, more="\nWith the id of a run, it shows what it did and why."),
    CommandEntry("check", "read all files of a cache, and report damaged, dead, foreign and left-over ones",
                 _of_cache("check"), (_OUTPUT, _WHAT, _AS_JSON),
                 more="\nWith a class or ids, only the results of these tasks."),
    CommandEntry("clear", "remove the results of a task class, or of some tasks",
                 _of_cache("clear"), (_OUTPUT, _WHAT, _AS_JSON),
                 more="\nWithout a class or an id, it only empties the trash."),
    CommandEntry("gc", "show which results may be deleted, and the time to compute them again; delete with --yes",
                 _of_cache("gc"), _GC,
                 more="\nEach of SCRIPT, --keep-days and --max-size lets more results stay; give at least one. Results "
                 "that a living run may use stay.\nTasks that are built while another task runs are not reached."),
    CommandEntry("completion", "print a script that completes commands, options, classes and ids in a shell",
                 "taskproc.cli.completion:completion_command", (_SHELL,),
                 more="\nbash, zsh: source <(taskproc completion SHELL); fish: taskproc completion fish | source"),
)}  # fmt: skip

_KEY_FILE = Option("key_file", ("--key-file",), f"the shared key; `{REMOTE} key FILE` creates one", "FILE",
                   required="key", hint=f"create one with `{REMOTE} key FILE`")  # fmt: skip
_ADDRESS = Option("address", ("--address",), "address of the task manager", "HOST:PORT",
                  required="address of a task manager")  # fmt: skip

REMOTE_COMMANDS: Mapping[str, CommandEntry] = {command.name: command for command in (
    CommandEntry("key", "create a random key in a file that only you can read", f"{_REMOTE}:key_command",
                 (Option("file", (), "a file that does not exist yet", "FILE", required="file for the key"),)),
    CommandEntry("serve", "serve a task manager until it is terminated or interrupted", f"{_REMOTE}:serve_command",
                 (_KEY_FILE,
                  Option("address", ("--address",), "where to serve; port 0 means any free port", "HOST:PORT",
                         default="127.0.0.1:0"),
                  Option("most_deaths", ("--most-deaths",), "deaths of its worker after which a task has failed",
                         "N", COUNT, default=3))),
    CommandEntry("work", "run tasks by the functions do_<tag> of a module or script", f"{_REMOTE}:work_command",
                 (_KEY_FILE, _ADDRESS,
                  Option("module", (), "module or script with functions do_<tag>; without one, only calls of "
                         "RemoteExecutors are run", "MODULE", default=""),
                  Option("jobs", ("-n", "--jobs"), "number of tasks that run at once, each in its own process", "N",
                         COUNT, default=1),
                  Option("period", ("--period",), "seconds between two pings; four missing pings mean that the "
                         "process is lost", "SECONDS", PERIOD, default=5.0),
                  Option("retry", ("--retry",), "seconds during which connecting to the task manager is retried",
                         "SECONDS", SECONDS, default=10.0)),
                 more="\nEnds when the task manager is terminated or does not answer."),
    CommandEntry("status", "show the numbers of processes and tasks of a task manager",
                 f"{_REMOTE}:remote_status_command", (_KEY_FILE, _ADDRESS)),
)}  # fmt: skip
