"""Files and code that a call uses are noted, and the call does not notice."""
from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from taskproc.run.monitoring import Known, Started
from taskproc.run.observing import Noted
from taskproc.source.project import is_users_file

sees_code = pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="code is observed from Python 3.12 on")


def noting(*known: CodeType) -> Noted:
    return Noted(Known(lambda started: started.code in known), True, is_users_file)


def paths(noted: Noted) -> set[str]:
    return {read.path for read in noted.reads.values()}


def names(noted: Noted) -> set[str]:
    return {started.code.co_name for started in noted.started.values()} & {"one", "two"}


def one() -> int:
    return 1


def two() -> int:
    return 2 * one()


def test_files_that_are_read_are_noted(tmp_path: Path) -> None:
    """Files that are read within the block are noted; written ones are not."""
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    (tmp_path / "a").read_text()
    with noting() as noted:
        (tmp_path / "b").read_text()
        (tmp_path / "c").write_text("c")
    (tmp_path / "a").read_text()

    assert (paths(noted), noted.own) == ({str(tmp_path / "b")}, {str(tmp_path / "c")})


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_what_a_link_leads_to_is_not_written(tmp_path: Path, link: Any) -> None:
    """If a call makes a link, only the link counts as written: through it, it may read a file of others."""
    (tmp_path / "a").write_text("a")
    with noting() as noted:
        link(str(tmp_path / "a"), str(tmp_path / "b"))
        (tmp_path / "b").read_text()

    assert (paths(noted) >= {str(tmp_path / "a")}, noted.own) == (True, {str(tmp_path / "b")})


def test_what_is_wrong_with_a_name_stays_the_callers_affair() -> None:
    """Opening a number, or an invalid path, raises what it always did."""
    with noting() as noted:
        with os.fdopen(os.dup(0)):
            pass
        with pytest.raises(ValueError, match="null"):
            Path("a\0b").read_bytes()
        with pytest.raises(TypeError):
            os.open(1.5, os.O_RDONLY)  # type: ignore[arg-type]

    assert not {path for path in paths(noted) if path.startswith(str(Path.cwd()))} - {os.path.abspath("a\0b")}


@sees_code
def test_code_is_told_once_a_call_that_is_observed(tmp_path: Path) -> None:
    """Code is reported once for each observed call, even if it ran before; known code is not."""
    seen = []
    for known in ((), (), (one.__code__,), ()):
        with noting(*known) as noted:
            two()
            two()
        seen.append(names(noted))

    assert seen == [{"one", "two"}, {"one", "two"}, {"two"}, {"one", "two"}]


@sees_code
def test_calls_with_the_same_known_code_see_what_is_not_known() -> None:
    """Code that started between them, and code that was reported to an earlier one."""
    known = Known(lambda started: started.code is one.__code__)
    made: dict[str, Any] = {}
    exec(compile("def later(): return 1", __file__, "exec"), made)
    seen = []
    for calls in ([two], [two], [two, made["later"]], [two, made["later"]]):
        if len(seen) == 2:
            made["later"]()
        with Noted(known, True, is_users_file) as noted:
            for call in calls:
                call()
        seen.append({started.code.co_name for started in noted.started.values()})

    assert seen == [{"two"}, {"two"}, {"two", "later"}, {"two", "later"}]


def test_a_call_that_touches_nothing_is_not_filled(tmp_path: Path) -> None:
    """Nor is one that only writes; then nothing of it need be put into a record."""
    with Noted(Known(lambda started: True), True, is_users_file) as noted:
        pass
    with Noted(Known(lambda started: True), True, is_users_file) as writing:
        (tmp_path / "a").write_text("a")

    assert (noted.is_filled, writing.is_filled, writing.own) == (False, False, {str(tmp_path / "a")})


@sees_code
def test_a_call_within_a_call_is_part_of_it() -> None:
    """What an inner call uses also belongs to the outer one."""
    with noting() as outer:
        two()
        with noting() as inner:
            one()

    assert (names(outer), names(inner)) == ({"one", "two"}, {"one"})


def test_a_thread_without_a_context_counts_for_all(tmp_path: Path) -> None:
    """A thread without a context counts for all observed calls."""
    (tmp_path / "a").write_text("a")
    with noting() as first, noting() as second:
        thread = threading.Thread(target=(tmp_path / "a").read_text)
        thread.start()
        thread.join()

    assert paths(first) == paths(second) == {str(tmp_path / "a")}


@sees_code
def test_a_covers_that_raises_is_not_felt() -> None:
    """If `covers` raises, the code is reported and the call continues."""

    def broken(started: Started) -> bool:
        raise OSError("unreadable")

    with Noted(Known(broken), True, is_users_file) as noted:
        assert two() == 2

    assert "two" in names(noted)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_child_tells_its_parent(tmp_path: Path) -> None:
    """A forked child reports to its parent however it ends, but never into a file of its own."""
    (tmp_path / "a").write_text("a")
    with noting() as noted:
        for closes in (False, True):
            child = os.fork()
            if not child:
                if closes:
                    os.closerange(3, 100)
                    number = os.open(tmp_path / "own", os.O_RDWR | os.O_CREAT)
                    for other in range(number + 1, 100):
                        os.dup2(number, other)
                (tmp_path / "a").read_text()
                os.kill(os.getpid(), 9)
            os.waitpid(child, 0)

    assert str(tmp_path / "a") in paths(noted)
    assert (tmp_path / "own").read_bytes() == b""


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="counts descriptors of Linux")
def test_a_child_that_forks_leaves_no_open_file() -> None:
    """The parent reads what its children reported, and closes that file for good."""
    before = os.listdir("/proc/self/fd")
    with noting():
        child = os.fork()
        if not child:
            grandchild = os.fork()
            if grandchild:
                os.waitpid(grandchild, 0)
            os._exit(0)
        os.waitpid(child, 0)

    assert len(before) == len(os.listdir("/proc/self/fd"))


def test_the_hook_stays_and_does_nothing(tmp_path: Path) -> None:
    """When nobody observes, nothing is noted."""
    with noting() as noted:
        pass
    before: Any = dict(noted.reads)
    (tmp_path / "a").write_text("a")

    assert (before, noted.reads, noted.own) == ({}, {}, set())
