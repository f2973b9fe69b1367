"""F7 on real storage: limits, full and read-only disks, missing rights, a cache that is removed under its run."""
from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.bad_disks import TRIALS
from tests.fault.forks import nursed
from tests.fault.mounts import NoMount


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may reach, which those of pytest are not."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.mark.slow
@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.usefixtures("open_code")
def test_storage_that_gives_out(folder: Path, trial: str) -> None:
    """What fails is told with its cause and its path, nothing is half visible, and what is there can be read."""
    answer = nursed(_faults, folder, trial)
    if isinstance(answer, str):
        pytest.skip(f"no file system of one's own: {answer}")

    assert [] == answer


def _faults(folder: Path, trial: str) -> list[str] | str:
    try:
        return TRIALS[trial](folder)
    except NoMount as error:
        return str(error)
