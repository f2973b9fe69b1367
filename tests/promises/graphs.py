"""Tasks that the promise tests share; importable, so that every executor can run them."""
from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

from taskproc import Const, Future, FutureDict, FutureList, Task


class Choose(Task):
    """Compute the binomial coefficient."""

    def __init__(self, n: int, k: int):
        self.left: Future[int]
        self.right: Future[int]
        if 0 < k < n:
            self.left = Choose(n - 1, k - 1)
            self.right = Choose(n - 1, k)
        elif k in (0, n):
            self.left = Const(0)
            self.right = Const(1)
        else:
            raise ValueError(f"{(n, k)}")

    def run_task(self) -> int:
        return self.left.get_result() + self.right.get_result()


class Echo(Task):
    """Gives its argument back."""

    def __init__(self, value: Any = 1, *, other: Any = None):
        self.value = value
        self.other = other

    def run_task(self) -> Any:
        return self.value.get_result() if hasattr(self.value, "get_result") else self.value


class Score(Task):
    def __init__(self, i: int):
        self.i = i

    def run_task(self) -> float:
        return self.i / 2


class Summary(Task):
    """Lists and dicts of futures."""

    def __init__(self, tasks: dict[str, Future[float]]):
        self.score_list = FutureList([Score(i) for i in range(10)])
        self.score_list.append(Score(10))
        self.score_dict = FutureDict(tasks)

    def run_task(self) -> tuple[list[float], dict[str, float]]:
        return self.score_list.get_result(), self.score_dict.get_result()


class MultiOutput(Task):
    def run_task(self) -> dict[str, list[int]]:
        return {"foo": [42, 43], "bar": []}


class Downstream(Task):
    def __init__(self) -> None:
        self.dep = MultiOutput()["foo"]
        self.second = MultiOutput()["foo"][1]

    def run_task(self) -> tuple[list[int], int]:
        return self.dep.get_result(), self.second.get_result()


class Writer(Task):
    """Writes into its directory what it finds there."""

    def __init__(self, name: str = "model.bin"):
        self.name = name

    def run_task(self) -> Path:
        before = sorted(path.name for path in self.task_directory.iterdir())
        path = self.task_directory / self.name
        path.write_text(repr(before))
        return path


class Printer(Task):
    """Prints from Python, from a child process and to standard error; tells what its log holds meanwhile."""

    def __init__(self, number: int = 0):
        self.number = number

    def run_task(self) -> str:
        print(f"python {self.number}")
        print(f"error {self.number}", file=sys.stderr)
        os.system(f"echo child {self.number}")
        return self.task_stdout.read_text() if self.task_stdout.exists() else ""


class WithGpu(Task):
    """Counts itself in a folder while it runs; gives the highest count that it saw."""

    task_label = ["gpu", "memory"]

    def __init__(self, number: int, folder: str):
        self.number = number
        self.folder = folder

    def run_task(self) -> int:
        mine = Path(self.folder, str(self.number))
        mine.touch()
        seen = 0
        for _ in range(50):
            seen = max(seen, len(list(Path(self.folder).iterdir())))
        mine.unlink()
        return seen


class WithMemory(WithGpu):
    task_label = "memory"


class Many(Task):
    """Needs whatever it is given."""

    def __init__(self, parts: list[Future[Any]]):
        self.parts = parts

    def run_task(self) -> list[Any]:
        return [part.get_result() for part in self.parts]


class Where(Task):
    """Tells in which process and thread it runs."""

    def __init__(self, number: int = 0):
        self.number = number

    def run_task(self) -> tuple[int, str]:
        return os.getpid(), threading.current_thread().name


class Labelled(Where):
    task_label = "remote"


class Environment(Task):
    """The value of an environment variable where it runs."""

    task_label = ["first", "second"]

    def __init__(self, name: str):
        self.name = name

    def run_task(self) -> str | None:
        return os.environ.get(self.name)


class Stored(Task):
    """A result of a megabyte that compresses well, not compressed."""

    task_compress_level = 0

    def run_task(self) -> bytes:
        return bytes(1_000_000)


class Squeezed(Task):
    def run_task(self) -> bytes:
        return bytes(1_000_000)


class Fails(Task):
    """Fails in the way it is told."""

    def __init__(self, how: str, after: Any = None):
        self.how = how
        self.after = after

    def run_task(self) -> Any:
        print(f"about to fail by {self.how}")
        if self.how == "exception":
            raise KeyError("no such thing")
        if self.how == "odd exception":
            raise OddError("text", threading.Lock())
        if self.how == "exit":
            sys.exit(0)
        if self.how == "death":
            os._exit(0)
        if self.how == "kill":
            os.kill(os.getpid(), 9)
        if self.how == "lock":
            return threading.Lock()
        return None


class OddError(Exception):
    """Cannot be pickled."""

    def __init__(self, text: str, lock: Any):
        super().__init__(text)
        self.lock = lock
