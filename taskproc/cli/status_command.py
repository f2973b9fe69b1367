"""`status`: the runs that are on their way now, on any host that shares the folder; `-w` follows them to their end."""
from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence

from taskproc.cli.cache_output import amount_text, opened, print_json, seconds_text, suggest, tell_lines, time_text
from taskproc.cli.usage import DONE, FAILED, output, say, tell
from taskproc.ledger.estimates import Estimate
from taskproc.ledger.run_state import RunningTask, RunState, RunStates
from taskproc.store.disk import DiskStore
from taskproc.text import cut_in_middle, cut_to, printable, terminal_width
from taskproc.watch.progress import has_cursor
from taskproc.watch.standing import duration, left_text
from taskproc.watch.stream import Remaining

_EVERY = 1.0       # seconds between two looks with -w
_TELL_EVERY = 5.0  # the same where nothing can be redrawn
_SHOWN = 20        # running tasks of a run


def status_command(given: Namespace) -> int:
    """The runs that are on their way, or how the last one ended: then FAILED unless it is done."""
    store = opened(given.output)
    states = RunStates(store).live()
    if given.watch and states:
        return _follow(given, store, states)
    _show(given, states)
    if states:
        suggest(given, "status -w", "follows them")
        return DONE
    return _report_last(given, store)


def _report_last(given: Namespace, store: DiskStore) -> int:
    last = RunStates(store).newest()
    if last is None:
        say("no run is on its way, and none has left a journal")
        return DONE
    if given.as_json:
        print_json([state_fields(last)])
    else:
        tell_lines(["no run is on its way", f"the last one, {last.run.run}, {ending_text(last)}"])
    suggest(given, f"history {last.run.run}", "shows what it did")
    return DONE if last.run.status == "done" else FAILED


def ending_text(state: RunState) -> str:
    """How a run ended, and when: `was done at 2026-12-01 05:40 after 12 s: 3 done, 11 fresh`."""
    words = {"done": "was done", "failed": "failed", "interrupted": "was interrupted", "killed": "was killed"}
    began = state.run.head.get("began")
    when = f" at {time_text(float(began) + state.age)}" if isinstance(began, (int, float)) else ""
    counts = ", ".join(f"{state.counts[kind]:,} {kind}" for kind in ("done", "fresh", "failed", "skipped")
                       if state.counts[kind])  # fmt: skip
    status = words.get(state.run.status, "may be on its way on another host")
    return f"{status}{when} after {duration(state.age)}" + (f": {counts}" if counts else "")


def _follow(given: Namespace, store: DiskStore, states: Sequence[RunState]) -> int:
    """Show the runs again and again until all of those that are on their way now have ended."""
    followed = {state.run.run for state in states}
    redraws, drawn = has_cursor(sys.stdout) and not given.as_json, 0
    while states:
        if redraws and drawn:
            with output():
                print(f"\x1b[{drawn}F\x1b[J", end="")
        lines = _show(given, states)
        drawn = len(lines)
        time.sleep(_EVERY if redraws or given.as_json else _TELL_EVERY)
        states = [state for state in RunStates(store).live() if state.run.run in followed]
    return _report_last(given, store)


def _show(given: Namespace, states: Sequence[RunState]) -> list[str]:
    """Print the runs; the lines that were printed."""
    if given.as_json:
        print_json(state_fields(state) for state in states)
        return []
    width = terminal_width(sys.stdout)
    lines = [cut_to(line, width) for state in states for line in _lines(state, width)]
    if lines:
        tell("\n".join(lines))
    return lines


def _lines(state: RunState, width: int | None) -> Iterator[str]:
    head, counts = state.run.head, state.counts
    who = f"by {head.get('user')} on {head.get('host')}, process {head.get('pid')}"
    yield printable(f"run {state.run.run}: {head.get('entry')} {who}, for {duration(state.age)}")
    ended = sum(counts[kind] for kind in ("done", "fresh", "failed", "skipped"))
    parts = [f"{ended:,} of {counts['total']:,} ended" if counts["total"] else f"{ended:,} ended"]
    if counts["fresh"] and counts["total"]:
        parts.append(f"{counts['fresh']:,} fresh ({100 * counts['fresh'] / counts['total']:.0f} %)")
    parts += [f"{counts[kind]:,} {kind}" for kind in ("failed", "skipped") if counts[kind]]
    left = state.left
    is_known = left is not None and (left.high > 0 or state.unknown)  # else all that is left is overdue
    shown = f"; {left_text(Remaining(*_figures(left), state.unknown))}" if left is not None and is_known else ""
    yield f"  {', '.join(parts)}{shown}"
    for task in state.running[:_SHOWN]:
        yield from _task_lines(task, width)
    if len(state.running) > _SHOWN:
        yield f"  … and {len(state.running) - _SHOWN:,} more tasks that run"
    for call, by in state.elsewhere[:_SHOWN]:
        yield printable(f"  {call} is computed by {by}")


def _figures(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.likely, estimate.low, estimate.high


def _task_lines(task: RunningTask, width: int | None) -> Iterator[str]:
    usual = "" if task.usual is None else f", usually {seconds_text(task.usual.likely)}"
    memory = "" if task.memory is None else f"; {amount_text(task.memory)}"
    if task.usual_memory is not None:
        memory += f", usually {size}" if memory and (size := amount_text(round(task.usual_memory.likely))) else ""
    times = f"for {duration(task.age)}{usual}{memory}"
    room = None if width is None else max(20, width - len(times) - 5)
    call = printable(task.call)
    yield f"  {call if room is None else cut_in_middle(call, room)}  {times}"
    if task.line:
        yield f"    {printable(task.line)}"


def state_fields(state: RunState) -> dict[str, object]:
    """A run as an object of docs/json.md."""
    run, head = state.run, state.run.head
    return {
        "run": run.run,
        "status": run.status,
        "entry": head.get("entry"),
        "arguments": head.get("arguments"),
        "argv": head.get("argv"),
        "host": head.get("host"),
        "user": head.get("user"),
        "pid": head.get("pid"),
        "began": head.get("began"),
        "seconds": state.age,
        **{kind: state.counts[kind] for kind in ("total", "done", "fresh", "failed", "skipped")},
        "left": None if state.left is None else dict(zip(("likely", "low", "high"), _figures(state.left))),
        "unknown": state.unknown,
        "running": [_task_fields(task) for task in state.running],
        "elsewhere": [{"call": call, "by": by} for call, by in state.elsewhere],
    }


def _task_fields(task: RunningTask) -> dict[str, object]:
    return {
        "task": task.task,
        "key": task.key,
        "call": task.call,
        "age": task.age,
        "usual_seconds": None if task.usual is None else task.usual.likely,
        "memory": task.memory,
        "usual_memory": None if task.usual_memory is None else task.usual_memory.likely,
        "line": task.line,
    }
