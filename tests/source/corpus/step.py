"""One run of the project of a scenario, in a process of its own; and the ways to start such a run.

process: `main.py` is imported. script: it runs as `__main__`. seeds: the same as process, in interpreters with other
hash seeds. notebook: all files are cells of `__main__`, run in the order of their names; the edited ones run again.
reload: the edited modules are reloaded in the process of the first run. stale: they are not. edited: the project
changes during the first run, in which the task itself puts `NAME.new` in the place of `NAME`.
"""
from __future__ import annotations

import importlib
import json
import linecache
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from taskproc import Cache, LocalExecutor

ROOT = Path(__file__).resolve().parents[3]
LONGEST = 300  # seconds; only so that a hang ends
_cells = 0


class Outcome(NamedTuple):
    """What a run gave.

    Attributes:
        result: as text, without addresses.
        ran: task class → how many of its tasks were run.
        said: all that was said on it, on standard error and by `explain()`.
        error: the traceback of what was raised; empty: nothing.
    """

    result: str = ""
    ran: Mapping[str, int] = {}
    said: str = ""
    error: str = ""


def write(folder: Path, texts: Mapping[str, str], before: Mapping[str, str] | None = None) -> None:
    """Write a project over what it was before; the times of the files are far apart, as those of edits are."""
    before = before or {}
    stamp = max([time.time() - 10_000, *(path.stat().st_mtime for path in folder.rglob("*") if path.is_file())]) + 100
    for name in before.keys() - texts.keys():
        (folder / name).unlink(missing_ok=True)
    for name, text in texts.items():
        if name in before and before[name] == text:
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (stamp, stamp))


def can_fork() -> bool:
    """Whether this system has forks; without them each run needs a new interpreter, and some ways are left out."""
    return hasattr(os, "fork")


def in_child(work: Callable[[], Outcome], log: Path) -> Outcome:
    """What `work` gives in a fork of this process; what it says goes to a file."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _child(work, log, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return Outcome(*json.loads(text)) if text else Outcome(error=f"it died: {log.read_text(errors='replace')[-500:]}")


def _child(work: Callable[[], Outcome], log: Path, writer: int) -> None:
    code = 1
    try:
        signal.alarm(LONGEST)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(output, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the project prints is no confession
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(json.dumps(guarded(work, log)).encode())
        code = 0
    finally:
        os._exit(code)


def guarded(work: Callable[[], Outcome], log: Path) -> Outcome:
    """What it gives, with what it said; or its error."""
    try:
        outcome = work()
    except BaseException:
        outcome = Outcome(error=traceback.format_exc())
    sys.stdout.flush()
    sys.stderr.flush()
    return outcome._replace(said=outcome.said + log.read_text(encoding="utf-8", errors="replace"))


def elsewhere(folder: Path, cache: Path, how: str, seed: str = "0") -> Outcome:
    """A run in a new interpreter, with a hash seed of its own."""
    command = [sys.executable, "-m", "tests.source.corpus.step", str(folder), str(cache), how]
    environ = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=LONGEST)
    if done.returncode:
        return Outcome(error=done.stderr)
    found = Outcome(*json.loads(done.stdout.splitlines()[-1]))
    return found._replace(said=found.said + done.stderr)


def enter(folder: Path) -> None:
    """Make this process one that was started in the folder of a project."""
    sys.dont_write_bytecode = True
    os.chdir(folder)
    sys.path[:] = [str(folder), *(path for path in sys.path if path)]
    if (folder / "site-packages").is_dir():
        sys.path.insert(1, str(folder / "site-packages"))
    sys.argv = ["main.py"]
    importlib.invalidate_caches()


def load(folder: Path, how: str) -> ModuleType:
    """The main module of the project; in a process that has not loaded it."""
    if how == "script":
        return _script(folder / "main.py")
    if how == "notebook":
        sys.modules["__main__"] = ModuleType("__main__")
        for name in sorted(path.name for path in folder.iterdir() if path.is_file()):
            cell(folder / name)
        return sys.modules["__main__"]
    return importlib.import_module("main")


def _script(path: Path) -> ModuleType:
    module = sys.modules["__main__"] = ModuleType("__main__")
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True), vars(module))
    return module


def cell(path: Path) -> None:
    """Run a file as a cell of a notebook."""
    global _cells
    _cells += 1
    text, name = path.read_text(encoding="utf-8"), f"<ipython-input-{_cells}-{path.name}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec", dont_inherit=True), vars(sys.modules["__main__"]))


def run(module: ModuleType, cache: Path) -> Outcome:
    """Run the entry of a module with a cache."""
    with Cache(cache):
        task = vars(module).get("make", vars(module).get("Main"))()
        result, stats = task.run_graph(executor=LocalExecutor())
        said = str(task.explain())
    ran = {name: count for name, count in stats["stats"].items() if count}
    # A first line that says that the entry is fresh names the entry, and is no confession
    said = "\n".join(line for line in said.splitlines() if " is fresh: " not in line)
    return Outcome(re.sub(r"0x[0-9a-f]+", "0x", repr(result)), ran, f"{said}\n")


def once(folder: Path, cache: Path, how: str = "process") -> Outcome:
    """All of a run, for a process that does nothing else."""
    enter(folder)
    return run(load(folder, how), cache)


if __name__ == "__main__":
    print(json.dumps(once(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])))
