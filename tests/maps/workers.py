"""Workers of maps, in a module that worker processes can import; the tests' own folder is on their path."""
from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from taskproc import delayed_init


def square(x: int) -> int:
    return x * x


def add(a: int, b: int = 10) -> int:
    return a + b


def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(f"odd: {x}")
    return x


def process_and_thread(x: object) -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def exits(x: int) -> int:
    """3 ends its interpreter, as far as that is allowed."""
    if x == 3:
        sys.exit(0)
    return x


def dies_always(x: int) -> int:
    """3 kills its process."""
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def dies_once(arguments: tuple[int, str]) -> int:
    """3 kills the first process that it is in; each call leaves a line."""
    x, folder = arguments
    with open(Path(folder) / "calls", "a") as file:
        file.write(f"{x}\n")
    if x == 3 and not (Path(folder) / "dead").exists():
        (Path(folder) / "dead").touch()
        os._exit(5)
    return x


def sleeps(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def waits_for(path: str) -> str:
    """Until the file is there."""
    while path and not Path(path).exists():
        time.sleep(0.01)
    return path


def leaves_pid(path: str) -> int:
    """Write who runs here, then never end."""
    if path:
        Path(path).write_text(str(os.getpid()))
        signal.pause()
    return 0


def a_lock(x: object) -> object:
    return threading.Lock() if x == 2 else x


class Unloadable:
    """Can be pickled, and not be unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("no number",)


def an_unloadable(x: object) -> object:
    return Unloadable() if x == 2 else x


class Buffered:
    """Gives the same list each time."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def __call__(self, x: object) -> list[object]:
        self.seen.append(x)
        return self.seen


buffered = delayed_init(Buffered)


@delayed_init
class Counter:
    """Counts its calls, and leaves a line in a file when it is made."""

    def __init__(self, name: object = None, made: str = ""):
        self.name, self.count = name, 0
        if made:
            with open(made, "a") as file:
                file.write(f"{name} {os.getpid()} {threading.get_ident()}\n")

    def __call__(self, x: int) -> tuple[object, int, int]:
        self.count += 1
        return self.name, x, self.count


@delayed_init
class Broken:
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no such device")

    def __call__(self, x: object) -> object:
        return x


@delayed_init
class Fatal:
    """Its process dies when it is made."""

    def __init__(self) -> None:
        os._exit(9)

    def __call__(self, x: object) -> object:
        return x


@delayed_init
class Moved:
    """Changes its process when it is created, and returns what it sees."""

    def __init__(self, folder: str):
        os.environ["MOVED"] = folder
        os.chdir(folder)

    def __call__(self, x: object) -> tuple[str, str]:
        return os.environ["MOVED"], os.getcwd()


def leaves_line(x: int, file: str) -> int:
    with open(file, "a") as calls:
        calls.write(f"{x}\n")
    return x * x


class Closes:
    """Writes a line into `file` when it begins and when it is closed; `fails`: its `close` raises."""

    def __init__(self, file: str, fails: bool = False):
        self.file, self.fails = file, fails

    def write(self, word: str) -> None:
        with open(self.file, "a") as file:
            file.write(f"{word} {os.getpid()} {threading.get_ident()}\n")

    def __call__(self, x: float) -> float:
        self.write("item")
        if x == 3:
            time.sleep(600)
        return x

    def close(self) -> None:
        self.write("close")
        if self.fails:
            raise RuntimeError("cannot be closed")


LaterCloses = delayed_init(Closes)
