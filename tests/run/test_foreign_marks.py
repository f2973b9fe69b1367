"""A file says which jobs have begun, and where."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskproc.machine import birth_of
from taskproc.run.foreign import Begun


@pytest.fixture
def begun(tmp_path: Path) -> Begun:
    return Begun(tmp_path / "begun")


def test_a_job_runs_from_its_begin_to_its_end(begun: Begun) -> None:
    """A job runs between its two marks; afterwards it is known to have begun."""
    seen = [(5 in begun, begun.running(5))]
    begun.begin(5)
    seen.append((5 in begun, begun.running(5)))
    begun.end(5)
    seen.append((5 in begun, begun.running(5)))

    assert [(False, None), (True, (os.getpid(), birth_of(os.getpid()))), (True, None)] == seen
    assert [False, False] == [number in begun for number in (4, 6)]


def test_who_is_alone_in_its_process(begun: Begun) -> None:
    """A job is alone if all others have ended or run in other processes."""
    begun.begin(3)
    alone = [begun.alone(3)]
    begun.begin(1)
    alone.append(begun.alone(3))
    begun.end(1)
    if (child := os.fork()) == 0:
        begun.begin(7)
        os._exit(0)
    os.waitpid(child, 0)

    assert [True, False, True, True] == [*alone, begun.alone(3), begun.alone(7)]


def test_where_there_is_no_folder_nothing_is_known(tmp_path: Path) -> None:
    """Without the folder, as on another machine, nothing is known and nothing raised."""
    begun = Begun(tmp_path / "missing" / "begun")
    begun.begin(1)
    begun.end(1)

    assert (False, None, False, False) == (1 in begun, begun.running(1), begun.alone(1), begun.is_used())
