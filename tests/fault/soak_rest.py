"""The soak of identity, results, options, prefixes, contexts and clocks."""
from __future__ import annotations

import time
from pathlib import Path

from taskproc import Cache, LocalExecutor
from tests.fault import behind, clocks, journal
from tests.fault.awkward import KEPT, REFUSED
from tests.fault.forks import forked, nursed
from tests.fault.graphs import Noise, noise
from tests.fault.remembered import rounds
from tests.fault.rows import Row, folder, guarded, row_of, settings, tests_row
from tests.fault.shapes import build_and_judge, run_chain

CLASSES = ("F8", "F9", "F11", "F12", "F13", "F14", "F15", "F16")
LONG = 3600.0 * 24
BIG = 64 << 20
ROUNDS = 500

# Fault class, what is done, what is required, where the tests are
ELSEWHERE = (
    ("F8", "pairs that other systems take for one, random values, all hash seeds, golden digests",
     "one key exactly if equal with types, 0 collisions", "tests/identity", "tests/tasks/test_naming.py"),
    ("F9", f"{len(KEPT)} awkward results that are kept, {len(REFUSED)} that are refused",
     "kept as they were, or refused with the owner and the way to the culprit", "tests/fault/test_awkward.py"),
    ("F11", "tasks that hang", "killed within a second of their timeout and named",
     "tests/tasks/test_timeout.py", "tests/run", "-k", "timeout"),
    ("F13", "limits, workers, prefixes and other options that are wrong", "refused before anything starts",
     "tests", "-k", "refused or limit or option"),
    ("F15", "caches nested, in threads, coroutines and generators", "each has its own, or an error if it has none",
     "tests/store/test_cache.py", "tests/promises/test_old_bugs.py", "-k", "cache or nest or thread or coroutine"),
)  # fmt: skip


def rows(minutes: float) -> list[Row]:
    """All of it; nothing here is open-ended."""
    del minutes
    found: list[Row] = []
    for kind, done, required, *words in ELSEWHERE:
        found += guarded(kind, done, lambda each=(kind, done, required, *words): tests_row(*each))  # type: ignore[misc]
    return [
        *found,
        *guarded("F9", "a big result", _big_result),
        *guarded("F12", "graph shapes", _shapes),
        *guarded("F14", "prefixes", _prefixes),
        *guarded("F16", "clocks", _clocks),
        *guarded("F16", "what is remembered", _remembered),
    ]


def _big_result() -> list[Row]:
    with folder() as path:
        seconds, right = nursed(_store_and_load, path, seconds=LONG)
    measured = f"{BIG >> 20} MB, {seconds:.1f} s to make, store and load"
    return [row_of("F9", "a result of 64 MB", "kept as it was", [] if right else ["another value"], measured)]


def _store_and_load(path: Path) -> tuple[float, bool]:
    started = time.perf_counter()
    journal.begin(path)
    with Cache(path / "cache"):
        value = Noise(1, BIG).run_graph(executor=LocalExecutor())[0]
        again = Noise(1, BIG).get_result()
    return time.perf_counter() - started, value == again == noise(1, BIG)


def _shapes() -> list[Row]:
    found = []
    for name, width, depth in (("a chain of 100,000 tasks", 1, 100_000), ("100 layers of 1,000 tasks", 1000, 100)):
        with folder() as path:
            ended = forked(build_and_judge, path, width, depth, seconds=3600)
        faults = [] if ended.code == 0 else [ended.answer]
        built, judged = ended.answer if ended.code == 0 else (0.0, 0.0)
        faults += [f"{1e6 * built:.0f} µs"] if built > 100e-6 else []
        measured = f"{1e6 * built:.0f} µs a task to build, {1e6 * judged:.0f} µs to judge"
        found.append(row_of("F12", f"{name}, built and judged", "no recursion error, build ≤ 100 µs", faults, measured))
    with folder() as path:
        ended = forked(run_chain, path, 3000, seconds=3600)
    faults = [] if (ended.code, ended.answer) == (0, 3000) else [ended]
    found.append(row_of("F12", "a chain of 3,000 tasks, run", "the right answer", faults, "as required"))
    return found


def _prefixes() -> list[Row]:
    faults, done, skipped = [], 0, set()
    for prefix, path in behind.every_cell():
        if not behind.has_command(prefix):
            skipped.add(prefix)
            continue
        with folder() as place:
            done += 1
            try:
                faults += [(prefix, path, fault) for fault in behind.trial(place, prefix, path)]
            except Exception as error:
                faults.append((prefix, path, f"{type(error).__name__}: {error}"))
    faults += [(prefix, "", "not to be had here") for prefix in sorted(skipped)]
    name = f"{len(behind.PREFIXES)} prefix commands with caches at {len(behind.PATHS)} odd paths"
    return [row_of("F14", name, "quoted right for any path, nothing made elsewhere", faults, f"{done} cells")]


def _clocks() -> list[Row]:
    with folder() as path:
        answers = nursed(_every_clock, path, seconds=LONG)
    faults = [item for item in answers.items() if item[1]]
    required = "8 cells: 0 stale, 0 wrong"
    return [row_of("F16", f"clocks that lie: {', '.join(answers)}", required, faults, f"{len(answers)} cells")]


def _every_clock(path: Path) -> dict[str, list[str]]:
    answers = {}
    for number, name in enumerate(clocks.CELLS):
        (path / str(number)).mkdir()
        answers[name] = clocks.cell(path / str(number), name)
    return answers


def _remembered() -> list[Row]:
    with folder() as path:
        found = nursed(rounds, path / "cache", settings.seed, ROUNDS, seconds=LONG)
    measured = f"{found.rounds} rounds, {found.remembered:,} verdicts remembered, {len(found.faults)} faults"
    done = f"runs that go by times of folders; in between tasks cleared, forced, damaged, swapped; seed {settings.seed}"
    return [row_of("F16", done, "the same would run as by looking at all; 0 wrong", found.faults, measured)]
