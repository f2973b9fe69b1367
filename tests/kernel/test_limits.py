"""Laws of slots by label, and of the line that waits for them."""
from __future__ import annotations

import pytest

from taskproc.errors import OptionError
from taskproc.kernel.limits import Limits, Line


def test_a_label_without_a_limit_is_free():
    """A label without a limit is always free, and none of its slots are used."""
    limits = Limits({"gpu": 1})

    limits.take(limits.relevant(("cpu",)))

    assert limits.free(limits.relevant(("cpu",)))
    assert limits.used("cpu") == 0


def test_take_stops_at_the_limit():
    """A label has as many slots as its limit, and a released slot is free again."""
    limits = Limits({"gpu": 2})

    limits.take(("gpu",))
    assert limits.free(("gpu",))
    limits.take(("gpu",))
    assert not limits.free(("gpu",))
    limits.release(("gpu",))

    assert limits.free(("gpu",))
    assert limits.used("gpu") == 1


def test_take_is_all_or_none():
    """If one label has no free slot, none of the others is taken."""
    limits = Limits({"gpu": 1, "disk": 3})
    limits.take(("gpu",))

    with pytest.raises(ValueError, match="free slot"):
        limits.take(("disk", "gpu"))

    assert limits.used("disk") == 0


def test_release_is_all_or_none():
    """Releasing a slot that was not taken is refused, and releases no other slot."""
    limits = Limits({"gpu": 1, "disk": 3})
    limits.take(("disk",))

    with pytest.raises(ValueError, match="taken slot"):
        limits.release(("disk", "gpu"))

    assert limits.used("disk") == 1


def test_a_limit_may_change():
    """A limit can grow and shrink; slots that are taken stay taken and count as existing."""
    limits = Limits({"gpu": 1, "disk": 1})
    limits.take(("gpu", "disk"))

    assert limits.resize("gpu", 3) == 3
    assert (limits.free(("gpu",)), limits.free(("disk",))) == (True, False)
    limits.take(("gpu",))
    assert limits.resize("gpu", 1) == 2

    assert (limits.slots(), limits.free(("gpu",))) == ({"gpu": 2, "disk": 1}, False)
    limits.release(("gpu",))
    assert limits.free(("gpu",))
    limits.resize("gpu", 1)
    assert not limits.free(("gpu",))


def test_a_label_named_twice_takes_one_slot():
    """Labels are a set: a label named twice takes and releases one slot."""
    limits = Limits({"gpu": 2})

    limits.take(limits.relevant(("gpu", "gpu")))
    assert limits.used("gpu") == 1
    limits.release(limits.relevant(("gpu", "gpu")))

    assert limits.used("gpu") == 0


def test_relevant_is_one_tuple_for_equal_sets():
    """Equal sets of limited labels give the same tuple, in whatever order they are named."""
    limits = Limits({"gpu": 1, "disk": 1})

    first = limits.relevant(("gpu", "Train", "disk", "gpu"))

    assert first == ("disk", "gpu")
    assert first is limits.relevant(("disk", "gpu"))
    assert limits.relevant(("Train",)) == ()


def test_limits_are_copied():
    """Changes to the mapping, or to the result of `slots()`, do not change the limits."""
    given = {"gpu": 1}
    limits = Limits(given)

    given["gpu"] = 5
    limits.slots()["gpu"] = 6

    assert limits.slots() == {"gpu": 1}


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        (0, "rate limit of label 'gpu' must be at least 1, got 0"),
        (-2, "rate limit of label 'gpu' must be at least 1, got -2"),
        (2.0, r"rate limit of label 'gpu' must be an int, got 2.0 \(float\)"),
        ("2", r"rate limit of label 'gpu' must be an int, got '2' \(str\)"),
        (True, r"rate limit of label 'gpu' must be an int, got True \(bool\)"),
        (None, r"rate limit of label 'gpu' must be an int, got None \(NoneType\)"),
    ],
)
def test_a_wrong_limit_is_refused(slots, message):
    """A limit that is not an int, or is below 1, is refused by name when it is given."""
    with pytest.raises(OptionError, match=f"^{message}$"):
        Limits({"cpu": 1, "gpu": slots})


@pytest.fixture
def limits() -> Limits:
    return Limits({"gpu": 1, "disk": 1})


@pytest.fixture
def line(limits: Limits) -> Line[str]:
    return Line(limits)


def test_first_come_first_served(line):
    """The key that joined first is next, across all buckets."""
    line.join("a", ("gpu",))
    line.join("b", ())
    line.join("c", ("gpu",))

    assert _leave_all(line) == ["a", "b", "c"]


def test_who_finds_no_slot_lets_others_pass(line, limits):
    """A key without free slots does not hold up the keys behind it, and is next when its slots are free."""
    line.join("a", ("gpu",))
    line.join("b", ("disk", "gpu"))
    line.join("c", ("disk",))

    limits.take(("gpu",))
    assert line.next() == "c"
    limits.release(("gpu",))

    assert line.next() == "a"


def test_nobody_is_next_when_all_slots_are_taken(line, limits):
    """`next` is None if the line is empty, and if no key in it may start."""
    assert line.next() is None

    line.join("a", ("gpu",))
    limits.take(("gpu",))

    assert line.next() is None


def test_joining_first_goes_before_all_others(line):
    """The last key to join first is next, in whatever bucket."""
    line.join("a", ("gpu",))
    line.join("b", ("gpu",), first=True)
    line.join("c", (), first=True)

    assert _leave_all(line) == ["c", "b", "a"]


def test_leaving_from_the_middle(line):
    """Any key can leave, and the others stay in their order."""
    for key in "abc":
        line.join(key, ())

    line.leave("b", ())

    assert _leave_all(line) == ["a", "c"]


def test_the_line_tells_who_stands_in_it(line):
    """Iteration gives each key once, with its labels."""
    line.join("a", ("gpu",))
    line.join("b", ())

    assert sorted(line) == [("a", ("gpu",)), ("b", ())]


def _leave_all(line: Line[str]) -> list[str]:
    labels = dict(line)
    order = []
    while (key := line.next()) is not None:
        line.leave(key, labels[key])
        order.append(key)
    return order
