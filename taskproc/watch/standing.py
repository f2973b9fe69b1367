"""Where a run stands: how many tasks ended how, what runs since when, what is ready and waits, and that in words."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from taskproc.kernel.model import Event
from taskproc.text import printable
from taskproc.watch.stream import COMMANDS, WORKERS, Remaining
from taskproc.watch.tally import Tally, duration, tallies

_CLASSES = 3  # that are named in a line
_UNTOLD = ("new", "forced")  # reasons that go without saying
_REASONS = 3  # that are shown for a class
_NARROW = 0.1  # of the time that is left, a range that is not worth two figures


class RunningTasks(NamedTuple):
    """A task that runs: its class, since when, and how it is written."""

    name: str
    since: float
    text: Callable[[], str]


class Standing:
    """Counts the events of one run.

    Attributes:
        all, classes: how many ended how, and for how long they ran.
        running: key → what runs.
        ready: keys of what may run as soon as there is a place for it.
        elsewhere: keys of what another run computes.
        reasons: class → why tasks had to run, in words for the whole class → how many.
    """

    def __init__(self, totals: Mapping[str, int]):
        self.all, self.classes = tallies(totals)
        self.running: dict[Any, RunningTasks] = {}
        self.ready: set[Any] = set()
        self.elsewhere: set[Any] = set()
        self.reasons: dict[str, Counter[str]] = {}

    def note(self, event: Event[Any], name: str, text: Callable[[], str], now: float) -> bool:
        """Take an event into account; whether a task ended with it."""
        key, kind = event.key, event.kind
        if kind == "late":
            return False  # the answer of an attempt that counts no more
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
        if isinstance(words, str) and event.detail.get("reason") not in _UNTOLD:
            self.reasons.setdefault(name, Counter())[words] += 1

    def line(self, elapsed: float, now: float, waits: Mapping[str, int], left: Remaining | None = None) -> str:
        """`after 12 s: 19 of 57 ended, 1 failed; 2 min to 3 min left; running: 2 Train (Train#bb79 for 8.0 s); …`."""
        tally = self.all
        parts = [f"{tally.ended():,} of {tally.total:,} ended", *fresh_texts(tally)]
        parts += [f"{getattr(tally, word):,} {word}" for word in ("failed", "skipped") if getattr(tally, word)]
        found = [f"after {duration(elapsed)}: {', '.join(parts)}"]
        if left is not None:
            found.append(left_text(left))
        if self.running:
            found.append(f"running: {self._runs(now)}")
        if waits:
            found.append(ready_text(waits))
        if self.elsewhere:
            found.append(f"{len(self.elsewhere):,} in other runs")
        return "; ".join(found)

    def _runs(self, now: float) -> str:
        names = short_names({**self.classes, **{each.name: None for each in self.running.values()}})
        counts = Counter(names[each.name] for each in self.running.values()).most_common()
        told = [f"{count:,} {name}" for name, count in counts[:_CLASSES]]
        if len(counts) > _CLASSES:
            told.append(f"{sum(count for _, count in counts[_CLASSES:]):,} others")
        # The first that was started: of a run that hangs it is the one
        oldest = next(iter(self.running.values()))
        return f"{', '.join(told)} ({oldest.text().partition('(')[0]} for {duration(now - oldest.since)})"


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
    """`ready: 7 wait for a worker, 3 for 'gpu'`: what may run as soon as there is a place for it."""
    places = {WORKERS: "a worker", COMMANDS: "a place among the commands"}
    told = [f"{count:,} for {places.get(label, repr(label))}" for label, count in waits.items() if label]
    begins = [f"{waits[''] :,} about to start"] if "" in waits else []
    if told:
        told[0] = told[0].replace(" for ", " wait for ", 1)
    return f"ready: {', '.join([*told, *begins])}"


def reason_lines(reasons: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A line for each class: why its tasks ran, but for those that were new or forced."""
    lines = []
    for name, counts in reasons.items():
        told = [f"{text} ({count:,})" for text, count in counts.items()]
        if not told:
            continue
        more = [f"{len(told) - _REASONS:,} more reasons"] if len(told) > _REASONS else []
        lines.append(f"  {printable(name)} ran because {'; '.join([*told[:_REASONS], *more])}")
    return lines


def short_names(totals: Mapping[str, object]) -> dict[str, str]:
    """Task class → its name without the module, where that is unique."""
    short = {name: name.rpartition(".")[2] for name in totals}
    seen = Counter(short.values())
    return {name: printable(each if seen[each] == 1 else name) for name, each in short.items()}
