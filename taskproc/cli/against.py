"""The plan of a Git revision: its files in a temporary folder, judged in a process of its own, with the same cache.

A process of its own, because the modules of both have the same names. The files come from the object database by an
index of their own, so the repository is not touched: no worktree is registered in it, and none is left behind. What Git
does not track, such as data or a virtual environment, is linked into the folder, since the code may read it by a
relative path. The folder is removed however the command ends, except by SIGKILL.
"""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, NoReturn

from taskproc.cli.options import Options
from taskproc.cli.target import is_script, split
from taskproc.cli.usage import UsageError
from taskproc.errors import CacheError
from taskproc.folders import absolute_path

Row = Mapping[str, Any]
_SIGNALS = ("SIGTERM", "SIGHUP")
# The revision may hold another taskproc: ours is imported first, and its folder leaves the path again
_BOOT = """\
import sys
sys.path.insert(0, sys.argv[1])
import taskproc.cli.plan_command
del sys.path[0]
raise SystemExit(taskproc.cli.plan_command.plan_into(sys.argv[2], sys.argv[3:]))
"""


class Revision(NamedTuple):
    """A revision of a repository. `name`: as it was given; `commit`: its hash; `folder`: top of the working tree."""

    name: str
    commit: str
    folder: str


def find_revision(cls: type, name: str) -> Revision:
    """The revision `name` of the repository in which a class is defined. UsageError if there is none."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    here = os.path.dirname(os.path.abspath(file)) if isinstance(file, str) else os.getcwd()
    top = _git(here, "rev-parse", "--show-toplevel", error=f"{here!r} is not in a Git repository").strip()
    unknown = f"the repository {top!r} has no revision {name!r}"
    if name.startswith("-"):
        raise UsageError(unknown)
    commit = _git(here, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", error=unknown).strip()
    return Revision(name, commit, top)


def revision_rows(revision: Revision, options: Options) -> list[Row]:
    """The rows of `plan --json` for a revision. UsageError, with what was reported, if it cannot be planned."""
    with _ends_by_exception(), TemporaryDirectory(prefix="taskproc-against-") as above:
        # The folder is called as the original, which may be a package
        folder = os.path.join(os.path.realpath(above), os.path.basename(revision.folder))
        _check_out(revision, folder, os.path.join(above, "index"))
        _link_untracked(revision.folder, folder)
        return _planned(revision, options, folder, os.path.join(above, "rows"))


def _check_out(revision: Revision, folder: str, index: str) -> None:
    os.mkdir(folder)
    environ = {**os.environ, "GIT_INDEX_FILE": index}
    failed = f"the files of {revision.name!r} cannot be read"
    _git(revision.folder, "read-tree", revision.commit, error=failed, environ=environ)
    prefix = folder.replace(os.sep, "/") + "/"
    _git(revision.folder, "checkout-index", "--all", "--quiet", f"--prefix={prefix}", error=failed, environ=environ)
    # So that the project ends here, as it does in the original
    os.makedirs(os.path.join(folder, ".git"), exist_ok=True)


def _link_untracked(original: str, folder: str) -> None:
    """Link what Git does not track, unless the revision has it; but no new source files: these belong to the change."""
    failed = "its files cannot be listed"
    words = ("ls-files", "--others", "-z")
    new = _git(original, *words, "--exclude-standard", "--", "*.py", error=failed).split("\0")
    for name in _git(original, *words, "--directory", "--no-empty-directory", error=failed).split("\0"):
        link = os.path.join(folder, name.rstrip("/"))
        if name and name not in new and "__pycache__" not in name and not os.path.lexists(link):
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(os.path.join(original, name.rstrip("/")), link)


def _planned(revision: Revision, options: Options, folder: str, rows: str) -> list[Row]:
    """The rows that the process writes."""
    place, _ = split(options.script)
    file = _moved(os.path.abspath(place), revision.folder, folder)
    if is_script(place) and not os.path.exists(file):
        raise UsageError(f"{revision.name!r} has no file {place!r}", hint="")
    here = _moved(os.getcwd(), revision.folder, folder)
    os.makedirs(here, exist_ok=True)
    target = _moved(options.script, revision.folder, folder)
    if here == os.getcwd() and is_script(place):  # a script of another folder
        target = file + options.script[len(place) :]
    words = [target, *_kept_words(options), "-o", absolute_path(options.output, CacheError)]
    ours = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    environ = {**os.environ, "PYTHONPATH": _search_path(revision.folder, folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", _BOOT, ours, rows, *words], cwd=here, env=environ, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)  # fmt: skip
    try:
        return [json.loads(line) for line in Path(rows).read_text("utf-8").splitlines()]
    except FileNotFoundError:
        text = done.stdout.replace(folder, revision.folder).strip()
        raise UsageError(f"{revision.name!r} cannot be planned:\n{text}", hint="") from None


def _moved(path: str, original: str, folder: str) -> str:
    """A path below `original`, below `folder` instead; any other path as it is."""
    real = os.path.realpath(path)
    if os.path.isabs(path) and (real == original or real.startswith(original + os.sep)):
        return folder + real[len(original) :]
    return path


def _search_path(original: str, folder: str) -> str:
    """The import path, where folders of the project are those of the revision: also of an editable install."""
    moved = [_moved(os.path.abspath(path), original, folder) for path in sys.path if path]
    own = [path for path in moved if path.startswith(folder) and os.path.isdir(path) and "site-packages" not in path]
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    others = [path for path in given if not _moved(os.path.abspath(path), original, folder).startswith(folder)]
    return os.pathsep.join(dict.fromkeys([*own, *others]))


def _kept_words(options: Options) -> Sequence[str]:
    """The words behind the script, without those that only this process needs."""
    words, kept = list(options.words), []
    dropped = {"--json": bool(options.more.get("json")), "--exit-code": bool(options.more.get("exit_code"))}
    while words:
        word = words.pop(0)
        if word == "--against":
            words[:1] = []
        elif not word.startswith("--against=") and not dropped.get(word):
            kept.append(word)
    return kept


def _git(folder: str, *words: str, error: str, environ: Mapping[str, str] | None = None) -> str:
    """What git writes. UsageError if it fails, or is not installed."""
    program = shutil.which("git")
    if program is None:
        raise UsageError("--against needs git, which is not installed, or not in PATH", hint="")
    done = subprocess.run([program, "-C", folder, *words], env=environ, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="surrogateescape", check=False)  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise UsageError(error + (f" (git: {said[-1]})" if said else ""), hint="")
    return done.stdout


@contextmanager
def _ends_by_exception() -> Iterator[None]:
    """A block that a signal leaves by an exception, so that what is open is closed and removed."""

    def leave(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for name in _SIGNALS if (number := getattr(signal, name, None)) is not None]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            if before[number] is signal.SIG_DFL:
                signal.signal(number, leave)
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])
