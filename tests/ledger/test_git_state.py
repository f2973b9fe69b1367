"""What is known of the Git repository of the user's code."""
from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from taskproc.ledger.git_state import DirtyLook, commit_of
from tests.pace import limit

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")


def git(folder: Path, *words: str) -> str:
    """What git prints; without the user's configuration."""
    names = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, and a folder in it."""
    root = tmp_path / "repository"
    (root / "inner").mkdir(parents=True)
    (root / "inner" / "a.py").write_text("1\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


@needs_git
def test_the_commit_is_found_from_any_folder(repository: Path) -> None:
    """On a branch, detached, and with packed references."""
    commit = git(repository, "rev-parse", "HEAD")
    assert (str(repository), commit) == commit_of(str(repository / "inner"))

    git(repository, "pack-refs", "--all")
    assert (str(repository), commit) == commit_of(str(repository))

    git(repository, "checkout", "-q", "--detach")
    assert (str(repository), commit) == commit_of(str(repository))


@needs_git
def test_the_commit_of_a_worktree(repository: Path, tmp_path: Path) -> None:
    """Its references lie in the main repository."""
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))

    assert (str(tmp_path / "tree"), git(repository, "rev-parse", "HEAD")) == commit_of(str(tmp_path / "tree"))


def test_no_repository(tmp_path: Path) -> None:
    """And one that is damaged, or has no commit."""
    assert commit_of(str(tmp_path)) is None
    (tmp_path / ".git").mkdir()
    assert commit_of(str(tmp_path)) is None
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    assert commit_of(str(tmp_path)) is None
    (tmp_path / ".git" / "HEAD").write_text("nonsense\n")
    assert commit_of(str(tmp_path)) is None


@needs_git
@pytest.mark.parametrize("change", [True, False])
def test_whether_files_were_changed(change: bool, repository: Path) -> None:
    """Tracked ones; at once where the caller may wait, else by the look after git has ended."""
    (repository / "new").touch()
    if change:
        (repository / "inner" / "a.py").write_text("2\n")

    assert DirtyLook(str(repository), waits=True).look(False) is change

    later = DirtyLook(str(repository), waits=False)
    until, found = time.monotonic() + limit(20), None
    while found is None and time.monotonic() < until:
        found = later.look(False)
    assert found is change
    assert later.look(False) is None


def test_a_run_that_is_over_at_once_starts_no_git(tmp_path: Path) -> None:
    """Nobody has waited for it."""
    look = DirtyLook(str(tmp_path), waits=False)

    assert look.look(True) is None
    assert look._process is None


def test_without_git_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no look is taken again."""
    monkeypatch.setenv("PATH", str(tmp_path))
    look = DirtyLook(str(tmp_path), waits=False)

    assert [None, None] == [look.look(False), look.look(True)]
