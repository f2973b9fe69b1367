"""F1 and F7: a run that is killed at every file operation, or sees it fail, and the next one, which is right."""
from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.fault.crashes import Trial, deaths, die, fail, point_names
from tests.fault.forks import nursed

PARTS = 2  # as many tests, so that they can be spread over processors


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_every_operation(tmp_path: Path, part: int) -> None:
    """No step by hand, nothing half visible, what is committed stays and is not done again."""
    trials = nursed(_deaths, tmp_path, part)

    assert "" == "\n".join(f"{trial.name}: {trial.faults}" for trial in trials if trial.faults)
    assert len(trials) > 90 / PARTS
    done = [trial.done for trial in trials]
    assert done == sorted(done), "once it is there it stays"
    assert (done[0], done[-1]) == ((False, False), (True, True))


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.__getitem__)
def test_every_operation_fails(tmp_path: Path, number: int) -> None:
    """The failure tells errno and path, nothing is half visible, and after the repair the next run is right."""
    trials = nursed(_failures, tmp_path, number)

    assert "" == "\n".join(f"{trial.name}: {trial.faults}" for trial in trials if trial.faults)
    assert len(trials) > 40
    assert any(trial.says.startswith("told: CacheError") for trial in trials)
    assert any(trial.says.startswith("told: FailedTaskError") for trial in trials)


def _deaths(folder: Path, part: int) -> list[Trial]:
    names = point_names(_new(folder, "clean"))
    cases = list(deaths(names))[part::PARTS]
    return [die(_new(folder, f"{at}-{when}"), at, when, names[at - 1]) for at, when in cases]


def _failures(folder: Path, number: int) -> list[Trial]:
    names = point_names(_new(folder, "clean"))
    return [fail(_new(folder, str(at)), at, number, name) for at, name in enumerate(names, 1)]


def _new(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    return path
