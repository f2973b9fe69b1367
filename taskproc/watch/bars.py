"""A bar per task class on a terminal, drawn a few times a second, independent of the number of events.

A thread draws, so that the clock goes on during a long task; the thread that drives the run only counts. Nothing is
drawn until a task has started and run for a moment, so a run that finds all its results writes one line.
"""
from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from taskproc.kernel.model import Event
from taskproc.streams import is_terminal
from taskproc.text import cut_in_middle, cut_to, terminal_width, width_of
from taskproc.watch.standing import (
    Standing,
    Tally,
    closing_line,
    duration,
    failed_line,
    fresh_texts,
    left_text,
    ready_text,
    reason_lines,
    short_names,
)
from taskproc.watch.stream import Outline, Remaining, left_unknown

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import TaskID
    from rich.text import Text

DRAW_EVERY = 0.25  # seconds
# An executor of the user forks its processes when it gets its first job. The thread only waits until then, because a
# process that is forked while it writes would inherit the lock of standard error in the locked state.
DRAW_AFTER = 0.5   # seconds
_NAME = 12         # columns that the name of a class gets before the bar and the times
_SHORTEST = 5      # columns that it gets in any case
_BAR, _LONGEST_BAR = 10, 30
FAILURES = 20      # shown one by one; the end of the run lists all


class Bars:
    """Bars that move.

    Args:
        totals: task class → the number of its tasks.
        file: the terminal.
        clock: seconds, from any clock that does not go back.
        guards: show text that this process prints to standard output or standard error above the bars.
        draws: draw in a thread; without it, only the final state is drawn.
    """

    def __init__(
        self,
        totals: Mapping[str, int],
        file: TextIO,
        *,
        clock: Callable[[], float] = time.monotonic,
        guards: bool = False,
        draws: bool = True,
    ):
        from rich.console import Console

        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._standing = Standing(totals)
        self._waits: Callable[[], Mapping[str, int]] = dict
        self._left: Callable[[], Remaining | None] = left_unknown
        self._is_left_known = False
        self._since: dict[str, float] = {}
        self._until: dict[str, float] = {}
        self._failures = 0
        self._file = file
        self._console = Console(file=file, highlight=False)
        self._guards = _Guards(self._console) if guards else None
        self._progress: Any = None
        self._rows: dict[str, TaskID] = {}
        self._names = short_names(totals)
        self._over = threading.Event()
        self._painter = threading.Thread(target=self._paint, name="taskproc-bars", daemon=True) if draws else None
        self._closed = False

    def begin(self, outline: Outline) -> None:
        """Store the functions that report what tasks wait for, and how long the run will take."""
        self._waits, self._left = outline.waits, outline.left

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        """Count the event; a failure is shown above the bars at once."""
        now = self._clock()
        with self._lock:
            if self._standing.note(event, name, text, now):
                self._until[name] = now
            elif event.kind == "started":
                self._since.setdefault(name, now)
                if self._painter is not None and self._painter.ident is None:
                    self._painter.start()
        if event.kind == "failed":
            self._failures += 1
            if self._failures <= FAILURES:
                columns = terminal_width(self._file)
                self._print(f"  {failed_line(event, text(), None if columns is None else columns - 2)}")

    def close(self) -> None:
        """Write the final state and the closing line. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._over.set()
        if self._painter is not None and self._painter.ident is not None:
            self._painter.join()
        try:
            if self._since:
                self.draw()
        finally:
            if self._progress is not None:
                self._progress.stop()
            if self._guards is not None:
                self._guards.release()
        for line in reason_lines(self._standing.reasons):
            self._print(line)
        self._print(closing_line(self._standing.all, self._clock() - self._started))

    def _print(self, line: str) -> None:
        self._console.print(cut_to(line, terminal_width(self._file)), markup=False, soft_wrap=True)

    def _paint(self) -> None:
        if self._over.wait(DRAW_AFTER):
            return
        try:
            self.draw()
            while not self._over.wait(DRAW_EVERY):
                self.draw()
        except (OSError, ValueError):
            pass  # the terminal was closed; the run goes on

    def draw(self) -> None:
        """Draw the present state of the run. One thread at a time."""
        progress = self._progress
        if progress is None:
            progress = self._progress = _bars(self._console)
            progress.start()
        left = None if self._closed else self._left()
        self._is_left_known = left is not None or (self._closed and self._is_left_known)
        with self._lock:
            self._draw_rows(progress)
            waits = {} if self._closed else self._waits()
            parts = [] if self._closed else fresh_texts(self._standing.all)
            parts += [*([left_text(left)] if left else []), *([ready_text(waits)] if waits else [])]
            progress.below = cut_to("; ".join(parts), terminal_width(self._file))
        progress.refresh()

    def _draw_rows(self, progress: Any) -> None:
        columns, running = self._console.width, Counter(task.name for task in self._standing.running.values())
        classes = self._standing.classes
        counts = {name: self._counts(tally, running[name]) for name, tally in classes.items()}
        if max((text.cell_len for text in counts.values()), default=0) > columns - _NAME:
            counts = {name: self._counts(tally, 0, whole=False) for name, tally in classes.items()}
        times = {name: self._times(name, tally) for name, tally in classes.items()}
        names = {name: self._names.get(name, name) for name in classes}
        widest = (max(map(width_of, texts.values()), default=0) for texts in (names, times))
        layout = Layout.of(columns, max((text.cell_len for text in counts.values()), default=0), *widest)
        progress.lay_out(layout)
        for name, tally in classes.items():
            if name not in self._rows:
                self._rows[name] = progress.add_task("", counts="", times="")
            progress.update(self._rows[name], description=cut_in_middle(names[name], layout.name), total=tally.total,
                            completed=_filled(tally), counts=counts[name], times=times[name])

    def _counts(self, tally: Tally, running: int, *, whole: bool = True) -> Text:
        """How many tasks ended how; if not `whole`, only those that went wrong."""
        from rich.text import Text

        words = {"fresh": (tally.fresh * whole, "dim"), "running": (running, "cyan"), "failed": (tally.failed, "red"),
                 "skipped": (tally.skipped, "yellow")}  # fmt: skip
        counts = Text(f"{_filled(tally):,}/{tally.total:,}")
        for word, (count, style) in words.items():
            if count:
                counts.append(" · ").append(f"{count:,} {word}", style=style)
        return counts

    def _times(self, name: str, tally: Tally) -> str:
        """The time since the first task of the class started, and the time left at the pace of those that ran.

        The time left is not shown where the line below the bars has a better one.
        """
        since = self._since.get(name)
        if since is None:
            return ""
        left = tally.left()
        now = self._clock() if left else self._until.get(name, since)
        elapsed = now - since
        ran = tally.done + tally.failed
        if not left or not ran or self._is_left_known:
            return duration(elapsed)
        return f"{duration(elapsed)}, {duration(elapsed / ran * left)} left"


class Layout(NamedTuple):
    """Columns of the name of a class and of its bar (0: no bar), and whether times are shown."""

    name: int
    bar: int
    shows_times: bool

    @classmethod
    def of(cls, columns: int, counts: int, name: int, times: int) -> Layout:
        """Divide the columns of a terminal: first the counts, then the name, a short bar and the times."""
        room, least = columns - counts - 1, min(name, _NAME)
        has_bar = room - least > _BAR
        room -= (_BAR + 1) * has_bar
        shows_times = has_bar and room - least > times
        room -= (times + 1) * shows_times
        shown = min(name, max(room, _SHORTEST))
        return cls(shown, min(_LONGEST_BAR, _BAR + max(0, room - shown)) * has_bar, shows_times)


def _filled(tally: Tally) -> int:
    """How many tasks fill the bar: skipped tasks do not, because they were not done."""
    return tally.ended() - tally.skipped


def _bars(console: Console) -> Any:
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Rows(Progress):
        """The bars, and a line below them."""

        below = ""

        def lay_out(self, layout: Layout) -> None:
            name, bar, counts, times = every
            bar.bar_width = layout.bar
            chosen = [name, *[bar] * (layout.bar > 0), counts, *[times] * layout.shows_times]
            self.columns = tuple(chosen)

        def get_renderables(self) -> Iterator[RenderableType]:
            yield from super().get_renderables()
            if self.below:
                yield Text(self.below, style="dim", no_wrap=True, overflow="ellipsis")

    class Counts(ProgressColumn):
        """The text of `_counts`."""

        def render(self, task: Any) -> Text:
            counts: Text = task.fields["counts"]
            return counts

    # The redirection of rich would send text that tasks print to standard output to the terminal of the bars, also from
    # a thread whose output is captured; see _Guards
    every: tuple[Any, ...] = (
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=_LONGEST_BAR),
        Counts(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[times]}", style="dim", table_column=Column(no_wrap=True)),
    )
    return Rows(
        *every,
        console=console,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )


class _Guards:
    """Makes standard output and standard error, if they are terminals, write above the bars.

    Installed before the first job runs, so that code which captures the output of a job replaces them and is not
    affected. If such a replacement is still there when the run is over, they stay below it and pass text on.
    """

    def __init__(self, console: Console):
        from rich.file_proxy import FileProxy

        self._guarded: dict[str, tuple[Any, Any]] = {}
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if is_terminal(stream):
                guard = FileProxy(console, stream)
                self._guarded[name] = (guard, stream)
                setattr(sys, name, guard)

    def release(self) -> None:
        """Restore the streams."""
        for name, (guard, stream) in self._guarded.items():
            if getattr(sys, name) is guard:
                setattr(sys, name, stream)
        for guard, _ in self._guarded.values():
            guard.flush()
