"""The Git repository of the user's code: which commit is checked out, and whether files were changed since.

The commit is read from the files of the repository. Only git itself can say what was changed; it is started when a run
has lasted for a while, and what it says is taken later, so nobody waits for it.
"""
from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_AT_MOST = 10.0  # seconds for git; in a large repository on a slow disk it may take long
_GLANCE, _LAST = 0.005, 0.2  # seconds for which a look, and the end of a run, wait for git


def commit_of(folder: str) -> tuple[str, str] | None:
    """The root of the repository that a folder belongs to, and its commit; None if there is none."""
    for root in (Path(folder), *Path(folder).parents):
        try:
            found = _commit(root / ".git")
        except (OSError, ValueError):
            return None
        if found is not None:
            return str(root), found
    return None


def _commit(git: Path) -> str | None:
    """The commit of the repository at `git`; None if there is none. OSError or ValueError if it cannot be read."""
    if git.is_file():  # of a worktree or a submodule: it names the folder
        git = git.parent / git.read_text("utf-8").removeprefix("gitdir:").strip()
    elif not git.is_dir():
        return None
    head = (git / "HEAD").read_text("utf-8").strip()
    if not head.startswith("ref:"):
        return _checked(head)
    name = head.removeprefix("ref:").strip()
    common = git / (git / "commondir").read_text("utf-8").strip() if (git / "commondir").exists() else git
    for place in (git, common):
        if (place / name).is_file():
            return _checked((place / name).read_text("utf-8").strip())
    for line in (common / "packed-refs").read_text("utf-8").splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name:
            return _checked(commit)
    raise ValueError("it has no commit yet")


def _checked(text: str) -> str:
    if not _COMMIT.fullmatch(text):
        raise ValueError(f"not a commit: {text!r}")
    return text


class DirtyLook:
    """Finds out whether tracked files of the repository at `root` differ from its commit.

    Args:
        waits: the caller may wait, since it has a thread of its own.
    """

    def __init__(self, root: str, *, waits: bool):
        self._root, self._waits = root, waits
        self._process: subprocess.Popen[bytes] | None = None
        self._until = 0.0
        self._is_over = False

    def look(self, is_last: bool) -> bool | None:
        """Start git, or take what it says; None: not known yet, or never. A first look that is the last starts none."""
        if self._is_over or (is_last and self._process is None):
            return None
        if self._process is None:
            self._start()
        if self._process is None:
            return None
        return self._answer(self._process, _AT_MOST if self._waits else _LAST if is_last else _GLANCE, is_last)

    def _start(self) -> None:
        import subprocess  # here: 5 ms, and most runs are over before

        self._is_over = self._waits
        # Not what the configuration of the repository says is to be run; and no lock that others would wait for
        options = ["-C", self._root, "-c", "core.fsmonitor=false", "--no-optional-locks"]
        command = ["git", *options, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules"]
        self._until = time.monotonic() + _AT_MOST
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError:
            self._is_over = True  # there is no git here, or no more processes

    def _answer(self, process: subprocess.Popen[bytes], seconds: float, is_last: bool) -> bool | None:
        import subprocess

        try:
            output = process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            if is_last or time.monotonic() >= self._until:
                self._is_over = True
                process.kill()
                process.communicate()
            return None
        self._is_over = True
        return bool(output) if process.returncode == 0 else None
