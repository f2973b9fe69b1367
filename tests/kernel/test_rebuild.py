"""Laws of freshness: which stored result is good, and the reason for one that is not."""
from __future__ import annotations

import random
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskproc.kernel.model import Reason, Record, Stale, Stamp
from taskproc.kernel.rebuild import Present, changed_items, judge, order_of

CODE = "now"
ITEMS = {"Choose": "1", "utils.clean": "2"}
NEEDS = {"left": Stamp("o1", "v1"), "right": Stamp("o2", "v2")}
NAMES = {"left": "Choose(5, 2)", "right": "Choose(5, 3)"}


class Kept(NamedTuple):
    """A stored version with a record."""

    record: Record


def record(number=1, *, code=CODE, needs=NEEDS, settings=None, accepted=()):
    stamp = Stamp(f"order {number}", "value")
    return Record(number, "nonce", stamp, code, needs, settings or {}, frozenset(accepted))


def present(code=CODE, needs=NEEDS, settings=None, above=0):
    return Present(code, needs, settings or {}, above)


def reason(*records, **now):
    versions = map(Kept, records)
    verdict = judge(
        versions, present(**now), name_of=lambda key: NAMES.get(key, key), change_of=lambda code: f"it was {code}"
    )
    assert isinstance(verdict, Stale)
    return verdict.reason


def test_a_record_that_matches_is_good():
    """A result is good if the code and the stamps of its needs are the same."""
    kept = Kept(record(4))

    assert judge([kept], present()) is kept


def test_the_order_of_settings_and_needs_does_not_count():
    """Settings and needs are compared by name."""
    given = {"version": "1", "package x": "2"}
    shuffled = record(settings=dict(reversed(given.items())), needs=dict(reversed(NEEDS.items())))

    assert Kept(shuffled) == judge([Kept(shuffled)], present(settings=given))


def test_no_record():
    """Without a stored result nothing is good, forced or not."""
    assert reason() == Reason("new", "no result is stored")
    assert reason(above=3) == Reason("new", "no result is stored")


@pytest.mark.parametrize(
    ("then", "text"),
    [
        ({"Choose": "0", "utils.clean": "2"}, "source of Choose changed"),
        ({"Choose": "0", "utils.clean": "0"}, "source of Choose, utils.clean changed"),
        ({"Choose": "1"}, "source of utils.clean is used now"),
        ({**ITEMS, "utils.old": "3"}, "source of utils.old is not used any more"),
        (
            {"Choose": "0", "utils.old": "3"},
            "source of Choose changed; source of utils.clean is used now; source of utils.old is not used any more",
        ),
        (ITEMS, ""),
    ],
)
def test_other_items(then, text):
    """Each item of the code that changed, appeared or disappeared is named."""
    assert changed_items(then, ITEMS) == text


def test_other_code():
    """`change_of` words the difference between the code of the record and the present code."""
    assert reason(record(code="then")) == Reason("code", "it was then")


def test_code_that_was_declared_the_same():
    """Code whose digest a record accepts is good; any other code still counts."""
    accepted = record(code="then", accepted=["now", "later"])

    assert judge([Kept(accepted)], present()) == Kept(accepted)
    assert reason(accepted, code="other").kind == "code"


@pytest.mark.parametrize(
    ("then", "now", "kind", "text"),
    [
        ({"version": "1"}, {"version": "2"}, "version", "task_version 1 → 2"),
        ({"package numpy": "1.26"}, {"package numpy": "2.0"}, "package", "package numpy 1.26 → 2.0"),
        ({}, {"package numpy": "2.0"}, "package", "package numpy counts now"),
        ({"environment DIR": "a"}, {"environment DIR": "b"}, "environment", "environment variable DIR changed"),
        ({"environment DIR": "a"}, {}, "environment", "environment variable DIR counts no more"),
        ({"attribute rows": "a"}, {"attribute rows": "b"}, "attribute", "attribute rows changed"),
        (
            {"attribute rows": "a", "package x": "1"},
            {"attribute rows": "b", "package x": "2"},
            "package",
            "attribute rows changed; package x 1 → 2",
        ),
        (
            {},
            {f"attribute {name}": "b" for name in "abcde"},
            "attribute",
            "attribute a counts now; attribute b counts now; attribute c counts now; and 2 more",
        ),
    ],
)
def test_other_settings(then, now, kind, text):
    """Each setting that changed, appeared or disappeared is named, with its values where these are readable."""
    assert reason(record(settings=then), settings=now) == Reason(kind, text)


def test_settings_count_whether_code_does_or_not():
    """Settings count also if the source does not."""
    assert reason(record(settings={"version": "1"}), code=None, settings={"version": "2"}).kind == "version"


def test_code_that_is_not_asked_for():
    """With code None the source does not count, but needs do."""
    assert judge([Kept(record(code=""))], present(code=None)) == Kept(record(code=""))
    assert reason(record(code="then", needs={}), code=None).kind == "need"


@pytest.mark.parametrize(
    ("then", "text"),
    [
        ({"left": NEEDS["left"]}, "upstream Choose(5, 3) is needed now"),
        ({**NEEDS, "gone": Stamp("o", "v")}, "upstream gone is not needed any more"),
        (
            {"left": NEEDS["left"], "gone": Stamp("o", "v")},
            "upstream Choose(5, 3) is needed now; upstream gone is not needed any more",
        ),
        ({**NEEDS, "left": Stamp("o1", "old")}, "upstream Choose(5, 2) gave a new value"),
        ({**NEEDS, "left": Stamp("old", "v1")}, "upstream Choose(5, 2) ran again"),
        ({**NEEDS, "left": Stamp("old", "old")}, "upstream Choose(5, 2) gave a new value"),
        (
            {"left": Stamp("old", "v1"), "right": Stamp("o2", "old")},
            "upstream Choose(5, 3) gave a new value; upstream Choose(5, 2) ran again",
        ),
    ],
)
def test_other_needs(then, text):
    """Each need that appeared, disappeared, gave another value or was made by another order is named."""
    found = reason(record(needs=then))

    assert (found.kind, found.text) == ("need", text)


def test_a_reason_tells_which_needs_it_is_about():
    """A reason has the keys of its needs, those with other values first; other edges are only in the text."""
    then = {"left": Stamp("old", "v1"), "right": Stamp("o2", "old")}

    assert reason(record(needs=then)).needs == ("right", "left")
    assert reason(record(needs={})).needs == ()


def test_many_names_are_cut_short():
    """A message names three keys and counts the others; of four it names all."""
    five = {f"n{number}": Stamp("o", "v") for number in range(5)}
    four = dict(list(five.items())[:4])

    assert reason(record(needs={}), needs=five).text == "upstream n0, n1, n2 and 2 more is needed now"
    assert reason(record(needs={}), needs=four).text == "upstream n0, n1, n2, n3 is needed now"


def test_code_is_told_before_needs():
    """Of several reasons the first is reported: forced, code, needs."""
    stale = record(code="then", needs={})

    assert reason(stale).kind == "code"
    assert reason(stale, above=1).kind == "forced"


def test_only_records_above_count():
    """A result made before the order to make it again does not count, however good; one made after it does."""
    assert reason(record(3), record(2), above=3).kind == "forced"
    assert judge([Kept(record(4)), Kept(record(3))], present(above=3)) == Kept(record(4))
    assert reason(record(4, code="then"), record(3), above=3).kind == "code"


def test_an_edit_taken_back_finds_the_older_record():
    """The newest good record is chosen, not the newest one."""
    edited = record(3, code="then")

    assert judge(map(Kept, [edited, record(2), record(1)]), present()) == Kept(record(2))


def test_the_reason_is_that_of_the_newest():
    """If no record is good, the reason is that of the newest."""
    assert reason(record(2, needs={}), record(1, code="then")).kind == "need"


def test_records_are_read_no_further_than_needed():
    """No record is read behind a good one, or behind one too old to count, because each read costs a file."""
    records = map(Kept, [record(3, code="then"), record(2), record(1)])
    judge(records, present())
    assert [Kept(record(1))] == list(records)

    records = map(Kept, [record(3), record(2), record(1)])
    judge(records, present(above=3))
    assert [Kept(record(2)), Kept(record(1))] == list(records)


def test_an_order_is_32_hex_digits_that_stay():
    """An order is the same on every machine and Python: a change of it would run everything again."""
    assert order_of("nonce", NEEDS) == "e7ee9b25475c9803368acb6787299765"


def test_an_order_does_not_depend_on_iteration():
    """The order of the mapping of needs does not change the order of a stamp."""
    needs = {str(number): Stamp(f"o{number}", "v") for number in range(9)}
    shuffled = list(needs.items())
    random.Random(1).shuffle(shuffled)

    assert order_of("n", needs) == order_of("n", dict(shuffled))


def test_an_order_does_not_depend_on_values():
    """A changed value is not a changed order: nodes that read an equal value below it do not run again."""
    other = {**NEEDS, "left": Stamp("o1", "other")}

    assert order_of("n", NEEDS) == order_of("n", other)


TEXTS = st.lists(st.text(alphabet="1:ab", max_size=4), min_size=1, max_size=3)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(TEXTS, TEXTS)
@example(["ab"], ["a", "b"])
@example(["a", "b1:c"], ["ab", "1:c"])
@example(["n", "a", "b"], ["n", "b", "a"])
def test_orders_differ_when_any_part_does(one, two):
    """Another nonce, another order of a need, or one need more gives another order."""
    orders = [order_of(nonce, {str(n): Stamp(o, "v") for n, o in enumerate(rest)}) for nonce, *rest in (one, two)]

    assert (orders[0] == orders[1]) == (one == two)
