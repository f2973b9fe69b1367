"""The command `why`: causes, each once, with the tasks that have it; or one task."""
from __future__ import annotations

import sys
from collections.abc import Iterator

from taskproc.cli.cache_output import opened, print_json
from taskproc.cli.entry_commands import build_entry, existing, graph_key, set_loglevel
from taskproc.cli.history_command import why_run
from taskproc.cli.options import Options
from taskproc.cli.plan_rows import cut_lines, next_command
from taskproc.cli.usage import DONE, say, tell
from taskproc.tasks.explaining import Explanation, explain
from taskproc.tasks.task import Task
from taskproc.tasks.why import CauseTasks, Why, tree_lines, why
from taskproc.text import counted, terminal_width
from taskproc.watch.standing import short_names

_CAUSES = 20  # that are shown
_CLASSES = 3  # of a cause


def why_entry(cls: type[Task], options: Options) -> int:
    """Show why the entry task, or the task with an id, is fresh or would run. Returns the exit code."""
    set_loglevel(options.loglevel)
    if options.more.get("run"):
        tell("\n".join(cut_lines(why_run(opened(options.output), options.more["run"]), terminal_width(sys.stdout))))
        return DONE
    with existing(options.output):
        found = why(build_entry(cls, options))
        key = graph_key(found.known.graph, options.task_id) if options.task_id else None
        one = explain(found.known.graph.tasks[key]) if key is not None else None
        if options.more.get("json"):
            print_json(why_rows(found) if one is None or key is None else _task_rows(found, key, one))
            return DONE
        lines = list(why_lines(found)) if one is None else str(one).splitlines()
        if options.more.get("tree"):
            lines += ["", *tree_lines(found, key)]
    tell("\n".join(cut_lines(lines, terminal_width(sys.stdout))))
    if found.to_run:
        say(f"\nhint: {next_command('plan' if key is None else 'run', options)}")
    return DONE


def why_lines(found: Why) -> Iterator[str]:
    """The text of the command, before it is cut."""
    if found.reason:
        yield f"{found.task} would run: {found.reason}"
    if found.to_run > 1:
        yield f"{found.to_run:,} of {counted(found.total, 'task')} would run, at most"
    for group in found.causes[:_CAUSES]:
        yield ""
        yield f"{group.cause.text}: {_whose(found, group)}"
        yield from (f"  {line}" for line in group.difference.splitlines())
        yield from (f"  {line}" for line in group.details)
    if len(found.causes) > _CAUSES:
        yield f"… and {counted(len(found.causes) - _CAUSES, 'more cause')}"
    if found.notes:
        yield from ["", *found.notes] if found.to_run else found.notes


def _whose(found: Why, group: CauseTasks) -> str:
    """`106 tasks of ReadFile, and 10 that need them`; one task is named."""
    names = short_names(group.classes)
    shown = [f"{counted(count, 'task')} of {names[name]}" for name, count in group.classes.items()]
    if len(group.keys) == 1:
        shown = [found.known.graph.name_of(group.keys[0])]
    more = [counted(len(shown) - _CLASSES, "more class", "more classes")] if len(shown) > _CLASSES else []
    needing = f", and {group.below:,} that {'need' if group.below != 1 else 'needs'} " if group.below else ""
    needing += ("it" if len(group.keys) == 1 else "them") if group.below else ""
    return f"{', '.join([*shown[:_CLASSES], *more])}{needing}"


def why_rows(found: Why) -> Iterator[dict[str, object]]:
    """A row for the whole, one for each cause, and one for each class with something that is not watched."""
    yield {"row": "why", "task": found.task, "fresh": not found.reason, "reason": found.reason, "total": found.total,
           "to_run": found.to_run}  # fmt: skip
    for group in found.causes:
        cause = group.cause
        yield {"row": "cause", "kind": cause.kind, "item": cause.item, "text": cause.text, "tasks": dict(group.classes),
               "below": group.below, "difference": group.difference, "details": list(group.details),
               "keys": list(group.keys)}  # fmt: skip
    for name, words in found.unwatched.items():
        yield {"row": "unwatched", "task": name, "places": list(words)}


def _task_rows(found: Why, key: str, one: Explanation) -> Iterator[dict[str, object]]:
    name = found.known.graph.name_of(key)
    stale = found.stale.get(key)
    causes = sorted(cause.text for cause in stale.own) if stale else []
    yield {"row": "task", "task": name, "key": key, "fresh": one.fresh, "reason": stale.reason.text if stale else "",
           "causes": causes, "needs": [need for need in found.known.graph.needs[key] if need in found.stale],
           "text": str(one)}  # fmt: skip
