"""Laws of the newest attempt: what the folder of a task says, also while it changes under the reader."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.ledger.attempts import STATES, newest_attempt
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.marks import Mark
from taskproc.tasks.task import Task


class One(Task):
    def run_task(self) -> int:
        return 1


@pytest.fixture
def folder(cache: Cache) -> Path:
    """The folder of a task with one version."""
    One().run_graph(executor=LocalExecutor(), show_progress=False)
    return One().task_directory.parent


def state_of(cache: Cache, folder: Path, names: list[str] | None = None) -> tuple[str, int, str] | None:
    """State, number and error of its newest attempt; `names` is an earlier listing."""
    with_links = os.listdir(folder) if names is None else names
    with cache.store.held(*folder.relative_to(cache.path).parts) as handle:
        attempt = newest_attempt(DiskStore(cache.store.root), handle, with_links)
    if attempt is None:
        return None
    assert attempt.state in STATES
    return attempt.state, attempt.number, attempt.error


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder: None, ("good", 1, "")),
        (lambda folder: (folder / "claim.2").touch(), ("claimed", 2, "")),
        (lambda folder: (folder / "failed.2").touch(), ("good", 1, "")),  # it ended before it ran
        (lambda folder: [(folder / "failed.2").touch(), (folder / "stdout.2.txt").touch()], ("failed", 2, "")),
        (lambda folder: (folder / "result.2.pkl.gz").touch(), ("damaged", 2, "its record cannot be read: no footer")),
        (lambda folder: (folder / "result.1.pkl.gz").unlink(), None),
        (lambda folder: (folder / "result.2.pkl.gz").symlink_to("result.1.pkl.gz"), ("damaged", 2, "…")),
    ],
)
def test_a_folder_says_how_it_stands(
    cache: Cache, folder: Path, change: Callable[[Path], object], expected: tuple[str, int, str] | None
) -> None:
    """By the names in it, and one file."""
    change(folder)

    found = state_of(cache, folder)

    if expected is not None and expected[2] == "…":
        assert found is not None
        assert found[:2] == expected[:2]
    else:
        assert expected == found


def test_a_claim_that_ends_under_the_reader(cache: Cache, folder: Path) -> None:
    """The listing is older than the result: the folder is looked at again, and the claim is not taken for dead."""
    names = ["args.json", "claim.1"]

    assert ("good", 1, "") == state_of(cache, folder, names)
    assert ("good", 1, "") == state_of(cache, folder, ["args.json", "result.1.pkl.gz", "claim.2"])


def test_a_task_that_was_cleared_under_the_reader(cache: Cache, folder: Path) -> None:
    """It never ran, then."""
    names = os.listdir(folder)
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()

    assert state_of(cache, folder, names) is None


def test_a_claim_lives_as_long_as_its_run(cache: Cache) -> None:
    """Of this process, too: for a reader it is a run like any other."""
    place = One()._taskproc.place
    mark = Mark(str(cache.path))
    store = DiskStore(cache.store.root, mark.token)
    attempt = store.claim(place, lambda: "{}", lambda versions: None)
    assert isinstance(attempt, DiskAttempt)
    folder = Path(attempt.directory).parent

    assert ("claimed", 1, "") == state_of(cache, folder)
    mark.close()
    assert ("failed", 1, "its run has died") == state_of(cache, folder)
    attempt.release()
