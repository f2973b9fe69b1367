"""The table: medians, ratios and what was reached, in Markdown; and the README that keeps it."""
from __future__ import annotations

import os
import platform
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

from benchmarks.environment import PEERS, ROOT
from benchmarks.rows import Place, Row
from benchmarks.session import OURS, Line

BEGIN, END = "<!-- begin of the table -->\n", "<!-- end of the table -->\n"
UNITS = {"": 1.0, "s": 1.0, "ms": 1e3, "µs": 1e6, "kB": 1e-3, "MB": 1e-6}


class Figures:
    """Medians of what was measured, and why some were not."""

    def __init__(self, lines: Iterable[Line]):
        self._values: defaultdict[tuple[str, str, str, str], list[float]] = defaultdict(list)
        self._errors: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        for line in lines:
            if "error" in line:
                self._errors[line["session"], line["side"]] = line["error"]
                continue
            self._counts[line["session"]] = line["count"]
            for name, value in line.items():
                if isinstance(value, (int, float)):
                    self._values[line["session"], line["step"], name, line["side"]].append(value)

    def look(self, place: Place, side: str) -> float | None:
        """The median, in s or bytes."""
        values = self._values.get((place.session, place.step, place.value, side))
        if not values or (place.session, side) in self._errors:
            return None
        return median(values) / (self._counts[place.session] if place.each else 1)

    def error(self, place: Place, side: str) -> str | None:
        """Why there is no figure; None where the side was not asked."""
        return self._errors.get((place.session, side))


def table(rows: Sequence[Row], figures: Figures, *, judged: bool) -> str:
    """The rows, in Markdown."""
    lines = ["| | workload | taskproc | others (ours / theirs) | must reach |" + (" reached |" if judged else "")]
    lines.append("|---" * (6 if judged else 5) + "|")
    previous = ""
    for row in rows:
        cells = ["" if row.workload == previous else row.workload, row.title, _figure(row, figures, OURS),
                 _others(row, figures), "; ".join(f"≤ {limit.text}" for limit in row.limits)]
        lines.append("| " + " | ".join([*cells, _verdict(row, figures)] if judged else cells) + " |")
        previous = row.workload
    return "\n".join(lines) + "\n"


def _figure(row: Row, figures: Figures, side: str) -> str:
    figure = figures.look(row.place, side)
    if figure is None:
        return (figures.error(row.place, side) or "not run").replace("|", "/")[:80]
    shown = figure * UNITS[row.unit]
    return f"{shown:.{0 if shown >= 100 else 1 if shown >= 10 else 2}f} {row.unit}".rstrip()


def _others(row: Row, figures: Figures) -> str:
    ours, parts = figures.look(row.place, OURS), []
    for side in row.sides:
        theirs = figures.look(row.place, side)
        if theirs is None and figures.error(row.place, side) is None:
            continue
        ratio = f" ({ours / theirs:.2f})" if ours is not None and theirs else ""
        parts.append(f"{side} {_figure(row, figures, side)}{ratio}")
    return ", ".join(parts)


def _verdict(row: Row, figures: Figures) -> str:
    ours, parts = figures.look(row.place, OURS), []
    for limit in row.limits:
        bound = limit.bound(row, figures.look)
        if ours is None or not bound:
            parts.append("?")
        else:
            parts.append("yes" if ours <= bound else f"no, {ours / bound:.2g} × that")
    return "; ".join(parts)


def conditions(versions: Mapping[str, str], folder: Path, rounds: int, *, quick: bool = False) -> str:
    """When, where and with what it was measured."""
    now = datetime.now(timezone.utc)
    named = [name for line in PEERS.read_text().splitlines() if (name := line.partition("==")[0].strip())]
    peers = ", ".join(f"{name} {versions[name]}" for name in dict.fromkeys(named) if name in versions)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    how = "sizes cut down, one round: a look, not a measurement" if quick else f"medians of {rounds} rounds"
    return (f"Measured on {now:%d %B %Y}, {how}, commit {_commit()}.\n"
            f"{os.cpu_count()} processors ({_processor()}), {memory:.0f} GiB, {file_system(folder)}, "
            f"{platform.system()} {platform.release()}, Python {platform.python_version()}.\n{peers}.\n")


def file_system(folder: Path) -> str:
    """The type of the file system on which `folder` lies, if the system tells."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown file system"
    place = str(folder.resolve())
    above = [(point, kind) for point, kind in mounts if f"{place}/".startswith(point.rstrip("/") + "/")]
    return max(above, key=lambda mount: len(mount[0]))[1] if above else "unknown file system"


def keep(path: Path, text: str) -> None:
    """Put `text` between the marks of the README, or make one."""
    whole = path.read_text(encoding="utf-8") if path.exists() else f"# Benchmarks\n\n{BEGIN}{END}"
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no place for the table: the lines {BEGIN.strip()!r} and {END.strip()!r}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _commit() -> str:
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
