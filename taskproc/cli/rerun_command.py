"""`rerun SCRIPT ID`: one task alone, in this process, as its cache has recorded it; nothing is written to the cache."""
from __future__ import annotations

import os
import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence

from taskproc.cli.cache_folder import VARIABLE, default_folder
from taskproc.cli.cache_output import opened
from taskproc.cli.defaults import populated
from taskproc.cli.entry_class import load_target
from taskproc.cli.options import Options
from taskproc.cli.usage import DONE, FAILED, UsageError, UserError, output, say, tell
from taskproc.errors import CacheError, MissingResult, TaskFailure, TaskprocError, UnnamableValue
from taskproc.folders import absolute_path
from taskproc.ledger.identifiers import Catalogue, Located
from taskproc.store import layout
from taskproc.store.cache import Cache
from taskproc.store.disk import DiskStore
from taskproc.store.layout import Place, key_digits
from taskproc.store.version import Version
from taskproc.tasks.naming import brief
from taskproc.tasks.recorded import (
    alone,
    place_of_key,
    reading_only,
    recorded_key,
    recorded_task,
    stored_inputs,
    value_of_run,
)
from taskproc.tasks.task import Task
from taskproc.text import printable
from taskproc.watch.standing import duration

_DIGITS = 12  # of a key, in the command that a message shows: a cache would need millions of tasks to have two alike


def shown_command(options: Options, failure: TaskFailure) -> str:
    """The command that reruns a failed task, to be pasted into a shell; empty if there is none.

    There is none without a script, and for a task that failed before it was begun, which is not in the cache.
    """
    try:
        results = layout.results_path(absolute_path(options.output, CacheError), failure.task_name)
    except CacheError:
        return ""  # the working directory was removed
    is_recorded = os.path.exists(os.path.join(results, str(failure.task_id), layout.ARGUMENTS))
    if not options.script or not is_recorded:
        return ""
    words = ["rerun", options.script, key_digits(failure.task_id)[:_DIGITS], "-o", options.output]
    return f"{options.program} {shlex.join(words)}"


def rerun_command(given: Namespace) -> int:
    """Run the task with the given id. Returns the exit code, 1 if the task fails."""
    load_target(given.script)
    folder = given.output or populated().in_force()["output"] or default_folder()
    if not folder:
        raise UsageError(f"no cache folder is given: -o DIR, or the environment variable {VARIABLE}")
    cache = reading_only(opened(folder))
    place = _recorded_place(cache.store, _located(cache.store, given.what))
    task, inputs = _prepared(cache, place, given.script, folder)
    return _run(task, inputs, stops=given.pdb)


def _located(store: DiskStore, words: Sequence[str]) -> Located:
    """The one task in the cache that the words mean."""
    if len(words) <= 2:
        _, tasks = Catalogue(store).choose(words)
        if len(tasks) == 1:
            return tasks[0]
    raise UsageError(f"rerun runs one task, got {' '.join(words)!r}: give its id, or its class and its id")


def _recorded_place(store: DiskStore, task: Located) -> Place:
    """The whole key of a task, which is recorded with its arguments."""
    name, key = recorded_key(store, task.class_folder, task.id)
    try:
        place = place_of_key(name, key)
    except ValueError:
        place = None
    if place is None or place.id != task.id:
        shown = f"{printable(task.name)}#{key_digits(task.id)[:_DIGITS]}"
        raise UsageError(
            f"the arguments of {shown} are not recorded: its args.json is missing or incomplete",
            "run the script, which records them again",
        )
    return place


def _prepared(cache: Cache, place: Place, script: str, folder: str) -> tuple[Task, Mapping[str, Version]]:
    """The task and its inputs. UsageError says what is missing, and how to make it."""
    run = f"`{shlex.join(['taskproc', 'run', script, '-o', folder])}`"
    try:
        task = recorded_task(cache, place)
        inputs = stored_inputs(task, cache.store)
    except MissingResult as error:
        raise UsageError(str(error), f"run the script first, which makes it if it is in its graph: {run}") from error
    except UnnamableValue as error:
        raise UsageError(
            str(error), f"run the whole graph in this process instead, where a debugger works: {run[:-1]} -t local`"
        ) from error
    except TaskprocError:
        raise
    except Exception as error:
        raise UserError from error
    if task._taskproc.place != place:
        say(f"note: {brief(task)} was recorded without the parameters that its class has now; they get their defaults")
    return task, inputs


def _run(task: Task, inputs: Mapping[str, Version], *, stops: bool) -> int:
    name, began = brief(task), time.monotonic()
    say(f"rerun {name}")
    with alone(task, inputs):
        try:
            value = value_of_run(task)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # whatever a task raises is its failure
            taken = time.monotonic() - began
            _report(error, stops=stops)
            say(f"failed after {duration(taken)}; nothing was stored")
            return FAILED
        taken = time.monotonic() - began
        tell(brief(value))
    say(f"done in {duration(taken)}; nothing was stored")
    return DONE


def _report(error: BaseException, *, stops: bool) -> None:
    """Show the traceback, and let the user look around where it was raised."""
    from taskproc.run.problem import traceback_text  # here: only failures have one

    say(traceback_text(error).rstrip())
    if not stops or type(error).__name__ == "BdbQuit":
        return
    import pdb  # noqa: T100  # here: `--pdb` asks for it

    sys.stderr.flush()
    with output():
        pdb.post_mortem(error.__traceback__)
