"""Tasks behind prefix commands, in caches with odd paths: 12 commands × 15 paths."""
from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

from taskproc import Cache, LocalExecutor
from tests.fault import journal
from tests.fault.graphs import Total, expected
from tests.fault.odd import PATHS, untouched

PREFIXES: dict[str, str | Sequence[str]] = {
    "none": "",
    "env": "env",
    "env with a variable": "env A='b c'",
    "nice": "nice -n 1",
    "sh": "sh -c '\"$@\"' sh",
    "bash": "bash -c 'exec \"$@\"' bash",
    "a place": ["env", "A={task_directory}"],
    "timeout": "timeout 100",
    "setsid": "setsid --wait",
    "another folder": ["sh", "-c", 'cd / && "$@"', "sh"],
    "nohup": "nohup",
    "flock": ["flock", "{task_directory}/a lock"],
}


def every_cell() -> Iterator[tuple[str, str]]:
    """All commands with all paths."""
    for prefix in PREFIXES:
        for path in PATHS:
            yield prefix, path


def some_cells() -> Iterator[tuple[str, str]]:
    """Each command and each path at least once."""
    prefixes = cycle(PREFIXES)
    for path in PATHS:
        yield next(prefixes), path


def has_command(prefix: str) -> bool:
    """Whether this machine has the command."""
    words = PREFIXES[prefix]
    first = (shlex.split(words) if isinstance(words, str) else list(words))[:1]
    return not first or shutil.which(first[0]) is not None


def trial(folder: Path, prefix: str, path: str) -> list[str]:
    """What is wrong about a run behind the command, in a cache at the path; nothing, if all is well."""
    journal.begin(folder)
    (folder / "journal").touch()
    cache = Path(os.path.normpath(folder / "odd" / PATHS[path]))
    cache.mkdir(parents=True)
    faults = []
    with untouched(folder, cache), Cache(os.path.join("odd", PATHS[path])):
        task = Total(7)
        value, _ = task.run_graph(executor=LocalExecutor(), prefixes={task.task_name: PREFIXES[prefix]})
        if value != expected(7):
            faults.append("a wrong answer")
        if not task.task_stdout_caller.exists():
            faults.append("it did not run behind a command")
    ran = journal.counts(folder / "journal")
    return faults + ([] if ran["start Total 7"] == 1 else [f"ran {dict(ran)}"])
