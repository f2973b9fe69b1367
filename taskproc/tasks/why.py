"""Why a run would run what it would run: the causes, each once, with the tasks that have it and the difference."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskproc.source.fingerprint import code_difference
from taskproc.tasks.access import store_of
from taskproc.tasks.causes import Cause, StaleTask, changed_code, stale_tasks, stored_code
from taskproc.tasks.conditions import LOOKED_AT, Unwatched
from taskproc.tasks.explaining import changed_needs_lines, failure_lines, fresh_lines, nearest_lines, observed_lines
from taskproc.tasks.inspection import other_versions
from taskproc.tasks.known_versions import KnownVersions
from taskproc.tasks.task_graph import graph_of

Task = Any  # tasks.task stands above this module

_EXAMPLES = 3  # tasks of a cause that are looked at for what differs, or failed


@dataclass(frozen=True)
class CauseTasks:
    """A cause, and the tasks that would run for it.

    Attributes:
        keys: tasks that have it in themselves, upstream first.
        below: how many others would run for it, at most: those that need these.
        classes: class → how many of `keys` are of it.
        difference: of the source, as a unified diff; empty for other causes.
        details: lines on the first tasks: new needs, the failure before, the nearest task that has a result.
    """

    cause: Cause
    keys: tuple[str, ...]
    below: int
    classes: Mapping[str, int]
    difference: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Why:
    """Why a task and all that it needs are fresh, or would run.

    Attributes:
        task: the task as it is shown; `reason`: why it would run, empty if it is fresh.
        total, to_run: how many tasks there are, and would run at most.
        causes: edits first, those with the most tasks before others.
        notes: lines on the result of the task, on packages and on what is not watched.
        known, stale: what was looked at, for `tree_lines`.
    """

    task: str
    reason: str
    total: int
    to_run: int
    causes: tuple[CauseTasks, ...]
    notes: tuple[str, ...]
    unwatched: Mapping[str, Sequence[str]]
    known: KnownVersions = field(repr=False, compare=False)
    stale: Mapping[str, StaleTask] = field(repr=False, compare=False)


def why(task: Task) -> Why:
    """Look at the graph of a task. Runs nothing."""
    known = KnownVersions(graph_of(task), store_of(task._taskproc))
    stale = stale_tasks(known)
    root = known.graph.root
    unwatched = Unwatched()
    for each in known.graph.tasks.values():
        unwatched.note(each, known.conditions.code(each))
    notes = list(observed_lines(known, root) if root in stale else fresh_lines(known, root))
    return Why(
        task=known.graph.name_of(root),
        reason=stale[root].reason.text if root in stale else "",
        total=len(known.graph.needs),
        to_run=len(stale),
        causes=tuple(_by_cause(known, stale)),
        notes=(*notes, *other_versions(known), *unwatched.lines()),
        unwatched=unwatched.words(),
        known=known,
        stale=stale,
    )


def _by_cause(known: KnownVersions, stale: Mapping[str, StaleTask]) -> list[CauseTasks]:
    keys: dict[Cause, list[str]] = {}
    counts: dict[Cause, int] = {}
    for key, task in stale.items():
        for cause in task.own:
            keys.setdefault(cause, []).append(key)
        for cause in task.causes:
            counts[cause] = counts.get(cause, 0) + 1
    groups = [_cause_tasks(known, cause, found, counts[cause]) for cause, found in keys.items()]
    # What changed comes before what is new, for that may be why it is asked for
    return sorted(groups, key=lambda group: (not group.cause.is_edit(), -len(group.keys) - group.below,
                                         group.cause.text))  # fmt: skip


def _cause_tasks(known: KnownVersions, cause: Cause, keys: Sequence[str], count: int) -> CauseTasks:
    classes: dict[str, int] = {}
    for key in keys:
        name = known.graph.class_name(key)
        classes[name] = classes.get(name, 0) + 1
    details = [line for key in keys[:_EXAMPLES] for line in _details(known, cause, key)]
    difference = item_difference(known, keys[0], cause.item) if cause.item else ""
    return CauseTasks(cause, tuple(keys), count - len(keys), classes, difference, tuple(dict.fromkeys(details)))


def _details(known: KnownVersions, cause: Cause, key: str) -> Iterator[str]:
    if cause.text == LOOKED_AT:
        yield "an update of taskproc is the reason, and not an edit; `taskproc accept` keeps the results"
    lines = [] if cause.kind in ("new", "need") else list(changed_needs_lines(known, key))
    failed = list(failure_lines(known, key))
    lines += failed
    if cause.kind == "new" and not failed:
        lines += nearest_lines(known, key)
    yield from (f"{short_name(known, key)}: {line.strip()}" for line in lines)


def short_name(known: KnownVersions, key: str) -> str:
    """`ReadFile#3fa1`."""
    return known.graph.name_of(key).partition("(")[0]


def item_difference(known: KnownVersions, key: str, item: str) -> str:
    """The difference of one item of the code of a task, with what it uses now or not any more; empty if not known."""
    then = stored_code(known, key)
    if then is None:
        return ""
    now = known.conditions.code(known.graph.tasks[key])
    changed = list(changed_code(known, key))
    sources = {name: then["texts"].get(name, "") + now.texts.get(name, "") for name in changed}
    # What has come or gone is shown once, with the first item that names it
    others = then["items"].keys() ^ now.items.keys()
    shown = {item, *(other for other in others if _naming(sources, other) == item)}
    old, new = ({name: text for name, text in texts.items() if name in shown} for texts in (then["texts"], now.texts))
    lines = code_difference(old, new).splitlines()
    return "\n".join(_readable_line(line) for line in lines)


def _naming(sources: Mapping[str, str], item: str) -> str:
    """The first of some items whose source has the name of another one in it; else the first of all."""
    name = re.compile(rf"\b{re.escape(re.split('[:.]', item.partition('#')[0])[-1])}\b")
    return next((each for each, text in sources.items() if name.search(text)), next(iter(sources), ""))


_VALUE = "# = "


def _readable_line(line: str) -> str:
    """A line of a difference; a value that has no source is written as Python instead of JSON."""
    mark, text = line[:1], line[1:]
    if not text.startswith(_VALUE):
        return line
    try:
        return f"{mark}{_VALUE}{python_text(json.loads(text[len(_VALUE) :]))}"
    except (ValueError, RecursionError):
        return line


def python_text(form: object) -> str:
    """A JSON form of a value, as Python writes the value, as far as it is known: `(1, 2)`, `pattern(32, …)`."""
    if isinstance(form, list):
        return f"[{', '.join(map(python_text, form))}]"
    if not isinstance(form, dict):
        return repr(form)
    name, inner = next(iter(form.items()), ("", None))
    if len(form) > 1 or name[:2] != "__" or name[-2:] != "__":
        return f"{{{', '.join(f'{key!r}: {python_text(value)}' for key, value in form.items())}}}"
    values = ", ".join(map(python_text, inner)) if isinstance(inner, list) else python_text(inner)
    if name == "__tuple__":
        return f"({values}{',' * (isinstance(inner, list) and len(inner) == 1)})"
    return f"{name.strip('_')}({values})"


_MOST_SIBLINGS = 5    # needs of a task that are shown in the tree, of each class
_MOST_LINES = 200


def tree_lines(found: Why, key: str | None = None) -> Iterator[str]:
    """The tasks that would run, from one task upwards to the causes. A task that is needed twice is shown once."""
    known, stale = found.known, found.stale
    seen: set[str] = set()
    todo: list[tuple[str, int, str]] = [(key or known.graph.root, 0, "")]
    count = 0
    while todo:
        some, level, words = todo.pop()
        if count == _MOST_LINES:
            yield f"… only the first {_MOST_LINES} lines are shown"
            return
        count += 1
        indent = "  " * level
        if words:
            yield f"{indent}{words}"
            continue
        if some not in stale:
            yield f"{indent}{short_name(known, some)} is fresh"
            continue
        own = "; ".join(sorted(cause.text for cause in stale[some].own))
        again = " (shown above)" if some in seen else ""
        yield f"{indent}{short_name(known, some)}{f': {own}' if own else ''}{again}"
        if not again:
            seen.add(some)
            todo += reversed(list(_upstream(found, some, level + 1)))


def _upstream(found: Why, key: str, level: int) -> Iterator[tuple[str, int, str]]:
    counts: dict[str, int] = {}
    for need in found.known.graph.needs[key]:
        if need in found.stale:
            name = type(found.known.graph.tasks[need]).__qualname__
            counts[name] = counts.get(name, 0) + 1
            if counts[name] <= _MOST_SIBLINGS:
                yield need, level, ""
    for name, count in counts.items():
        if count > _MOST_SIBLINGS:
            yield "", level, f"… and {count - _MOST_SIBLINGS:,} more of {name}"
