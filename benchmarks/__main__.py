"""`python -m benchmarks`: measure, and print the table."""
from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.environment import prepare, present
from benchmarks.rows import ROWS, SESSIONS, Row
from benchmarks.session import OURS, Line, Measurer, Session
from benchmarks.table import Figures, conditions, file_system, keep, table

BYTES_FOR_ALL = 30e9
FLOORS = ("sketch", "calls", "floor", "pool")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 whatever the ratios are, 1 if a program of ours failed, 130 if interrupted."""
    options = _parser().parse_args(arguments)
    rows, peers = _chosen(options.only), _peers(options)
    if options.list:
        print("\n".join(f"{row.workload:4} {row.title}" for row in rows))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-", dir=options.folder)).resolve()
    try:
        return _measure(options, rows, peers, folder)
    except KeyboardInterrupt:
        _tell("interrupted")
        return 130
    finally:
        _remove(folder)


def _measure(options: argparse.Namespace, rows: Sequence[Row], peers: set[str], folder: Path) -> int:
    _warn(folder, options.quick)
    environment = present() if options.no_peers else prepare(options.environment, _tell)
    rounds = 1 if options.quick else options.rounds
    lines = []
    with open(options.json or os.devnull, "a", encoding="utf-8") as file:
        measurer = Measurer(environment, folder, _tell, hurried=options.quick)
        for line in measure(rows, measurer, rounds, options.quick, peers):
            file.write(json.dumps(line) + "\n")
            file.flush()
            lines.append(line)
            if "error" in line:
                _tell(f"{line['side']} failed: {line['error']}")
    rows, lines = _with_earlier(rows, lines, options.add)
    text = table(rows, Figures(lines), judged=not options.quick)
    text = f"{conditions(environment.versions, folder, rounds, quick=options.quick)}\n{text}"
    print(text)
    if options.output:
        keep(options.output, text)
    return int(any("error" in line and line["side"] == OURS and "step" in line for line in lines))


def measure(
    rows: Sequence[Row], measurer: Measurer, rounds: int, quick: bool, peers: set[str]
) -> Iterator[Line]:
    """All lines that the rows need."""
    for session in SESSIONS:
        lasts = _lasts(session, rows, peers)
        if lasts:
            yield from measurer.run(session, session.quick if quick else session.count, rounds, lasts)


def _with_earlier(rows: Sequence[Row], lines: list[Line], files: Sequence[Path]) -> tuple[list[Row], list[Line]]:
    """Rows and lines with those of earlier runs, in the order of all rows."""
    sessions = {line["session"] for line in lines}
    earlier = [json.loads(text) for file in files for text in file.read_text(encoding="utf-8").splitlines()]
    added = [line for line in earlier if line["session"] not in sessions]
    known = {line["session"] for line in added}
    return [row for row in ROWS if row in rows or row.place.session in known], lines + added


def _peers(options: argparse.Namespace) -> set[str]:
    """Who takes part, beside ours and the floors."""
    known = {side for row in ROWS for side in row.sides} - {*FLOORS}
    if options.against is not None:
        named = {name.strip() for name in options.against.split(",")}
        if unknown := named - known:
            raise SystemExit(f"no peer is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
        known = named
    return set() if options.no_peers else known


def _lasts(session: Session, rows: Sequence[Row], peers: set[str]) -> dict[str, str]:
    """Each side that the rows ask for, ours first, and the last of its steps that they ask for."""
    asked: dict[str, set[str]] = {OURS: set()}
    for row in rows:
        if row.place.session == session.name:
            for side in (OURS, *row.sides):
                if side in (OURS, *FLOORS) or side in peers:
                    asked.setdefault(side, set()).add(row.place.step)
    return {side: [step.name for step in session.steps(side) if step.name in steps][-1]
            for side, steps in asked.items() if steps}


def _chosen(only: str | None) -> tuple[Row, ...]:
    if only is None:
        return ROWS
    names = {name.strip().casefold() for name in only.split(",")}
    known = {row.workload.casefold() for row in ROWS}
    if unknown := names - known:
        raise SystemExit(f"no workload is called {', '.join(sorted(unknown))}; see --list")
    return tuple(row for row in ROWS if row.workload.casefold() in names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure taskproc beside others.")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    add = parser.add_argument
    add("--quick", action="store_true", help="small sizes, one round, no verdict: shows that all runs")
    add("--only", metavar="W1,W2", help="these workloads (default: all)")
    add("--list", action="store_true", help="tell the rows, measure nothing")
    add("--rounds", type=int, default=5, metavar="N", help="how often, the sides in turn (default: 5)")
    add("--against", metavar="NAMES", help="these peers: pipefunc,joblib (default: all)")
    add("--no-peers", action="store_true", help="ours and the floors, with the Python that runs this")
    add("--folder", type=Path, default=Path(), metavar="DIR",
        help="where the new folders are made, not on a tmpfs (default: the current directory)")
    add("--environment", type=Path, default=cache / "taskproc-benchmarks", metavar="DIR",
        help="where the peers are installed (default: %(default)s)")
    add("--output", type=Path, metavar="README.md", help="also put the table there, between its marks")
    add("--json", type=Path, metavar="FILE", help="also append each measurement there, one line of JSON each")
    add("--add", type=Path, metavar="FILE", action="append", default=[],
        help="show also what an earlier --json kept, of what is not measured now: the long ones need not be repeated")
    return parser


def _remove(folder: Path) -> None:
    _tell(f"removes {folder}")
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)  # a worker of what was killed may write for a moment yet
    _tell(f"cannot remove {folder}")


def _warn(folder: Path, quick: bool) -> None:
    if file_system(folder) in ("tmpfs", "ramfs"):
        _tell(f"warning: {folder} is in memory, so the disk is not measured; see --folder")
    if not quick and shutil.disk_usage(folder).free < BYTES_FOR_ALL:
        _tell("warning: the whole table needs 30 GB of disk")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
