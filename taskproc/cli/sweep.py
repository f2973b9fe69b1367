"""A sweep: the entry task with all combinations of values, run as one graph, and a table of the results."""
from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from taskproc.cli.entry_commands import (
    cache_of_run,
    executor_of,
    report_failures,
    run_options,
    show_preview,
    summary_lines,
)
from taskproc.cli.options import Options
from taskproc.cli.sweep_table import Combination, show_sweep
from taskproc.cli.usage import DONE, FAILED, INTERRUPTED, UserError, say
from taskproc.errors import FailedTaskError, MissingResult
from taskproc.frozen import replace
from taskproc.run.problem import sentence
from taskproc.tasks.inspection import preview
from taskproc.tasks.running import plan_work, run_graph
from taskproc.tasks.task import Task
from taskproc.text import counted

if TYPE_CHECKING:
    from taskproc.watch.json_lines import JsonLines


def sweep_entry(cls: type[Task], options: Options) -> int:
    """Run all combinations, and show their results. Returns the exit code, 1 if some failed."""
    # A sweep that is run again resumes, so the entry tasks are taken from the cache as all others are
    options = replace(options, force_entrypoint=False)
    with cache_of_run(cls, options) as log:
        combinations = list(_built_combinations(cls, options))
        tasks = tuple(combination.task for combination in combinations if combination.task is not None)
        if options.dry_run:
            return show_preview(tasks, options) if tasks else FAILED
        with executor_of(options) as executor:
            try:
                failures = _failures(tasks, options, executor, log) if tasks else {}
            except KeyboardInterrupt:
                return INTERRUPTED  # the run has reported how far it got
        if tasks:
            _fill(combinations, tasks, failures, options)
    show_sweep(combinations, options)
    counts = Counter(combination.state for combination in combinations)
    parts = ", ".join(f"{counts[state]:,} {state}" for state in ("done", "failed", "skipped") if counts[state])
    say(f"{counted(len(combinations), 'combination')}: {parts}")
    return DONE if counts["done"] == len(combinations) else FAILED


def _built_combinations(cls: type[Task], options: Options) -> Iterator[Combination]:
    """Each combination, the last parameter changing fastest. One that cannot be built has failed."""
    columns: Mapping[str, Any] = options.more["sweep"]
    for values in itertools.product(*columns.values()):
        arguments = dict(zip(columns, values))
        try:
            task = cls(**{**options.arguments, **arguments})
        except Exception as error:
            if options.on_error == "stop":
                raise UserError from error
            shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
            say(f"{cls.__qualname__}({shown}) cannot be built: {sentence(error)}")
            yield Combination(arguments, state="failed", error=sentence(error))
        else:
            yield Combination(arguments, task)


def _failures(
    tasks: tuple[Task, ...], options: Options, executor: Executor | None, log: JsonLines | None
) -> dict[tuple[str, int], str]:
    """Run all; class name and id of each task that failed → why, in a sentence."""
    try:
        _, stats = run_graph(tasks, **run_options(options, executor, log))
    except FailedTaskError as error:
        report_failures(error, options, log)
        return {(failure.task_name, failure.task_id): sentence(failure.error) for failure in error.failures}
    if not options.show_progress and not log:
        for line in summary_lines(stats):
            say(line)
    return {}


def _fill(
    combinations: list[Combination],
    tasks: tuple[Task, ...],
    failures: Mapping[tuple[str, int], str],
    options: Options,
) -> None:
    """Note what became of each combination. The graph is judged once more, all of it once."""
    known = plan_work(tasks, options.detect_source_change)
    stale = {key for key, _ in preview(known)}
    for combination in combinations:
        if combination.task is None:
            continue
        place = combination.task._taskproc.place
        if (error := failures.get((place.name, place.id))) is not None:
            combination.state, combination.error = "failed", error
        elif place.key not in stale:
            try:
                combination.state, combination.value = "done", known.value(place.key)
            except MissingResult as missing:
                combination.state, combination.error = "failed", sentence(missing)
