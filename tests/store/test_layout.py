"""Names inside a cache."""
from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from faults import few
from hypothesis import example, given
from hypothesis import strategies as st

from taskproc.store import layout
from taskproc.store.layout import Place

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
    """Long names are distinguished by a digest."""
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
    assert name == layout.folder_task_name(layout.folder_name(name))


def test_numbers_are_read_from_names() -> None:
    """By kind, highest first; what is named otherwise is not ours."""
    names = "claim.3 result.1.pkl.gz result.10.pkl.gz failed.2 bad.4 args.json data.9 stdout.9.txt".split()
    foreign = "claim.0 claim.01 claim.3.pkl.gz result.7 result.x.pkl.gz result.8.pkl xclaim.6 failed.6.pkl.gz".split()
    foreign += ["claim.²", "claim.5\n", "claim.-1", "claim.", "CLAIM.9"]

    found = layout.numbers(names + foreign)

    assert {"claim": [3], "result": [10, 1], "failed": [2], "bad": [4]} == found
    assert 10 == layout.highest_number(found)
    assert 0 == layout.highest_number(layout.numbers(foreign))


@pytest.mark.parametrize(("kind", "name"), [("claim", layout.claim_file(7)), ("result", layout.result_file(7))])
def test_names_and_numbers_agree(kind: str, name: str) -> None:
    """What is written is what is read."""
    assert [7] == layout.numbers([name])[kind]


def test_a_place_lies_below_its_class() -> None:
    """The path has the name, the id, and nothing of the key."""
    assert "/c/m.T" == layout.class_path("/c", "m.T")
    assert "/c/m.T/results/7" == layout.place_path("/c", Place("m.T", 7, "key"))


HOSTILE = [*ODD, "../../x", "/abs", "~", "~root", "%2e%2e", "..%2f", "a/../../b", "\n", "$(x)", "a';b", '"', "a" * 9999]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_place_lies_inside_the_cache(tmp_path: Path, name: str) -> None:
    """Whatever a class is called, all of it is joined to a path below the root, also when links are followed."""
    root = os.path.realpath(tmp_path)
    paths = [
        layout.class_path(root, name),
        os.path.join(root, *layout.code_levels(name)),
        *(layout.place_path(root, Place(name, number, name)) for number in (0, (1 << 63) - 1)),
    ]

    for path in paths:
        os.makedirs(path, exist_ok=True)
        assert root == os.path.commonpath([root, os.path.realpath(path)])
        assert root == os.path.dirname(layout.class_path(root, name))
    assert [os.path.basename(layout.class_path(root, name))] == os.listdir(root)


def test_what_lies_beside_is_read_from_names() -> None:
    """Its kind and number; what ends otherwise is not ours."""
    ours = {"data.1": ("data", 1), "stdout.20.txt": ("stdout", 20), "stderr_caller.3.txt": ("stderr_caller", 3)}
    ours["accept.4.json"] = ("accept", 4)
    foreign = "data.1.txt data.0 data.01 stdout.1 stdout.1.json accept.1 accept.1.txt datas.1 xdata.1".split()
    foreign += ["data.\u00b2", "data.1\n"]

    assert ours == {name: found for name in [*ours, *foreign] if (found := layout.side_file(name)) is not None}


@pytest.mark.parametrize(
    ("name", "code", "temporary"),
    [
        (layout.code_file("a" * 64), True, False),
        (f".{layout.code_file('a' * 64)}.{'0' * 32}.tmp", False, True),
        (f".{layout.accept_file(7)}.{'0' * 32}.tmp", False, True),
        ("a.json", False, False),
        (f"{'A' * 64}.json", False, False),
        (f".args.json.{'0' * 32}.tmp", False, False),
    ],
)
def test_names_of_small_files(name: str, code: bool, temporary: bool) -> None:
    """What holds code, and what was to be renamed."""
    assert (code, temporary) == (layout.is_code_file(name), layout.is_temporary(name))
