"""Tasks for batches, in a module that workers can import without pytest."""
from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taskproc.batch import Task


class Square(Task[int, int]):
    """Squares, one by one or a chunk at once, plus something."""

    def process_item(self, item: int, *, plus: int = 0, **kwargs: Any) -> int:
        return item * item + plus

    def process_items(self, items: Sequence[int], *, plus: int = 0, **kwargs: Any) -> list[int]:
        return [item * item + plus for item in items]


class Slowly(Task[int, int]):
    """Takes some milliseconds for an item."""

    def process_item(self, item: int, **kwargs: Any) -> int:
        time.sleep(0.002)
        return 2 * item


class Where(Task[Any, tuple[int, int]]):
    """Tells where it runs."""

    def process_item(self, item: Any, **kwargs: Any) -> tuple[int, int]:
        return os.getpid(), threading.get_ident()


class Fails(Task[int, int]):
    """At one item."""

    def __init__(self, at: int = 7):
        self.at = at

    def process_item(self, item: int, **kwargs: Any) -> int:
        if item == self.at:
            raise ZeroDivisionError(f"item {item}")
        return item


class Diary(Task[int, int]):
    """Writes a line for what is called, into `folder / diary`."""

    def __init__(self, folder: Path, *, fails_at: int | None = None, teardown_fails: bool = False):
        self.folder, self.fails_at, self.teardown_fails = folder, fails_at, teardown_fails
        self.write("made")

    def write(self, what: str) -> None:
        line = f"{what} {os.getpid()} {threading.get_ident()}\n".encode()
        handle = os.open(self.folder / "diary", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(handle, line)
        os.close(handle)

    def setup(self) -> None:
        self.write("setup")

    def teardown(self) -> None:
        self.write("teardown")
        if self.teardown_fails:
            raise RuntimeError("cannot be torn down")

    def process_item(self, item: int, **kwargs: Any) -> int:
        self.write("item")
        if item == self.fails_at:
            raise ZeroDivisionError(f"item {item}")
        return item


class HangsAt(Diary):
    """Leaves a file and hangs at an item."""

    def process_item(self, item: int, **kwargs: Any) -> int:
        if item == self.fails_at:
            (self.folder / "hangs").touch()
            time.sleep(600)
        return item


class Dies(Task[int, int]):
    """Its process dies at item 7: always, or the first time."""

    def __init__(self, folder: Path | None = None):
        self.folder = folder

    def process_item(self, item: int, **kwargs: Any) -> int:
        if item == 7 and (self.folder is None or not (self.folder / "dead").exists()):
            if self.folder is not None:
                (self.folder / "dead").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item


def diary(folder: Path) -> dict[str, list[str]]:
    """What → who, in order."""
    found: dict[str, list[str]] = {}
    for line in (folder / "diary").read_text().splitlines():
        what, who = line.split(" ", 1)
        found.setdefault(what, []).append(who)
    return found
