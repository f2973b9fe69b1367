"""How long a run will still take, with the real estimator and the real plan in virtual time."""
from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import pytest

from taskproc.ledger.estimates import Estimate, Estimates, PastTask
from taskproc.ledger.schedule import simulated, wall_time
from taskproc.ledger.time_left import TimeLeft

# Three classes whose costs differ by 100: each Clean reads five files, each Train five cleaned ones
COSTS = {"Read": 0.01, "Clean": 1.0, "Train": 100.0}
COUNTS = {"Read": 600, "Clean": 120, "Train": 24}
KEYS = [f"{name} {number}" for name, count in COUNTS.items() for number in range(count)]
NEEDS: Mapping[str, tuple[str, ...]] = {
    key: () if key.startswith("Read") else tuple(
        f"{'Read' if key.startswith('Clean') else 'Clean'} {5 * int(key.split()[1]) + part}" for part in range(5))
    for key in KEYS
}  # fmt: skip
CLASSES = {key: key.split()[0] for key in KEYS}
LABELS = dict.fromkeys(KEYS, ("worker",))
Event = tuple[float, int, str, str, float]  # when, in which order, kind, key, seconds


def durations(seed: int, speed: float = 1.0) -> dict[str, float]:
    """How long each task takes: its cost, some noise, and how busy the machine is."""
    noise = random.Random(seed)
    return {key: COSTS[name] * speed * noise.lognormvariate(0.0, 0.1) for key, name in CLASSES.items()}


def past(seconds: Mapping[str, float]) -> Estimates:
    """What a first run has left in the records."""

    def history(name: str) -> list[PastTask]:
        return [PastTask(number, {"n": int(key.split()[1])}, seconds[key], None, None)
                for number, key in enumerate(KEYS) if CLASSES[key] == name]  # fmt: skip

    return Estimates(history)


def events(seconds: Mapping[str, float], workers: int) -> Iterator[Event]:
    """What a run reports: each task is judged when its needs are done, begins and ends."""
    for order, (key, began, ended) in enumerate(simulated(NEEDS, seconds, {"worker": workers}, LABELS)):
        yield began, order, "stale", key, 0.0
        yield began, order, "started", key, 0.0
        yield ended, order, "done", key, ended - began


def followed(estimates: Estimates, workers: int) -> TimeLeft[str]:
    """What follows a run of the graph."""

    def seconds(keys: Sequence[str]) -> dict[str, Estimate]:
        found: dict[str, Estimate] = {}
        for name in COSTS:
            numbers = {KEYS.index(key): key for key in keys if CLASSES[key] == name}
            costs = estimates.costs(name, list(numbers), lambda number: {"n": int(KEYS[number].split()[1])})
            found.update((numbers[number], each.seconds) for number, each in costs.items() if each.seconds is not None)
        return found

    return TimeLeft(NEEDS, CLASSES, LABELS, {"worker": workers}, seconds, lambda key: True)


def replay(run: TimeLeft[str], happened: Sequence[Event], until: float) -> None:
    """Let the run report all up to a time."""
    for when, _, kind, key, seconds in happened:
        if when <= until:
            run.note(kind, key, seconds, when)


@pytest.mark.parametrize("workers", [1, 4, 8])
@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_after_a_tenth_of_the_second_run(seed: int, speed: float, workers: int) -> None:
    """The estimate is within a quarter of the truth, on a machine that is twice as fast or slow as at the first run."""
    seconds = durations(seed + 100, speed)
    happened = sorted(events(seconds, workers))
    whole = happened[-1][0]
    run = followed(past(durations(seed)), workers)

    replay(run, happened, whole / 10)
    left = run.left(whole / 10)

    assert left is not None
    assert left.unknown == 0
    assert abs(left.seconds.likely - 0.9 * whole) < 0.25 * 0.9 * whole
    assert left.seconds.low <= left.seconds.likely <= left.seconds.high


def test_by_counting_it_would_be_wrong() -> None:
    """After a tenth of the time most tasks have ended: what progress by numbers says is off by a factor."""
    seconds = durations(100)
    happened = sorted(events(seconds, 4))
    whole = happened[-1][0]
    ended = sum(kind == "done" for when, _, kind, _, _ in happened if when <= whole / 10)

    by_number = whole / 10 / ended * (len(KEYS) - ended)

    assert by_number < 0.1 * 0.9 * whole


def test_the_range_becomes_narrower() -> None:
    """And the estimate better, until nothing is left."""
    seconds = durations(7)
    happened = sorted(events(seconds, 4))
    whole = happened[-1][0]
    widths: list[float] = []
    for share in (0.0, 0.5, 0.9):
        run = followed(past(durations(8)), 4)
        replay(run, happened, share * whole)
        left = run.left(share * whole)
        assert left is not None
        widths.append(left.seconds.high - left.seconds.low)
    run = followed(past(durations(8)), 4)
    replay(run, happened, whole)

    assert widths == sorted(widths, reverse=True)
    assert run.left(whole) is None


def test_the_first_run_knows_nothing() -> None:
    """Nothing before a task has ended; then the classes that were seen count, and the others are unknown."""
    happened = sorted(events(durations(3), 4))
    run = followed(Estimates(lambda name: []), 4)

    assert run.left(0.0) is None
    replay(run, happened, 0.5)
    left = run.left(0.5)
    assert left is not None
    assert left.unknown == COUNTS["Clean"] + COUNTS["Train"]


def test_what_is_fresh_takes_no_time() -> None:
    """And what may turn out to be fresh counts nothing at the low end."""
    needs = {"a": (), "b": ("a",), "c": ()}
    classes, labels = dict.fromkeys(needs, "A"), dict.fromkeys(needs, ("worker",))
    fixed = Estimate(10.0, 10.0, 10.0)
    run: TimeLeft[str] = TimeLeft(needs, classes, labels, {"worker": 1},
                                  lambda keys: dict.fromkeys(keys, fixed), lambda key: False)  # fmt: skip
    run.note("fresh", "c", 0.0, 0.0)
    run.note("stale", "a", 0.0, 0.0)

    left = run.left(0.0)

    assert left is not None
    assert (left.seconds.low, left.seconds.likely, left.seconds.high) == (10.0, 20.0, 20.0)


def test_a_running_task_has_less_left() -> None:
    """And one that takes longer than expected has still something left."""
    needs: dict[str, tuple[str, ...]] = {"a": ()}
    fixed = Estimate(10.0, 8.0, 12.0)
    run: TimeLeft[str] = TimeLeft(needs, {"a": "A"}, {"a": ("worker",)}, {"worker": 1},
                                  lambda keys: dict.fromkeys(keys, fixed), lambda key: False)  # fmt: skip
    run.note("started", "a", 0.0, 100.0)

    found = [run.left(now) for now in (100.0, 104.0, 120.0)]

    assert [each.seconds.likely for each in found if each] == [10.0, 6.0, 2.0]
    run.note("returned", "a", 0.0, 120.0)
    assert run.left(121.0) == (Estimate(10.0, 8.0, 12.0), 0)


def test_the_whole_graph_as_it_was() -> None:
    """Before anything has begun the estimate is that of a plan."""
    seconds = durations(5)
    run = followed(past(seconds), 4)

    left = run.left(0.0)

    assert left is not None
    assert left.seconds.likely == pytest.approx(wall_time(NEEDS, seconds, {"worker": 4}, LABELS))
