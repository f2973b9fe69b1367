"""Names inside a cache."""
from __future__ import annotations

import os
import string

import pytest
from faults import few
from hypothesis import example, given
from hypothesis import strategies as st

from taskproc.store import layout
from taskproc.store.base import Place

NAMES = st.text(max_size=300) | st.text(alphabet=st.characters(), max_size=20)
ODD = ["", ".", "..", "../..", "a/b", "/", "\\", "run", "trash", "RUN", "a\x00b", "\ud800", "x" * 300, "ü" * 100]
SAFE = frozenset(string.ascii_letters + string.digits + "._-~%")


@few
@given(NAMES)
def test_a_folder_name_is_safe(name: str) -> None:
    """For any text: at most 100 plain letters, no separator, not hidden, and none of the cache's own names."""
    assert_safe(layout.folder_name(name))


@pytest.mark.parametrize("name", ODD)
def test_an_odd_folder_name_is_safe(name: str) -> None:
    """So it is for those that are known to be trouble."""
    assert_safe(layout.folder_name(name))


def assert_safe(folder: str) -> None:
    assert 0 < len(folder.encode("ascii")) <= 100
    assert not set(folder) - SAFE
    assert not folder.startswith(".")
    assert folder.lower() not in {"run", "trash", "taskproc.json", "cachedir.tag"}
    assert os.path.normpath(os.path.join("/cache", folder)) == f"/cache/{folder}"


@few
@given(NAMES, NAMES)
@example("a" * 300, "a" * 299 + "b")
def test_two_names_have_two_folders(one: str, other: str) -> None:
    """Long ones are told apart by a digest."""
    assert (one == other) == (layout.folder_name(one) == layout.folder_name(other))


@few
@given(NAMES | st.text("x~", min_size=101, max_size=300))
@example("x" * 300)
@example("run")
@example(".")
def test_a_folder_name_is_not_the_folder_of_its_own_name(name: str) -> None:
    """What was cut or escaped is not what another task is called by chance."""
    folder = layout.folder_name(name)

    assert folder == name or layout.folder_name(folder) != folder


def test_odd_names_have_different_folders() -> None:
    """All of them at once."""
    assert len(ODD) == len({layout.folder_name(name) for name in ODD})


@pytest.mark.parametrize("name", ["module.Task", "pkg.sub_module.Outer.Inner", "a-b_c.D9"])
def test_plain_names_are_kept(name: str) -> None:
    """What people call a task is what they find."""
    assert name == layout.folder_name(name)


@few
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10))
@example("run")
@example("..")
@example("a~b")
def test_a_folder_tells_its_task(name: str) -> None:
    """As long as it was not cut."""
    assert name == layout.task_name(layout.folder_name(name))


def test_numbers_are_read_from_names() -> None:
    """By kind, highest first; what is named otherwise is not ours."""
    names = "claim.3 result.1.pkl.gz result.10.pkl.gz failed.2 bad.4 args.json data.9 stdout.9.txt".split()
    foreign = "claim.0 claim.01 claim.3.pkl.gz result.7 result.x.pkl.gz result.8.pkl xclaim.6 failed.6.pkl.gz".split()
    foreign += ["claim.²", "claim.5\n", "claim.-1", "claim.", "CLAIM.9"]

    found = layout.numbers(names + foreign)

    assert {"claim": [3], "result": [10, 1], "failed": [2], "bad": [4]} == found
    assert 10 == layout.highest(found)
    assert 0 == layout.highest(layout.numbers(foreign))


@pytest.mark.parametrize(("kind", "name"), [("claim", layout.claim_file(7)), ("result", layout.result_file(7))])
def test_names_and_numbers_agree(kind: str, name: str) -> None:
    """What is written is what is read."""
    assert [7] == layout.numbers([name])[kind]


def test_a_place_lies_below_its_class() -> None:
    """The path has the name, the id, and nothing of the key."""
    assert "/c/m.T" == layout.class_path("/c", "m.T")
    assert "/c/m.T/results/7" == layout.place_path("/c", Place("m.T", 7, "key"))
