"""What makes the tasks of a graph stale: causes, each counted once, however many tasks have it.

The cause of most tasks lies elsewhere: a function was edited, its task would run, and so would all tasks below. Each
task has the causes of its own and those of the needs that would run.
"""
from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

from taskproc.kernel.model import Reason
from taskproc.tasks.inspection import foreseen, summary
from taskproc.tasks.known_versions import KnownVersions

_NO_EDIT = ("new", "forced", "unreadable", "missing")  # kinds of causes that nobody has edited


class Cause(NamedTuple):
    """Something that makes tasks stale.

    Attributes:
        kind: as of a Reason.
        item: the code item that has changed, `words:WORD`; of other causes it is empty.
        text: in words that hold for all tasks that have it.
    """

    kind: str
    item: str
    text: str

    def is_edit(self) -> bool:
        """Whether something was changed: code, a file, a setting, an argument of an upstream task."""
        return self.kind not in _NO_EDIT


class StaleTask(NamedTuple):
    """A task that would run.

    Attributes:
        reason: in words for people.
        own: causes in the task itself; empty: it would run only if one of its needs gives a new value.
        causes: with those of the needs that would run.
    """

    key: str
    reason: Reason
    own: frozenset[Cause]
    causes: frozenset[Cause]


def stale_tasks(known: KnownVersions) -> dict[str, StaleTask]:
    """Key → each task that would run, needs first; see inspection.foreseen."""
    found: dict[str, StaleTask] = {}
    own_of = _OwnCauses(known)
    unions: dict[frozenset[frozenset[Cause]], frozenset[Cause]] = {}  # a graph has few different sets of causes
    for key, reason, own_reason in foreseen(known):
        own = own_of(key, own_reason) if own_reason is not None else frozenset()
        parts = frozenset([own, *(found[need].causes for need in known.graph.needs[key] if need in found)])
        if parts not in unions:
            unions[parts] = frozenset[Cause]().union(*parts)
        found[key] = StaleTask(key, reason, own, unions[parts])
    return found


class _OwnCauses:
    """The causes in a task itself. Those of code are found once for all tasks that have the same."""

    def __init__(self, known: KnownVersions):
        self._known = known
        self._of_code: dict[tuple[str, str, str], frozenset[Cause]] = {}
        self._others: dict[tuple[str, str], frozenset[Cause]] = {}

    def __call__(self, key: str, reason: Reason) -> frozenset[Cause]:
        known = self._known
        if reason.kind != "code":
            text = summary(known.graph, reason)
            if reason.kind == "need" and not reason.needs:
                text = "it needs other upstream tasks than before"  # the reason names them, and differs for each task
            return self._others.setdefault((reason.kind, text), frozenset([Cause(reason.kind, "", text)]))
        task = known.graph.tasks[key]
        name, digest = task._taskproc.place.name, known.conditions.code(task).digest
        if (name, digest, reason.text) not in self._of_code:
            changes = [Cause("code", item, text) for item, text in changed_code(known, key).items()]
            self._of_code[name, digest, reason.text] = frozenset(changes or [Cause("code", "", reason.text)])
        return self._of_code[name, digest, reason.text]


def changed_code(known: KnownVersions, key: str) -> dict[str, str]:
    """Code item → how it differs from that of the newest version of a task, in words; empty if that is not known.

    What a changed item uses now, or not any more, is part of that change and not listed.
    """
    then = stored_code(known, key)
    if then is None:
        return {}
    old, now = then["items"], known.conditions.code(known.graph.tasks[key]).items
    changed = {item: f"source of {item} changed" for item in now if item in old and old[item] != now[item]}
    added = {item: f"source of {item} is used now" for item in now if item not in old}
    removed = {item: f"source of {item} is not used any more" for item in old if item not in now}
    return changed or {**added, **removed}


def stored_code(known: KnownVersions, key: str) -> Mapping[str, Mapping[str, str]] | None:
    """`items` and `texts` of the code that made the newest version of a task; None if that is not known."""
    task = known.graph.tasks[key]
    version = next(known.store.look(task._taskproc.place), None)
    if version is None:
        return None
    then = known.conditions.nearest(task, known.store, (version.record.code, *sorted(version.record.accepted)))
    return then if then is not None and isinstance(then.get("texts"), Mapping) else None


class Edit(NamedTuple):
    """A change, and how many tasks it explains.

    Attributes:
        cause: the change.
        where: the item as people write it: "`clean()` in utils.py"; of other causes their text.
        alone: tasks that would run for this cause alone; `all`: those that have it among others.
        classes: class → its tasks that have the cause in themselves.
    """

    cause: Cause
    where: str
    alone: int
    all: int
    classes: Mapping[str, int]


def edits_of(known: KnownVersions, stale: Mapping[str, StaleTask]) -> list[Edit]:
    """The edits, first the one that explains most tasks alone. A forced task is not counted: it would run anyway."""
    alone: dict[Cause, int] = {}
    every: dict[Cause, int] = {}
    classes: dict[Cause, dict[str, int]] = {}
    for key, task in stale.items():
        if key in known.forced:
            continue
        for cause in task.causes:
            every[cause] = every.get(cause, 0) + 1
            alone[cause] = alone.get(cause, 0) + (len(task.causes) == 1)
        for cause in task.own:
            counts, name = classes.setdefault(cause, {}), known.graph.class_name(key)
            counts[name] = counts.get(name, 0) + 1
    texts = _texts(known, stale)
    edits = [Edit(cause, item_place(cause.item, texts.get(cause.item, "")) if cause.item else cause.text,
                  alone[cause], count, classes.get(cause, {}))
             for cause, count in every.items() if cause.is_edit()]  # fmt: skip
    return sorted(edits, key=lambda edit: (-edit.alone, -edit.all, edit.where))


def _texts(known: KnownVersions, stale: Mapping[str, StaleTask]) -> dict[str, str]:
    """Code item → its present source, of the items that have changed."""
    texts: dict[str, str] = {}
    wanted = {cause.item for task in stale.values() for cause in task.own if cause.item}
    for key in stale if wanted else ():
        code = known.conditions.code(known.graph.tasks[key]).texts
        texts.update((item, code[item]) for item in wanted & code.keys())
        wanted -= code.keys()
        if not wanted:
            break
    return texts


def item_place(item: str, text: str) -> str:
    """A code item as people write it: "`clean()` in utils.py".

    Args:
        text: its source.
    """
    module, _, name = item.partition(":")
    lines = (line.split() for line in text.splitlines() if line.strip() and line.lstrip()[0] not in "@#")
    words = next(lines, [])
    call = "()" if words[:1] == ["def"] or words[:2] == ["async", "def"] else ""
    return f"`{name.partition('#')[0] or module}{call}` in {_file_of(module)}"


def _file_of(module: str) -> str:
    """The file of a module as it is seen from its outermost package, or the module if it has no file."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if not isinstance(file, str):
        return module
    parts = file.replace("\\", "/").split("/")
    return "/".join(parts[-1 - module.count(".") - (parts[-1] == "__init__.py"):])
