"""Two plans side by side, in words: what a change would cost."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from taskproc.cli.plan_rows import ForecastColumn, cut_lines, likely_size, likely_time, table_lines
from taskproc.ledger.estimates import Estimate
from taskproc.text import counted
from taskproc.watch.standing import short_names

Rows = Sequence[Mapping[str, Any]]
_CLASSES = 40  # that are shown


def against_lines(now: Rows, then: Rows, name: str, width: int | None) -> list[str]:
    """The working tree beside a revision: the whole, then each class of which something would run."""
    lines = cut_lines(_heads(now[0], then[0], name), width)
    classes = {row["task"]: row for row in now if row["row"] == "class"}
    before = {row["task"]: row for row in then if row["row"] == "class"}
    busy = [task for task in {**classes, **before} if _to_run(classes.get(task)) or _to_run(before.get(task))]
    if busy:
        lines += ["", *_table(busy[:_CLASSES], classes, before, name, width)]
    if len(busy) > _CLASSES:
        lines.append(f"  … and {counted(len(busy) - _CLASSES, 'more class', 'more classes')}")
    edits = [row for row in now if row["row"] == "edit"]
    if edits:
        lines += cut_lines(["", *(f"  {row['where']} affects {counted(row['all'], 'task')}" for row in edits)], width)
    return lines


def _heads(now: Mapping[str, Any], then: Mapping[str, Any], name: str) -> Iterator[str]:
    for title, row in (("working tree", now), (name, then)):
        yield f"{title}: {row['to_run']:,} of {counted(row['total'], 'task')} would run, {_time(row)}"
    wall, before = estimate_of(now["wall"]), estimate_of(then["wall"])
    if wall is not None and before is not None and not now["unknown"] and not then["unknown"]:
        more = wall.likely - before.likely
        change = likely_time(Estimate(abs(more), abs(more), abs(more)))
        workers = f"on {counted(now['workers'], 'worker')}"
        if more > 0:
            yield f"this change would cost {change} more {workers}"
        else:
            yield f"this change would save {change} {workers}" if more < 0 else "this change would cost nothing"


def _time(row: Mapping[str, Any]) -> str:
    if row["to_run"] and row["unknown"] == row["to_run"]:
        return "for an unknown time"
    return f"{'at least' if row['unknown'] else 'about'} {likely_time(estimate_of(row['wall']))}"


def _table(
    tasks: Sequence[str],
    now: Mapping[str, Mapping[str, Any]],
    then: Mapping[str, Mapping[str, Any]],
    name: str,
    width: int | None,
) -> list[str]:
    names = short_names(dict.fromkeys(tasks))
    sides = [[side.get(task, {}) for task in tasks] for side in (now, then)]
    counts = [[f"{row['to_run']:,} of {row['total']:,}" if row else "none" for row in side] for side in sides]
    times = [[_class_time(row) for row in side] for side in sides]
    sizes = [[likely_size(estimate_of(row.get("bytes"))) for row in side] for side in sides]
    then_name = name if len(name) <= 12 else f"{name[:11]}…"
    return table_lines(
        ForecastColumn("task", [names[task] for task in tasks]),
        [
            ForecastColumn("to run now", counts[0]),
            ForecastColumn(then_name, counts[1]),
            ForecastColumn("time now", times[0], 1),
            ForecastColumn(then_name, times[1], 1),
            ForecastColumn("bytes now", sizes[0], 2),
            ForecastColumn(then_name, sizes[1], 2),
        ],
        width,
    )


def _class_time(row: Mapping[str, Any]) -> str:
    if not _to_run(row):
        return ""
    return "unknown" if row["unknown"] == row["to_run"] else likely_time(estimate_of(row["seconds"]))


def _to_run(row: Mapping[str, Any] | None) -> int:
    return int(row["to_run"]) if row else 0


def estimate_of(figures: Mapping[str, float] | None) -> Estimate | None:
    """The estimate that a row has in JSON."""
    return None if figures is None else Estimate(**figures)
