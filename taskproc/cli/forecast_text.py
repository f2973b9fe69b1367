"""A forecast in words and as JSON rows; docs/json.md has the fields."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from taskproc.cli.plan_rows import (
    ForecastColumn,
    cut_lines,
    estimate_json,
    likely_size,
    likely_time,
    range_text,
    short_duration,
    table_lines,
)
from taskproc.tasks.causes import Edit
from taskproc.tasks.forecast import ClassForecast, Forecast
from taskproc.text import counted
from taskproc.watch.standing import short_names

_CLASSES = 40  # that are shown
_REASONS = 3   # of a class
_EDITS = 10
_PATH = 12     # tasks of the critical path


def forecast_lines(found: Forecast, width: int | None) -> list[str]:
    """The text of the command, cut to `width` columns."""
    lines = cut_lines([_head(found)], width)
    if found.to_run:
        lines += cut_lines([_times(found)], width)
    if busy := [each for each in found.classes.values() if each.to_run]:
        lines += ["", *_table(found, width), *cut_lines(_reasons(found.classes), width)]
    lines += cut_lines(_edits(found.edits), width)
    if len(busy) and len(found.path) > 1:
        lines += cut_lines(_path(found), width)
    return lines + cut_lines(["", *found.notes] if found.notes else [], width)


def _head(found: Forecast) -> str:
    name = found.task.partition("(")[0]
    if not found.to_run:
        return f"{name}: nothing would run, all of {counted(found.total, 'task')} are fresh"
    at_most = f", {found.at_most:,} of them at most" if found.at_most else ""
    forced = ", since it runs each time" if found.to_run == found.is_forced else ""
    return f"{name}: {found.to_run:,} of {counted(found.total, 'task')} would run{at_most}{forced}"


def _times(found: Forecast) -> str:
    """`about 3 min 20 s on 4 workers (2 min to 4 min), 11 min of work; 3 tasks of unknown time`."""
    if found.unknown == found.to_run:
        return "how long it takes is unknown: no such task has run"
    unknown = f"; {counted(found.unknown, 'task')} of unknown time" if found.unknown else ""
    least = "at least" if found.unknown else "about"
    workers = f"on {counted(found.workers, 'worker')}"
    work = f", {short_duration(found.seconds.likely)} of work" if found.workers > 1 else ""
    return f"{least} {likely_time(found.wall)} {workers} ({range_text(found.wall)}){work}{unknown}"


def _table(found: Forecast, width: int | None) -> list[str]:
    rows = sorted(found.classes.values(), key=lambda each: not each.to_run)[:_CLASSES]
    names = short_names(found.classes)
    lines = table_lines(
        ForecastColumn("task", [names[row.task] for row in rows]),
        [
            ForecastColumn("total", [f"{row.total:,}" for row in rows]),
            ForecastColumn("fresh", [f"{row.fresh:,}" for row in rows]),
            ForecastColumn("to run", [f"{row.to_run:,}" for row in rows]),
            ForecastColumn("at most", [f"{row.at_most:,}" if row.at_most else "" for row in rows], 2),
            ForecastColumn("time", [_class_time(row) for row in rows], 1),
            ForecastColumn("range", [range_text(row.seconds) if row.to_run else "" for row in rows], 5),
            ForecastColumn("memory", [likely_size(row.peak_memory) if row.to_run else "" for row in rows], 4),
            ForecastColumn("bytes", [likely_size(row.bytes) if row.to_run else "" for row in rows], 3),
        ],
        width,
    )
    hidden = len(found.classes) - len(rows)
    return lines + ([f"  … and {counted(hidden, 'more class', 'more classes')}"] if hidden else [])


def _class_time(row: ClassForecast) -> str:
    if not row.to_run:
        return ""
    if row.unknown == row.to_run:
        return "unknown"
    return f"{likely_time(row.seconds)}{' +' if row.unknown else ''}"


def _reasons(classes: Mapping[str, ClassForecast]) -> Iterator[str]:
    names = short_names(classes)
    yield ""
    for name, each in classes.items():
        for text, count in list(each.reasons.items())[:_REASONS]:
            yield f"  {names[name]} ({count:,})  because {text}"
        if len(each.reasons) > _REASONS:
            yield f"  {names[name]}  … and {counted(len(each.reasons) - _REASONS, 'more reason')}"


def edit_text(edit: Edit) -> str:
    """`1 edit explains 57 tasks: `clean()` in utils.py`."""
    if edit.alone == edit.all:
        return f"1 edit explains {counted(edit.alone, 'task')}: {edit.where}"
    if edit.alone:
        return f"1 edit explains {counted(edit.alone, 'task')}, and {edit.all - edit.alone:,} with others: {edit.where}"
    return f"1 edit explains {counted(edit.all, 'task')} together with others: {edit.where}"


def _edits(edits: tuple[Edit, ...]) -> Iterator[str]:
    if edits:
        yield ""
    yield from (f"  {edit_text(edit)}" for edit in edits[:_EDITS])
    if len(edits) > _EDITS:
        yield f"  … and {counted(len(edits) - _EDITS, 'more edit')}"


def _path(found: Forecast) -> Iterator[str]:
    seconds = sum(each.seconds.likely for each in found.path if each.seconds is not None)
    takes = f", {short_duration(seconds)}" if seconds else ""
    yield from ["", f"critical path of {counted(len(found.path), 'task')}{takes}"]
    shown = found.path if len(found.path) <= _PATH else found.path[: _PATH // 2]
    last = found.path[-(_PATH // 2) :] if shown is not found.path else ()
    width = max(len(_step_time(each)) for each in found.path)
    yield from (f"  {_step_time(each):>{width}}  {each.text}" for each in shown)
    if last:
        yield f"  … {counted(len(found.path) - len(shown) - len(last), 'more task')} …"
    yield from (f"  {_step_time(each):>{width}}  {each.text}" for each in last)


def _step_time(step: Any) -> str:
    return "unknown" if step.seconds is None else likely_time(step.seconds)


def forecast_rows(found: Forecast) -> Iterator[dict[str, object]]:
    """A row for the whole, and one for each class, edit and task of the critical path."""
    yield {
        "row": "plan",
        "task": found.task,
        "workers": found.workers,
        "total": found.total,
        "fresh": found.total - found.to_run,
        "to_run": found.to_run,
        "at_most": found.at_most,
        "unknown": found.unknown,
        "forced": found.is_forced,
        "seconds": estimate_json(found.seconds),
        "wall": estimate_json(found.wall),
    }
    for each in found.classes.values():
        yield {
            "row": "class",
            "task": each.task,
            "total": each.total,
            "fresh": each.fresh,
            "to_run": each.to_run,
            "at_most": each.at_most,
            "unknown": each.unknown,
            "seconds": estimate_json(each.seconds),
            "peak_memory": estimate_json(each.peak_memory),
            "bytes": estimate_json(each.bytes),
            "reasons": dict(each.reasons),
        }
    yield from map(edit_row, found.edits)
    for step in found.path:
        yield {"row": "path", "task": step.task, "text": step.text, "key": step.key,
               "seconds": estimate_json(step.seconds)}  # fmt: skip


def edit_row(edit: Edit) -> dict[str, object]:
    """An edit, and how many tasks it explains."""
    return {"row": "edit", "kind": edit.cause.kind, "item": edit.cause.item, "text": edit.cause.text,
            "where": edit.where, "alone": edit.alone, "all": edit.all, "tasks": dict(edit.classes)}  # fmt: skip
