"""Statistics are counted from events, per class."""
from __future__ import annotations

from taskproc.kernel.model import Event
from taskproc.tasks.stats import Counter


def test_each_kind_of_end_has_its_count() -> None:
    """By class name; a class that does not occur is absent."""
    counter = Counter()
    for kind, name in [("done", "A"), ("done", "A"), ("fresh", "A"), ("failed", "B"), ("skipped", "C")]:
        counter.count(Event(kind, "key"), name)

    stats = counter.stats(1.5)

    assert (stats["stats"], stats["hits"]) == ({"A": 2}, {"A": 1})
    assert (stats["failed"], stats["skipped"]) == ({"B": 1}, {"C": 1})
    assert (stats["seconds"], stats["elapsed"]) == ({}, 1.5)
    assert [counter.total(which) for which in ("stats", "hits", "failed", "skipped")] == [2, 1, 1, 1]


def test_what_is_no_end_does_not_count() -> None:
    """Looks, starts, losses and late answers."""
    counter = Counter()
    for kind in ("stale", "started", "elsewhere", "lost", "late"):
        counter.count(Event(kind, "key", {"seconds": 1.0}), "A")

    stats = counter.stats(0.0)
    assert stats.pop("elapsed") == 0.0  # type: ignore[misc]
    assert all(some == {} for some in stats.values())


def test_reasons_are_counted_per_class() -> None:
    """In words."""
    counter = Counter()
    for name, text in [("A", "new"), ("A", "new"), ("A", "changed"), ("B", "new")]:
        counter.reason(name, text)

    assert counter.stats(0.0)["reasons"] == {"A": {"new": 2, "changed": 1}, "B": {"new": 1}}


def test_seconds_are_summed() -> None:
    """For tasks that ran, failures included."""
    counter = Counter()
    counter.count(Event("done", "x", {"seconds": 1.5}), "A")
    counter.count(Event("failed", "y", {"seconds": 0.5}), "A")
    counter.count(Event("fresh", "z"), "A")

    assert counter.stats(0.0)["seconds"] == {"A": 2.0}


def test_statistics_do_not_change_after_they_were_given_out() -> None:
    """Each call returns its own dicts."""
    counter = Counter()
    before = counter.stats(0.0)

    counter.count(Event("done", "x"), "A")

    assert (before["stats"], counter.stats(0.0)["stats"]) == ({}, {"A": 1})
