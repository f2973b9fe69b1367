"""The commands that take a script: run the entry task, explain it, accept its results. Results go to stdout."""
from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from taskproc.cli.options import Options
from taskproc.cli.usage import (
    DONE,
    FAILED,
    INTERRUPTED,
    UnwrittenError,
    UsageError,
    UserError,
    failures_text,
    output,
    say,
    tell,
)
from taskproc.errors import FailedTaskError, TaskprocError
from taskproc.kernel.rebuild import FORCED, NEW
from taskproc.machine import available_cpus
from taskproc.run.pool import LocalExecutor
from taskproc.store import layout
from taskproc.store.cache import ActiveCache, Cache, is_cache, other_files
from taskproc.store.layout import ShortIds
from taskproc.tasks.inspection import other_versions, preview
from taskproc.tasks.running import plan_work, run_graph
from taskproc.tasks.stats import RunStats
from taskproc.tasks.task import Task
from taskproc.tasks.task_graph import Graph, graph_of
from taskproc.text import counted, exception_text, printable
from taskproc.watch.standing import Tally, closing_line, reason_lines

if TYPE_CHECKING:
    from taskproc.watch.json_lines import JsonLines

_PART = 1 << 20  # bytes of a log that are copied at a time
_PREVIEWED = 20  # tasks are shown with their reasons by a dry run

logger = logging.getLogger("taskproc")


def execute(cls: type[Task], options: Options) -> int:
    """Build the entry task in the cache and run it, or report what would run. Returns the exit code."""
    with cache_of_run(cls, options) as log:
        task = build_entry(cls, options)
        return show_preview(task, options) if options.dry_run else _run(task, options, log)


@contextmanager
def cache_of_run(cls: type[Task], options: Options) -> Iterator[JsonLines | None]:
    """A block in which the cache of a run is in use; gives the log in JSON lines, if that is the format."""
    set_loglevel(options.loglevel)
    if options.dry_run:
        cache = Cache(options.output)
        # A missing folder is not created; it is treated as an empty cache
        with cache if is_cache(options.output) else ActiveCache(cache):
            yield None
        return
    if not options.force and (other := other_files(options.output)) is not None:
        raise UsageError(
            f"the folder {options.output!r} is not a cache and not empty: it contains {other!r}",
            "give a new or an empty folder, or pass --force to create the cache in this one",
        )
    log = _json_log(options)
    with Cache(options.output) as cache:
        _report_old_name(cls, cache)
        yield log


def _report_old_name(cls: type[Task], cache: Cache) -> None:
    """Report results under an old name: a script in a package was once named by its stem alone."""
    name = cls.task_name
    old = f"{cls.__module__.rpartition('.')[2]}.{cls.__qualname__}"
    has_results = [os.path.isdir(layout.class_path(cache.store.root, version)) for version in (old, name)]
    if name != old and has_results == [True, False]:
        say(
            f"note: the cache has results of {old!r}, which may be the former name of {name!r}.\n"
            f"hint: to use them, set `task_pinned_name = {old!r}`, do the same for the classes that it needs, and run "
            "the command `accept`; to remove them, run `clear`"
        )


def accept_entry(cls: type[Task], options: Options) -> int:
    """Declare the stored results of the entry task, and of all it needs, to be results of the present code."""
    from taskproc.tasks.explaining import accept

    set_loglevel(options.loglevel)
    with existing(options.output):
        task = build_entry(cls, options)
        counts = accept(task if not options.task_id else _task_in_graph(task, options.task_id))
    if options.more.get("json"):
        from taskproc.cli.cache_output import print_json

        print_json({"task": name, "accepted": count} for name, count in counts.items())
        return DONE
    for name, count in counts.items():
        tell(f"accepted {printable(name)}: {counted(count, 'result')}")
    if not counts:
        tell("nothing to accept: no result differs by its source alone")
    return DONE


def _task_in_graph(task: Task, word: str) -> Task:

    graph = graph_of(task)
    found: Task = graph.tasks[graph_key(graph, word)]
    return found


def graph_key(graph: Graph, word: str) -> str:
    """The key of the one task of a graph that a word identifies: an id, or the first digits of a key.

    A class may stand before the digits, as it is shown: `Choose#3fa1`. Raises UsageError, with the candidates.
    """
    cls = word.rpartition("#")[0]
    keys = {task._taskproc.place.id: key for key, task in graph.tasks.items()
            if not cls or cls in (type(task).__qualname__, task.task_name)}  # fmt: skip
    matching = [keys[number] for number in layout.matching_ids(word, keys)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise UsageError(f"no task of this graph has the id {word!r}", "`plan` and `why` show ids; `list` shows all")
    ids = ShortIds(graph.needs)
    names = ", ".join(f"{type(graph.tasks[key]).__qualname__}#{ids.of(key)}" for key in matching)
    raise UsageError(f"{word!r} may be any of {counted(len(matching), 'task')}: {names}", hint="")


def existing(path: str) -> Cache:
    """The cache at `path`. Raises UsageError if there is none: a typing error must not create one."""
    if not is_cache(path):
        raise UsageError(f"no cache at {path!r}")
    return Cache(path)


def build_entry(cls: Callable[..., Task], options: Options) -> Task:
    """The entry task with its arguments. Raises UserError if its `__init__` raises."""
    try:
        return cls(**options.arguments)
    except TaskprocError:
        raise
    except Exception as error:
        raise UserError from error


def _run(task: Task, options: Options, log: JsonLines | None) -> int:
    with executor_of(options) as executor:
        try:
            value, stats = run_graph(task, **run_options(options, executor, log))
        except FailedTaskError as error:
            try:
                for failure in error.failures:
                    is_entry = (failure.task_id, failure.task_name) == (task.task_id, task.task_name)
                    if is_entry and failure.stdout is not None:
                        repeat(failure.stdout, sys.stdout)
            finally:
                report_failures(error, options, log)
            return FAILED
        except KeyboardInterrupt:
            return INTERRUPTED  # the run has reported how far it got
    if not options.show_progress and not log:
        for line in summary_lines(stats):
            say(line)
    _show(task, value, options, log)
    return DONE


def _json_log(options: Options) -> JsonLines | None:
    """The log in JSON lines, if that is the format; also taskproc's own messages are written to it."""
    log: JsonLines | None = None
    if options.log_format == "json":
        from taskproc.watch.json_lines import JsonLines  # here: few runs need it

        log = JsonLines(events=options.show_progress)
    for handler in logger.handlers:
        if isinstance(handler, _Handler):
            handler.log = log
    return log


def report_failures(error: FailedTaskError, options: Options, log: JsonLines | None) -> None:
    """Show all failures on standard error, or write them to the log, each with the command that reruns it."""
    from taskproc.cli.rerun_command import shown_command  # here: only failed runs need it

    if log is None:
        say(failures_text(error, partial(shown_command, options)))
        return
    for failure in error.failures:
        fields = {
            name: None if value is None else str(value)
            for name, value in vars(failure).items()
            if name in ("task", "traceback", "stdout", "stderr", "log")
        }
        kind, text = type(failure.error).__name__, exception_text(failure.error)
        head = {"class": failure.task_name, "id": str(failure.task_id), "error": kind, "text": text}
        log.write("failure", {**head, **fields, "rerun": shown_command(options, failure) or None})


def run_options(options: Options, executor: Executor | None, log: JsonLines | None = None) -> dict[str, Any]:
    """The keyword arguments of `run_graph`."""
    return {
        "executor": executor,
        "max_workers": options.num_workers if executor is None else None,
        "rate_limits": options.rate_limits,
        "prefixes": options.prefixes,
        "detect_source_change": options.detect_source_change,
        "on_error": options.on_error,
        "force": options.force_entrypoint,
        "show_progress": options.show_progress and log is None and not options.dry_run,
        "watchers": [log] if log else [],
    }


@contextmanager
def executor_of(options: Options) -> Iterator[Executor | None]:
    """A block with the executor for `run_graph`; None: worker processes."""
    if options.exec_type == "local":
        yield LocalExecutor()
    elif options.exec_type == "thread":
        with ThreadPoolExecutor(options.num_workers or available_cpus()) as executor:
            yield executor
    else:
        yield None


def summary_lines(stats: RunStats) -> list[str]:
    """The closing lines of a run without progress: why tasks ran, and how many."""
    usual = {NEW.text, FORCED.text}
    reasons = {
        name: {text: count for text, count in counts.items() if text not in usual}
        for name, counts in stats["reasons"].items()
    }
    done, fresh = sum(stats["stats"].values()), sum(stats["hits"].values())
    return [*reason_lines(reasons), closing_line(Tally(done + fresh, done, fresh), stats["elapsed"])]


def _show(task: Task, value: object, options: Options, log: JsonLines | None) -> None:
    """Show what the task printed; if it printed nothing, its value.

    A task that ran in this process has printed already, and it is not known how much.
    """
    try:
        printed = repeat(task.task_stdout, sys.stdout)
        if value is not None and not printed and options.exec_type != "local":
            with output():
                print(repr(value))
    finally:
        if log is not None:
            _log_errors(task.task_stderr, log)
        else:
            with suppress(UnwrittenError):  # nobody reads standard error, so nobody would read this error
                repeat(task.task_stderr, sys.stderr)


def _log_errors(path: Path, log: JsonLines) -> None:
    """Write what the entry task printed to standard error, as an event."""
    try:
        printed = path.read_bytes()
    except FileNotFoundError:
        return  # its output was not captured
    if printed:
        log.write("output", {"stream": "stderr", "text": printed.decode("utf-8", errors="replace")})


def repeat(path: Path, stream: TextIO) -> bool:
    """Copy a log to a stream, as bytes if possible; whether the log had any. Raises UnwrittenError."""
    try:
        log = path.open("rb")
    except FileNotFoundError:
        return False  # its output was not captured
    binary = getattr(stream, "buffer", None)
    with log, output():
        stream.flush()
        for part in iter(partial(log.read, _PART if binary is not None else -1), b""):
            if binary is not None:
                binary.write(part)
            else:
                stream.write(part.decode("utf-8", errors="replace"))
        stream.flush()
        return log.tell() > 0


def show_preview(task: Task | tuple[Task, ...], options: Options) -> int:
    """Show how many tasks would run, and why. Returns the exit code."""
    _, stats = run_graph(task, **run_options(options, None), dry_run=True)  # it refuses the same options as a run
    work = plan_work(task, options.detect_source_change, options.force_entrypoint)
    counts = stats["stats"]
    count, total = sum(counts.values()), len(work.graph.needs)
    tell(f"{'at most ' if count else ''}{count:,} of {counted(total, 'task')} would run")
    width = max((len(printable(name)) for name in counts), default=0)
    for name, number in counts.items():
        tell(f"  {printable(name):<{width}}  {number:,}")
    reasons = list(preview(work))
    if count:
        tell("")
        for key, reason in reasons[:_PREVIEWED]:
            tell(f"  {work.graph.name_of(key)}   because {reason.text}")
    if count > _PREVIEWED:
        tell(f"  … and {count - _PREVIEWED:,} more")
    for line in other_versions(work):
        tell(line)
    return DONE


class _Handler(logging.Handler):
    """Writes to the present standard error, which keeps progress bars intact, or to a `log` in JSON."""

    log: JsonLines | None = None

    def emit(self, record: logging.LogRecord) -> None:
        level, text = record.levelname.lower(), self.format(record)
        if self.log is None:
            say(f"{level}: {text}")
        else:
            self.log.write("log", {"level": level, "text": text})


def set_loglevel(level: str) -> None:
    """Set the level of taskproc's own messages, and write them to standard error if the script has set no handler."""
    logger.setLevel(level.upper())
    if not logger.hasHandlers():  # else the script has set one
        logger.addHandler(_Handler())
