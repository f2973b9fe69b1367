"""The state of a run, and its words: how many tasks ended in which way, which run and since when, which wait."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from taskproc.kernel.model import Event, Problem
from taskproc.text import cut_in_middle, padded, printable, width_of
from taskproc.watch.stream import COMMANDS, WORKERS, Remaining

_CLASSES = 3   # shown in a line
_OBVIOUS = ("new", "forced")  # reasons that are not shown
_REASONS = 3   # shown for a class
_ROWS = 40     # of the closing table
_NAME = 16     # columns of the name of a class; with fewer, the seconds are left out
_SHORTEST = 5  # columns that the name has in any case
_NARROW = 0.1  # of the time that is left, a range that is not worth two figures


class RunningTasks(NamedTuple):
    """A running task: the name of its class, its start in seconds, and a function that gives its text."""

    name: str
    since: float
    text: Callable[[], str]


class Standing:
    """Counts the events of one run.

    Attributes:
        all, classes: how many tasks ended in which way, and for how long they ran.
        running: key → running task.
        ready: keys of tasks that run as soon as there is a place for them.
        elsewhere: keys of tasks that another run computes.
        reasons: class → reason why tasks ran, in words for the whole class → number of tasks.
    """

    def __init__(self, totals: Mapping[str, int]):
        self.all, self.classes = tallies(totals)
        self.running: dict[Any, RunningTasks] = {}
        self.ready: set[Any] = set()
        self.elsewhere: set[Any] = set()
        self.reasons: dict[str, Counter[str]] = {}

    def note(self, event: Event[Any], name: str, text: Callable[[], str], now: float) -> bool:
        """Count an event; returns whether a task ended with it."""
        key, kind = event.key, event.kind
        if kind == "late":
            return False  # the answer of an attempt that does not count any more
        self.running.pop(key, None)
        self.ready.discard(key)
        self.elsewhere.discard(key)
        if kind == "started":
            self.running[key] = RunningTasks(name, now, text)
        elif kind in ("stale", "returned"):
            self.ready.add(key)
            self._note_reason(event, name)
        elif kind == "elsewhere":
            self.elsewhere.add(key)
        else:
            seconds = event.detail.get("seconds")
            ran = seconds if isinstance(seconds, float) else 0.0
            if self.all.note(kind, ran):
                self.classes.setdefault(name, Tally()).note(kind, ran)
                return True
        return False

    def _note_reason(self, event: Event[Any], name: str) -> None:
        words = event.detail.get("summary")
        if isinstance(words, str) and event.detail.get("reason") not in _OBVIOUS:
            self.reasons.setdefault(name, Counter())[words] += 1

    def line(self, elapsed: float, now: float, waits: Mapping[str, int], left: Remaining | None = None) -> str:
        """`after 12 s: 19 of 57 ended, 1 failed; 2 min to 3 min left; running: 2 Train (Train#bb79 for 8.0 s); …`."""
        tally = self.all
        parts = [f"{tally.ended():,} of {tally.total:,} ended", *fresh_texts(tally)]
        parts += [f"{getattr(tally, word):,} {word}" for word in ("failed", "skipped") if getattr(tally, word)]
        line = [f"after {duration(elapsed)}: {', '.join(parts)}"]
        if left is not None:
            line.append(left_text(left))
        if self.running:
            line.append(f"running: {self._runs(now)}")
        if waits:
            line.append(ready_text(waits))
        if self.elsewhere:
            line.append(f"{len(self.elsewhere):,} in other runs")
        return "; ".join(line)

    def _runs(self, now: float) -> str:
        names = short_names({**self.classes, **{task.name: None for task in self.running.values()}})
        counts = Counter(names[task.name] for task in self.running.values()).most_common()
        parts = [f"{count:,} {name}" for name, count in counts[:_CLASSES]]
        if len(counts) > _CLASSES:
            parts.append(f"{sum(count for _, count in counts[_CLASSES:]):,} others")
        # The first that was started: if the run hangs, it is probably this one
        oldest = next(iter(self.running.values()))
        return f"{', '.join(parts)} ({oldest.text().partition('(')[0]} for {duration(now - oldest.since)})"


def fresh_texts(tally: Tally) -> list[str]:
    """`11 fresh (19 %)`, if there are any: the share of the tasks whose results were there."""
    return [f"{tally.fresh:,} fresh ({100 * tally.fresh / tally.total:.0f} %)"] if tally.fresh and tally.total else []


def left_text(left: Remaining) -> str:
    """`2 min to 3 min left`; `about 2 min left` if that is the same; `at least`, if tasks of unknown time are left."""
    if left.unknown:
        return f"at least {duration(left.likely)} left"
    low, high = duration(left.low), duration(left.high)
    is_narrow = left.high - left.low < max(1.0, _NARROW * left.likely)
    return f"about {duration(left.likely)} left" if is_narrow or low == high else f"{low} to {high} left"


def ready_text(waits: Mapping[str, int]) -> str:
    """`ready: 7 wait for a worker, 3 for 'gpu'`: tasks that run as soon as there is a place for them."""
    places = {WORKERS: "a worker", COMMANDS: "a place among the commands"}
    waiting = [f"{count:,} for {places.get(label, repr(label))}" for label, count in waits.items() if label]
    begins = [f"{waits[''] :,} about to start"] if "" in waits else []
    if waiting:
        waiting[0] = waiting[0].replace(" for ", " wait for ", 1)
    return f"ready: {', '.join([*waiting, *begins])}"


def reason_lines(reasons: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A line for each class: why its tasks ran, except those that were new or forced."""
    lines = []
    for name, counts in reasons.items():
        texts = [f"{text} ({count:,})" for text, count in counts.items()]
        if not texts:
            continue
        more = [f"{len(texts) - _REASONS:,} more reasons"] if len(texts) > _REASONS else []
        lines.append(f"  {printable(name)} ran because {'; '.join([*texts[:_REASONS], *more])}")
    return lines


def short_names(totals: Mapping[str, object]) -> dict[str, str]:
    """Task class → its name, without the module if that is unique."""
    short = {name: name.rpartition(".")[2] for name in totals}
    seen = Counter(short.values())
    return {name: printable(last if seen[last] == 1 else name) for name, last in short.items()}


@dataclass
class Tally:
    """How many tasks of one class, or of all, ended in which way, and the seconds that they ran in all."""

    total: int = 0
    done: int = 0
    fresh: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def ended(self) -> int:
        """The number of tasks that have ended."""
        return self.done + self.fresh + self.failed + self.skipped

    def left(self) -> int:
        """The number of tasks that have not ended."""
        return max(0, self.total - self.ended())

    def note(self, kind: str, seconds: float = 0.0) -> bool:
        """Count an event; returns whether a task ended. A result that is lost and made again is counted once."""
        if kind not in ("done", "fresh", "failed", "skipped"):
            return False
        self.seconds += seconds
        if self.ended() < self.total:
            setattr(self, kind, getattr(self, kind) + 1)
        return True


def tallies(totals: Mapping[str, int]) -> tuple[Tally, dict[str, Tally]]:
    """The tally of the run, and one for each class."""
    return Tally(sum(totals.values())), {name: Tally(total) for name, total in totals.items()}


def closing_line(tally: Tally, elapsed: float) -> str:
    """`2 done, 11 fresh, 1 failed, 1 skipped in 58 s`. Counts of 0 are left out, except the tasks done."""
    parts = [f"{tally.done:,} done"]
    counts = {"fresh": tally.fresh, "failed": tally.failed, "skipped": tally.skipped, "not run": tally.left()}
    for word, count in counts.items():
        if count > 0:
            parts.append(f"{count:,} {word}")
    return f"{', '.join(parts)} in {duration(elapsed)}"


def closing_table(tallies: Mapping[str, Tally], columns: int | None = None) -> list[str]:
    """A head and a line for each class; in a long table, the classes of which nothing ran are only counted.

    Args:
        columns: if the table is wider, the middle of names is cut out, and the seconds are left out before names get
            too short. The number of failed tasks is always shown.
    """
    head = ["ran", "fresh", "failed", "skipped", "seconds"]
    more = ["not run"] if any(tally.left() for tally in tallies.values()) else []
    rows = [["task", *head[:-1], *more, head[-1]]]
    shown = {name: tally for name, tally in tallies.items() if tally.ended() > tally.fresh or tally.left()}
    for name, tally in (tallies if len(tallies) <= _ROWS else dict(list(shown.items())[:_ROWS])).items():
        left = [f"{tally.left():,}"] if more else []
        counts = [f"{count:,}" for count in (tally.done, tally.fresh, tally.failed, tally.skipped)]
        rows.append([name, *counts, *left, f"{tally.seconds:,.1f}"])
    if columns is not None:
        rows = _narrowed(rows, columns - 2)
    widths = [max(width_of(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([padded(row[0], widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    hidden = len(tallies) + 1 - len(rows)
    return [f"  {line}" for line in lines] + ([f"  … and {hidden:,} more classes"] if hidden else [])


def _narrowed(rows: list[list[str]], columns: int) -> list[list[str]]:
    for shown in (rows, [row[:-1] for row in rows]):
        room = columns - sum(2 + max(width_of(row[column]) for row in shown) for column in range(1, len(shown[0])))
        if max(width_of(row[0]) for row in shown) <= room or room >= _NAME:
            break
    return [[cut_in_middle(name, max(room, _SHORTEST)), *cells] for name, *cells in shown]


def duration(seconds: float) -> str:
    """`0.4 s`, `58 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, seconds_left = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {seconds_left} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def failed_line(event: Event[Any], text: str, columns: int | None = None) -> str:
    """`failed  Train#3fa1(lr=0.1)  exit 137 after 41 s`. The text of a timeout has its own seconds.

    Args:
        columns: if the line is longer, the arguments are left out, so that the error is not cut off.
    """
    problem = event.detail.get("problem")
    why = problem.text if isinstance(problem, Problem) else "its inputs were lost again and again"
    why = next(iter(why.splitlines()), "")
    seconds = event.detail.get("seconds")
    timed_out = isinstance(problem, Problem) and problem.kind == "timeout"
    after = f" after {duration(seconds)}" if isinstance(seconds, float) and seconds >= 0.05 and not timed_out else ""
    line = printable(f"failed  {text}  {why[:200]}{after}")
    name, bracket, _ = text.partition("(")
    if columns is None or not bracket or width_of(line) <= columns:
        return line
    return printable(f"failed  {name}(…)  {why[:200]}{after}")
