"""Running the entry task as the options say, and showing what came out: results on stdout, talk on stderr."""
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
from taskproc.tasks.looking import preview
from taskproc.tasks.running import plan_work, run_graph
from taskproc.tasks.stats import RunStats
from taskproc.tasks.task import Task
from taskproc.tasks.versions import other_versions
from taskproc.text import counted, printable, text_of
from taskproc.watch.standing import reason_lines
from taskproc.watch.tally import Tally, closing_line

if TYPE_CHECKING:
    from taskproc.watch.json_lines import JsonLines

_PART = 1 << 20  # bytes of a log that are copied at a time
_PREVIEWED = 20  # tasks that a dry run shows with their reasons

logger = logging.getLogger("taskproc")


def execute(cls: type[Task], options: Options) -> int:
    """Build the entry task in the cache and run it, or tell what would run. Returns the exit code."""
    _set_loglevel(options.loglevel)
    if options.dry_run:
        cache = Cache(options.output)
        # A folder that is not there is not made either: nothing is in it
        with cache if is_cache(options.output) else ActiveCache(cache):
            return _preview(_built(cls, options), options)
    if not options.force and (other := other_files(options.output)) is not None:
        raise UsageError(
            f"the folder {options.output!r} is not a cache and not empty: it holds {other!r}",
            "give a new or an empty folder, or say --force to make the cache there all the same",
        )
    log = _json_log(options)
    with Cache(options.output) as cache:
        _tell_of_old_name(cls, cache)
        return _run(_built(cls, options), options, log)


def _tell_of_old_name(cls: type[Task], cache: Cache) -> None:
    """A script in a package was once called by its stem alone, and so are the results that it left then."""
    name = cls.task_name
    old = f"{cls.__module__.rpartition('.')[2]}.{cls.__qualname__}"
    there = [os.path.isdir(layout.class_path(cache.store.root, each)) for each in (old, name)]
    if name != old and there == [True, False]:
        say(
            f"note: the cache has results of {old!r}, as {name!r} may have been called before.\n"
            f"hint: to use them, set `task_pinned_name = {old!r}`, and the same for the classes that it needs, and run "
            "the command `accept`; to forget them, run `clear`"
        )


def explain_entry(cls: type[Task], options: Options) -> int:
    """Tell why the entry task is fresh or would run. Returns the exit code."""
    from taskproc.tasks.explaining import explain  # here and below: 2 ms, and no run needs it

    _set_loglevel(options.loglevel)
    with existing(options.output):
        tell(str(explain(_built(cls, options))))
    return DONE


def accept_entry(cls: type[Task], options: Options) -> int:
    """Take what is stored of the entry task, and of all it needs, for results of the present code."""
    from taskproc.tasks.explaining import accept

    _set_loglevel(options.loglevel)
    with existing(options.output):
        counts = accept(_built(cls, options))
    for name, count in counts.items():
        tell(f"accepted {printable(name)}: {counted(count, 'result')}")
    if not counts:
        tell("nothing to accept: no result differs by its source alone")
    return DONE


def existing(path: str) -> Cache:
    """The cache at `path`. UsageError if there is none: a slip of the pen must not make one."""
    if not is_cache(path):
        raise UsageError(f"no cache at {path!r}")
    return Cache(path)


def _built(cls: Callable[..., Task], options: Options) -> Task:
    try:
        return cls(**options.arguments)
    except TaskprocError:
        raise
    except Exception as error:
        raise UserError from error


def _run(task: Task, options: Options, log: JsonLines | None) -> int:
    with _executor(options) as executor:
        shows, watchers = options.show_progress and log is None, [log] if log else []
        try:
            value, stats = run_graph(
                task, **_run_options(options, executor), show_progress=shows, watchers=watchers
            )
        except FailedTaskError as error:
            try:
                for each in error.failures:
                    if (each.task_id, each.task_name) == (task.task_id, task.task_name) and each.stdout is not None:
                        repeat(each.stdout, sys.stdout)
            finally:
                if log:
                    write_failures(log, error)
                else:
                    say(failures_text(error))
            return FAILED
        except KeyboardInterrupt:
            return INTERRUPTED  # the run has said how far it came
    if not options.show_progress and not log:
        for line in summary(stats):
            say(line)
    _show(task, value, options, log)
    return DONE


def _json_log(options: Options) -> JsonLines | None:
    """Where all goes that is said of the run, if programs are to read it; what taskproc logs is written there, too."""
    log: JsonLines | None = None
    if options.log_format == "json":
        from taskproc.watch.json_lines import JsonLines  # here: few runs need it

        log = JsonLines(events=options.show_progress)
    for handler in logger.handlers:
        if isinstance(handler, _Handler):
            handler.log = log
    return log


def write_failures(log: JsonLines, error: FailedTaskError) -> None:
    """An event for each failed task, with all that is known of its error."""
    for each in error.failures:
        fields = {
            name: None if value is None else str(value)
            for name, value in vars(each).items()
            if name in ("task", "traceback", "stdout", "stderr", "log")
        }
        kind, text = type(each.error).__name__, text_of(each.error)
        about = {"class": each.task_name, "id": str(each.task_id), "error": kind, "text": text}
        log.write("failure", {**about, **fields})


def _run_options(options: Options, executor: Executor | None) -> dict[str, Any]:
    return {
        "executor": executor,
        "max_workers": options.num_workers if executor is None else None,
        "rate_limits": options.rate_limits,
        "prefixes": options.prefixes,
        "detect_source_change": options.detect_source_change,
        "on_error": options.on_error,
        "force": options.force_entrypoint,
    }


@contextmanager
def _executor(options: Options) -> Iterator[Executor | None]:
    if options.exec_type == "local":
        yield LocalExecutor()
    elif options.exec_type == "thread":
        with ThreadPoolExecutor(options.num_workers or available_cpus()) as executor:
            yield executor
    else:
        yield None


def summary(stats: RunStats) -> list[str]:
    """The closing lines of a run that nobody watched: why tasks ran, and how many."""
    told = {NEW.text, FORCED.text}
    reasons = {
        name: {text: count for text, count in counts.items() if text not in told}
        for name, counts in stats["reasons"].items()
    }
    done, fresh = sum(stats["stats"].values()), sum(stats["hits"].values())
    return [*reason_lines(reasons), closing_line(Tally(done + fresh, done, fresh), stats["elapsed"])]


def _show(task: Task, value: object, options: Options, log: JsonLines | None) -> None:
    """What the task printed; if it printed nothing, what it returned.

    A task that ran right here has printed already, and how much is not known.
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
            with suppress(UnwrittenError):  # who reads no errors need not know of this one either
                repeat(task.task_stderr, sys.stderr)


def _log_errors(path: Path, log: JsonLines) -> None:
    """What the entry task printed to standard error, as an event."""
    try:
        printed = path.read_bytes()
    except FileNotFoundError:
        return  # nothing was kept of what it printed
    if printed:
        log.write("output", {"stream": "stderr", "text": printed.decode("utf-8", errors="replace")})


def repeat(path: Path, stream: TextIO) -> bool:
    """Copy a log to a stream, byte by byte where it takes bytes. Whether there was anything. Raises UnwrittenError."""
    try:
        log = path.open("rb")
    except FileNotFoundError:
        return False  # nothing was kept of what it printed
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


def _preview(task: Task, options: Options) -> int:
    _, stats = run_graph(task, **_run_options(options, None), dry_run=True)  # refuses what a run would refuse
    work = plan_work(task, options.detect_source_change, options.force_entrypoint)
    counts = stats["stats"]
    count, total = sum(counts.values()), len(work.graph.needs)
    tell(f"{'at most ' if count else ''}{count:,} of {counted(total, 'task')} would run")
    width = max((len(printable(name)) for name in counts), default=0)
    for name, some in counts.items():
        tell(f"  {printable(name):<{width}}  {some:,}")
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
    """Writes to standard error as it is at that moment: above the bars, while there are some. Or to a `log` in JSON."""

    log: JsonLines | None = None

    def emit(self, record: logging.LogRecord) -> None:
        level, text = record.levelname.lower(), self.format(record)
        if self.log is None:
            say(f"{level}: {text}")
        else:
            self.log.write("log", {"level": level, "text": text})


def _set_loglevel(level: str) -> None:
    logger.setLevel(level.upper())
    if not logger.hasHandlers():  # else the script has arranged for it
        logger.addHandler(_Handler())
