"""Write the golden cache of the present format: `python tests/store/golden/make.py`.

Once for each format that is released; from then on the folder is never written again, and loads for ever
(test_golden.py). What it has to give is in `expected.json` beside it.
"""
from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from taskproc import Cache, FailedTaskError, LocalExecutor, Task
from taskproc.store import layout

HERE = Path(__file__).resolve().parent
VALUES: dict[str, Any] = {
    "none": None,
    "numbers": [0, -1, 2**70, 0.5, float("inf"), 1j, True],
    "text": ["", "plain", "ü\u4e2d\U0001f600", "\ud800", "\x00\n"],
    "bytes": b"\x00\xff" * 9,
    "containers": {"tuple": (1, (2,)), "list": [[], {}], 3: {4, 5}, None: frozenset({6})},
    "large": ["the same line again"] * 5000,
}
CODE = "c0de" * 16


class Plain(Task):
    """Gives one of the values."""

    def __init__(self, name: str):
        self.name = name

    def run_task(self) -> Any:
        return VALUES[self.name]


class Written(Task):
    """Gives a path into its data directory."""

    def __init__(self, name: str):
        self.source = Plain(name)

    def run_task(self) -> Path:
        path = self.task_directory / "file.txt"
        path.write_text(repr(self.source.get_result()), "utf-8")
        return path


class Failing(Task):
    """Fails."""

    def __init__(self, number: int):
        self.number = number

    def run_task(self) -> None:
        raise ValueError(f"on purpose: {self.number}")


def run(task: Task[Any]) -> Any:
    return task.run_graph(executor=LocalExecutor(), show_progress=False, force=True)[0]


def make(folder: Path) -> None:
    """A small cache of each thing that there is."""
    with Cache(folder) as cache:
        for name in VALUES:
            run(Plain(name))
        for _ in range(2):  # the older version stays, and its data
            run(Written("numbers"))
        try:
            run(Failing(1))
        except FailedTaskError:
            pass  # on purpose
        place = Plain("text")._taskproc.place
        cache.store.accept(place, next(cache.store.look(place)), CODE)
        cache.store.keep_code(place.name, CODE, {"items": {}, "texts": {}, "untracked": []})
    shutil.rmtree(folder / "run")
    (folder / ".gitignore").unlink()  # this one is to be in the repository


def expected(folder: Path) -> dict[str, Any]:
    """What must be found there, in JSON: key → versions, newest first."""
    store = Cache(folder).store
    found: dict[str, Any] = {}
    for arguments in sorted(folder.rglob("args.json")):
        told = json.loads(arguments.read_text("utf-8"))
        place = layout.Place(told["task"], int(arguments.parent.name), told["key"])
        versions = [
            {
                "number": version.record.number,
                "stamp": list(version.record.stamp),
                "needs": sorted(version.record.needs),
                "accepted": sorted(version.record.accepted),
                "value": shown(store.load(version), folder),
            }
            for version in store.look(place)
        ]
        found[place.key] = {"name": place.name, "versions": versions}
    return found


def shown(value: Any, folder: Path) -> str:
    """A value as text that is the same everywhere; of a file below the cache its place and content."""
    if isinstance(value, Path):
        return f"{value.relative_to(folder).as_posix()}: {value.read_text('utf-8')}"
    return ascii(value)


def main() -> None:
    """Write cache and expectation of the present format, unless they are there."""
    folder = HERE / f"format-{layout.FORMAT}"
    if folder.exists():
        sys.exit(f"{folder} is there already, and stays as it was written")
    make(folder / "cache")
    text = json.dumps(expected(folder / "cache"), indent=1, sort_keys=True)
    (folder / "expected.json").write_text(text + "\n", "utf-8")
    print(f"wrote {folder}")


if __name__ == "__main__":
    main()
