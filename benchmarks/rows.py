"""The rows of the table: what is measured, against whom, and what must be reached."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

from benchmarks.session import OURS, Session, Step

LEAVES = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a figure stands: `value` of the lines of a step; `each`: divided by the session's count."""

    session: str
    step: str
    value: str = "wall"
    each: bool = False


Look = Callable[[Place, str], "float | None"]
"""The median at a place for a side; None if there is none."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What must be reached: in words, and the highest figure that does, from the figures of the others."""

    text: str
    bound: Callable[[Row, Look], float | None]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `sides` are shown with their ratios; the unit is s, ms, µs, kB, MB, or none."""

    workload: str
    title: str
    place: Place
    unit: str = "s"
    sides: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()


def fastest(factor: float, *sides: str) -> Limit:
    """At most `factor` × the lowest of these sides."""

    def bound(row: Row, look: Look) -> float | None:
        found = [figure for side in sides if (figure := look(row.place, side)) is not None]
        return factor * min(found) if found else None

    return Limit(f"{factor:g} × " + (sides[0] if len(sides) == 1 else "the fastest"), bound)


def at_most(figure: float, text: str) -> Limit:
    """At most a figure, in s or bytes."""
    return Limit(text, lambda row, look: figure)


def as_ours(factor: float, place: Place, text: str, more: float = 0.0) -> Limit:
    """At most `factor` × our own figure elsewhere, and `more` seconds."""

    def bound(row: Row, look: Look) -> float | None:
        other = look(place, OURS)
        return None if other is None else factor * other + more

    return Limit(text, bound)


def _sum(count: int) -> int:
    return count * (count + 1) // 2


def _more(count: int) -> int:
    return count + 1


def _same(count: int) -> int:
    return count


def _none(count: int) -> int:
    return 0


def _two(count: int) -> int:
    return 2


def _squares(count: int) -> int:
    return (count - 1) * count * (2 * count - 1) // 6


def _middle(count: int) -> int:
    return comb(count, count // 2)


def _tasks_of_choose(count: int) -> int:
    return (count // 2 + 1) * (count - count // 2 + 1) - 1


PACKAGES = {name: (name,) for name in ("pipefunc", "joblib", "doit", "stardag", "dask")}
NUMPY = {OURS: ("numpy",), "joblib": ("joblib", "numpy"), "floor": ("numpy",)}

MAPS = {"mtasklite": ("mtasklite",), "joblib": ("joblib",), "loky": ("joblib",)}

INLINE = (Step("cold", "inline"), Step("warm", "inline"))


def _scale(count: int, quick: int, rounds: int = 1000) -> Session:
    steps = (Step("cold", "default", _more), Step("warm", "default", _none))
    return Session(f"scale {count:,}", "fan_in", count, quick, steps, answer=_sum, rounds=rounds)


def _map(how: str) -> Session:
    steps = (Step("all", how),)
    return Session(f"map {how}", "map", 100_000, 1_000, steps, steps, _squares, MAPS)


SESSIONS = (
    Session("workers", "fan_in", LEAVES, 300, (Step("cold", "default", _more),), (Step("cold", "default"),),
            _sum, PACKAGES),
    Session("inline", "fan_in", LEAVES, 300,
            (Step("cold", "inline", _more), Step("warm", "default", _none), Step("clear", "clear"),
             Step("changed", "default", _two)), INLINE, _sum, PACKAGES),
    Session("chain", "chain", LEAVES, 300, (Step("cold", "inline", _same), Step("warm", "inline", _none)), INLINE,
            _same, PACKAGES),
    Session("deep", "chain", 20_000, 600, (Step("cold", "inline", _same),), answer=_same, rounds=1),
    Session("choose", "choose", 200, 20,
            (Step("cold", "default", _tasks_of_choose), Step("warm", "default", _none)), INLINE, _middle, PACKAGES),
    Session("start", "start", 1, 1, (Step("all", ""),), answer=lambda count: 42),
    Session("keeping", "keeping", 100_000, 300, (Step("all", ""),), answer=_same, rounds=3),
    Session("fingerprint", "fingerprint", 2_000, 100, (Step("cold", "cold"), Step("next", "warm")), answer=_more),
    Session("memory", "memory", 100_000, 2_000, (Step("built", ""),), (Step("built", ""),), lambda count: 1, PACKAGES),
    Session("noise", "large", 500, 4, (Step("cold", "random"), Step("read", "read")),
            (Step("cold", "random"), Step("read", "read")), packages=NUMPY),
    Session("table", "large", 500, 4, (Step("cold", "compressible"),), (Step("cold", "compressible"),),
            packages=NUMPY),
    *(_map(how) for how in ("processes", "processes unordered", "threads", "threads unordered")),
    Session("map endless", "map", 20_000, 500, (Step("all", "endless"),), (Step("all", "endless"),), _squares, MAPS),
    Session("round trip", "round_trip", 2_000, 100, (Step("all", ""),), (Step("all", ""),), _same),
    Session("kernel 100,000", "kernel", 100_000, 2_000, (Step("all", ""),), answer=_same),
    Session("kernel 1,000,000", "kernel", 1_000_000, 4_000, (Step("all", ""),), answer=_same),
    _scale(10_000, 200),
    _scale(100_000, 400),
    _scale(1_000_000, 800, rounds=1),
)

TASK = "inline", "cold", "wall"
WARM = Place("inline", "warm")


def _scale_rows() -> list[Row]:
    rows = []
    for count in ("10,000", "100,000", "1,000,000"):
        for step, value, title in (("cold", "build", "built"), ("cold", "run", "cold"), ("warm", "run", "warm")):
            first = Place("scale 10,000", step, value, each=True)
            limit = as_ours(1.3, first, "1.3 × that at 10,000")
            rows.append(Row("W1t", f"{count} {title}, a task", Place(f"scale {count}", step, value, each=True), "µs",
                            limits=() if count == "10,000" else (limit,)))
    return rows


def _map_rows() -> list[Row]:
    rows = []
    for how in ("processes", "processes unordered", "threads", "threads unordered"):
        place = Place(f"map {how}", "all", "map", each=True)
        if "threads" in how:
            sides: tuple[str, ...] = "pool", "joblib", "mtasklite"
            limits: tuple[Limit, ...] = (at_most(15e-6, "15 µs"),)
        else:
            sides = "pool", "joblib", *(() if "unordered" in how else ("loky",)), "mtasklite"
            others = tuple(side for side in sides if side in {"joblib", "loky"})
            limits = at_most(4e-6, "4 µs"), fastest(1.0, *others), fastest(0.05, "mtasklite")
        rows.append(Row("W9", f"map over 100,000, {how}, an item", place, "µs", sides, limits))
    return rows


ROWS = (
    Row("W1", "fan-in of 10,000, cold, default processes", Place("workers", "cold"), "s",
        ("pipefunc", "joblib", "doit"), (fastest(1.0, "pipefunc", "joblib", "doit"),)),
    Row("W1i", "the same, inline", Place("inline", "cold"), "s", ("pipefunc", "joblib", "doit", "sketch", "calls"),
        (fastest(1.0, "pipefunc", "joblib", "doit"), fastest(1.6, "sketch"))),
    *_scale_rows(),
    Row("W2", "10,000 warm, fresh process", WARM, "s", ("pipefunc", "stardag", "joblib", "doit"),
        (fastest(1.2, "pipefunc", "stardag", "joblib", "doit"),)),
    Row("W3", "chain of 10,000, inline, cold, a task", Place("chain", "cold", "wall", each=True), "µs", ("doit",),
        (as_ours(1.5, Place(*TASK, each=True), "1.5 × W1i"),)),
    Row("W3", "the same, warm, a task", Place("chain", "warm", "wall", each=True), "µs", ("doit",),
        (as_ours(1.5, Place(*TASK, each=True), "1.5 × W1i"),)),
    Row("W3", "20,000 deep", Place("deep", "cold")),
    Row("W4", "Choose(200, 100), built", Place("choose", "cold", "build")),
    Row("W4", "the same, cold", Place("choose", "cold"), "s", ("joblib", "doit"), (fastest(1.0, "joblib", "doit"),)),
    Row("W4", "the same, warm", Place("choose", "warm"), "s", ("joblib", "doit"), (fastest(1.2, "joblib", "doit"),)),
    Row("W5", "one of 10,000 cleared, fresh process", Place("inline", "changed"), "s",
        limits=(as_ours(1.0, WARM, "W2 + 50 ms", more=0.05),)),
    Row("W6", "`import taskproc` over bare Python", Place("start", "all", "import"), "ms",
        limits=(at_most(0.06, "60 ms"),)),
    Row("W6", "`python -m taskproc` to the first task", Place("start", "all", "first"), "ms",
        limits=(at_most(0.2, "200 ms"),)),
    Row("W6", "`python -m taskproc script.py --help`", Place("start", "all", "help"), "ms",
        limits=(at_most(0.15, "150 ms"),)),
    Row("W7", "memory of a graph of 100,000, a task", Place("memory", "built", "bytes", each=True), "kB",
        ("stardag", "dask"), (at_most(1500, "1.5 kB"),)),
    Row("W8", "500 MB of noise, cold", Place("noise", "cold", "write"), "s", ("floor", "joblib"),
        (fastest(1.5, "floor"),)),
    Row("W8", "the same, read in a fresh process", Place("noise", "read", "read"), "s", ("floor", "joblib"),
        (fastest(2.0, "floor"),)),
    Row("W8", "500 MB that compress, cold (gzip −9)", Place("table", "cold", "write"), "s", ("floor",),
        (fastest(0.25, "floor"),)),
    Row("W8", "their size (gzip −6)", Place("table", "cold", "bytes"), "MB", ("floor",), (fastest(1.1, "floor"),)),
    *_map_rows(),
    Row("W9", "the same over an endless input: items read ahead", Place("map endless", "all", "ahead"), "",
        ("mtasklite", "joblib"), (at_most(10_000, "10,000"),)),
    Row("W9", "the same: growth of memory", Place("map endless", "all", "grown"), "MB", ("mtasklite", "joblib"),
        (at_most(2e6, "2 MB"),)),
    Row("W10", "a round trip to a worker process", Place("round trip", "all", "trips", each=True), "µs", ("pool",),
        (at_most(300e-6, "300 µs"),)),
    Row("W11", "100,000 nodes through the plan, a node", Place("kernel 100,000", "all", "nodes", each=True), "µs",
        limits=(at_most(15e-6, "15 µs"),)),
    Row("W11", "1,000,000 nodes, a node", Place("kernel 1,000,000", "all", "nodes", each=True), "µs",
        limits=(at_most(15e-6, "15 µs"), as_ours(1.3, Place("kernel 100,000", "all", "nodes", each=True), "flat"))),
    Row("W12", "`list` of 100,000 tasks, processor time", Place("keeping", "all", "list"), "s",
        limits=(at_most(2.0, "2 s"),)),
    Row("W12", "`check` of them, processor time", Place("keeping", "all", "check"), "s",
        limits=(at_most(20.0, "20 s"),)),
    Row("W12", "`clear` of them, until it tells so", Place("keeping", "all", "clear"), "s",
        limits=(at_most(1.0, "1 s"),)),
    Row("W12", "a run beside what is in the trash then", Place("keeping", "all", "beside"), "ms",
        limits=(as_ours(1.0, Place("keeping", "all", "before"), "one without + 200 ms", more=0.2),)),
    Row("W12", "to empty the trash, processor time", Place("keeping", "all", "empty")),
    Row("W13", "code of 2,000 functions in 200 modules, cold", Place("fingerprint", "cold", "first"), "ms",
        limits=(at_most(1.0, "1 s"),)),
    Row("W13", "the same, again in the same process", Place("fingerprint", "cold", "again"), "ms",
        limits=(at_most(0.1, "100 ms"),)),
    Row("W13", "the same, in the next process", Place("fingerprint", "next", "first"), "ms",
        limits=(at_most(1.0, "1 s"),)),
)
