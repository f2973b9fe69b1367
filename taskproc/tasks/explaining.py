"""Why a task is fresh or would run, in words for people; and how to accept an edit that changes no result."""
from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskproc.errors import LinkInCache
from taskproc.kernel.model import Reason, Stamp
from taskproc.kernel.rebuild import NEW, edge_reason
from taskproc.source.fingerprint import code_difference
from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.store.version import Version
from taskproc.tasks.access import store_of
from taskproc.tasks.conditions import LOOKED_AT, Unwatched
from taskproc.tasks.inspection import other_versions, preview
from taskproc.tasks.known_versions import KnownVersions
from taskproc.tasks.naming import arguments_text
from taskproc.tasks.observed import accepted_as
from taskproc.tasks.observed import observation_lines as observed_by
from taskproc.tasks.settings import left_on
from taskproc.tasks.task_graph import graph_of
from taskproc.text import printable
from taskproc.watch.standing import duration

Task = Any  # tasks.task stands above this module

_SHOWN = 5            # upstream tasks that are shown with their reasons
_RELATIVES = 1000     # other tasks of the class among which the nearest is sought


@dataclass(frozen=True)
class Explanation:
    """Why a task is fresh, or would run.

    Attributes:
        fresh: whether its stored result is good.
        reasons: task → why it would run: this task first, if it would, then its needs, at most.
        text: all that is known, for people; `str()` returns it.
        unwatched: task class → what its code, or a task of it, uses that cannot be watched: place and cause.
    """

    fresh: bool
    reasons: Mapping[str, str]
    text: str
    unwatched: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text  # so that a notebook shows it as text


def explain(task: Task) -> Explanation:
    """See Task.explain."""
    known = KnownVersions(graph_of(task), store_of(task._taskproc))
    found = dict(preview(known))
    root, name_of = known.graph.root, known.graph.name_of
    unwatched = Unwatched()
    for each in known.graph.tasks.values():
        unwatched.note(each, known.conditions.code(each))
    if root not in found:
        lines = [*fresh_lines(known, root), *other_versions(known), *unwatched.lines()]
        return Explanation(True, {}, "\n".join(lines), unwatched.words())
    reason = found.pop(root)
    told: set[str] = set()
    lines = [f"{name_of(root)} would run: {reason.text}", *_details(known, root, reason, told)]
    causes = {key: each for key, each in found.items() if not any(need in found for need in each.needs)}
    # Changed tasks come before new ones, which may be needed because of the change
    for key, each in sorted(causes.items(), key=lambda cause: cause[1] == NEW)[:_SHOWN]:
        lines += [f"{name_of(key)}: {each.text}", *_details(known, key, each, told)]
    if len(causes) > _SHOWN:
        lines.append(f"… and {len(causes) - _SHOWN:,} more upstream tasks would run for their own reasons")
    reasons = {name_of(root): reason.text, **{name_of(key): each.text for key, each in found.items()}}
    lines += [*observed_lines(known, root), *other_versions(known), *unwatched.lines()]
    return Explanation(False, reasons, "\n".join(lines), unwatched.words())


def fresh_lines(known: KnownVersions, key: str) -> Iterator[str]:
    """That a task is fresh, which result it has, and what was observed when that was made."""
    version = _whole(known, key)
    yield f"{known.graph.name_of(key)} is fresh: {_made(version)}"
    if key in known.kept:
        yield f"  {LOOKED_AT} since then; all that was seen of it then is the same now"
    yield from observed_lines(known, key, version)


def accept(task: Task) -> dict[str, int]:
    """Accept the stored results of `task`, and of all that it needs, as results of the present code.

    For edits that change no result: nothing runs, and the next run finds them fresh. Only the source is accepted; a
    result that is stale for another reason stays stale.

    Returns:
        task name → how many results were accepted.
    """
    known = KnownVersions(graph_of(task), store_of(task._taskproc))
    counts: dict[str, int] = {}
    for key in known.graph.needs:
        _accept_one(known, key, counts)
    return counts


def _accept_one(known: KnownVersions, key: str, counts: dict[str, int]) -> None:
    if any(need not in known.in_use for need in known.graph.needs[key]):
        return  # one of its needs has to run
    known.judge(key)
    version = known.kept.get(key) if key in known.in_use else known.acceptable(key)
    if version is None:
        return
    task = known.graph.tasks[key]
    known.conditions.stored_code(task, known.store)
    known.store.accept(version.place, version, known.conditions.code(task).digest)
    if version.record.observed:
        known.store.accept(version.place, version, accepted_as(known.sight.present(task, version.record)))
    known.in_use[key] = version
    name = task._taskproc.place.name
    counts[name] = counts.get(name, 0) + 1


def _whole(known: KnownVersions, key: str) -> Version:
    """The version in use with its whole record, of which the index has only a part."""
    used = known.in_use[key]
    found = known.store.look(used.place) if used.record.number else ()
    return next((each for each in found if each.record.number == used.record.number), used)


def _made(version: Version) -> str:
    about = version.about
    ended, seconds = about.get("ended"), about.get("seconds")
    parts = [f"result {version.record.number}"] if version.record.number else [f"content of {version.path}"]
    if isinstance(ended, float):
        parts.append(time.strftime("of %Y-%m-%d %H:%M:%S", time.localtime(ended)))
    if isinstance(seconds, float):
        took = duration(seconds)
        parts.append(f"after {took}" if took != "0.0 s" else f"after {max(1, round(seconds * 1000))} ms")
    return " ".join(parts)


def _details(known: KnownVersions, key: str, reason: Reason, told: set[str]) -> Iterator[str]:
    """More on a reason; a difference that is in `told` is not shown again."""
    if reason.text == LOOKED_AT:
        yield "  the reason is an update of taskproc, not an edit; `taskproc accept` keeps the result"
    elif reason.kind == "code":
        changed = _changed_source(known, key)
        if changed and changed not in told:
            told.add(changed)
            yield changed
    if reason.kind not in ("new", "need"):
        yield from changed_needs_lines(known, key)
    failed = list(failure_lines(known, key))
    yield from failed
    if reason == NEW and not failed:
        yield from nearest_lines(known, key)


def changed_needs_lines(known: KnownVersions, key: str) -> Iterator[str]:
    """What the task needs besides, or not any more: most likely since its code has changed."""
    version = next(known.store.look(known.graph.tasks[key]._taskproc.place), None)
    needs = dict.fromkeys(known.graph.needs[key], Stamp("", ""))
    reason = edge_reason(version.record, needs, known.graph.name_of) if version is not None else None
    if reason is not None:
        yield f"  with it: {reason.text}"


def failure_lines(known: KnownVersions, key: str) -> Iterator[str]:
    """How the newest attempt failed, if it did, and where its log is."""
    place = known.graph.tasks[key]._taskproc.place
    why = known.store.failure(place)
    if why is not None:
        error = next(iter(str(why.get("error", "")).splitlines()), "")
        log = known.store.log_path(place, "stderr")
        yield f"  its last attempt failed: {printable(error)}" + (f"; log: {log}" if log.exists() else "")


def _changed_source(known: KnownVersions, key: str) -> str:
    """The difference of the items that count as changed; a comment in another item does not."""
    task = known.graph.tasks[key]
    version = next(known.store.look(task._taskproc.place), None)
    if version is None:
        return ""
    then = known.conditions.nearest(task, known.store, (version.record.code, *sorted(version.record.accepted)))
    if then is None or not isinstance(texts := then.get("texts"), Mapping):
        return ""
    now = known.conditions.code(task)
    same = {item for item, value in now.items.items() if then["items"].get(item) == value}
    old, new = ({item: text for item, text in some.items() if item not in same} for some in (texts, now.texts))
    return code_difference(old, new)


def nearest_lines(known: KnownVersions, key: str) -> Iterator[str]:
    """How the arguments differ from those of the most similar task that has a folder, and is not of this graph."""
    task, store = known.graph.tasks[key], known.store
    beside = {str(each._taskproc.place.id) for each in known.graph.tasks.values()}
    place, mine = task._taskproc.place, json.loads(arguments_text(task._taskproc))["args"]
    levels = layout.results_levels(place.name)
    try:
        names = store.names(*levels)
    except LinkInCache:
        return  # the reason reports it
    best: tuple[int, dict[str, Any]] | None = None
    for name in names[:_RELATIVES]:
        other = _arguments(store, *levels, name)
        if other is None or name in beside:
            continue
        differing = [key for key in {**mine, **other} if mine.get(key, place) != other.get(key, place)]
        if best is None or len(differing) < best[0]:
            best = len(differing), {key: (other.get(key), mine.get(key)) for key in differing}
    if best is not None and best[0] <= max(1, len(mine) // 2):
        changes = ", ".join(f"{key} {_short(then)} → {_short(now)}" for key, (then, now) in best[1].items())
        yield f"  it is another task than the nearest that is there: {changes}"


def _arguments(store: DiskStore, *levels: str) -> dict[str, Any] | None:
    try:
        with store.held(*levels) as folder:
            found = (store.arguments(folder) or {}).get("args")
    except (OSError, LinkInCache):
        return None  # cleared in the meantime, or not ours
    return found if isinstance(found, dict) else None


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def observed_lines(known: KnownVersions, key: str, version: Version | None = None) -> Iterator[str]:
    """What was observed when a version was made, by default the newest one."""
    version = version or next(known.store.look(known.graph.tasks[key]._taskproc.place), None)
    if version is not None:
        task = known.graph.tasks[key]
        is_unclear = bool(left_on(task).untracked or known.conditions.code(task).untracked)
        yield from observed_by(task, version, is_unclear)
