"""`python -m tests.way [--workers]`: the way of one cold Choose(6, 3), as the functions of the package that it passes.

A profile hook notes each function of the package at its first call, and how deep it stands among others of the
package. The same tasks run once before in another cache, so what only the first run of a process does is not counted.
A worker is a fresh process: its start and the fingerprint of the class are counted, and so is its keeper until it
waits. What runs while a module is imported is not counted, and neither are lambdas and comprehensions.
"""
from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = f"{ROOT}{os.sep}taskproc{os.sep}"
_LOG = "TASKPROC_TESTS_WAY"  # variable of the environment: the file that all processes append to
_SITE = """\
from importlib import util
spec = util.spec_from_file_location("way", {!r})
way = util.module_from_spec(spec)
spec.loader.exec_module(way)
way.Hook().install()
"""


class Step(NamedTuple):
    """The first call of a function.

    Attributes:
        worker: whether it was made in the worker; depth: how many calls of the package it stands in there.
        line: where the function begins in the file, which tells it from others of its name.
    """

    worker: bool
    depth: int
    file: str
    line: int
    function: str


class Hook:
    """Writes each function of the package into the log, when it is called for the first time in this process."""

    def __init__(self) -> None:
        self._log = os.open(os.environ[_LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._seen: set[CodeType] = set()
        self._local = threading.local()

    def install(self) -> None:
        """From now on, in this thread and in all that are started later."""
        threading.setprofile(self)
        sys.setprofile(self)

    def remove(self) -> None:
        """No more; a thread that was started meanwhile goes on until it ends."""
        sys.setprofile(None)
        threading.setprofile(None)

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """What the interpreter calls."""
        if event == "call":
            self._enter(frame)
        elif event == "return":
            stack = self._stack()
            if stack and stack[-1] is frame:
                stack.pop()

    def _stack(self) -> list[FrameType]:
        try:
            stack: list[FrameType] = self._local.stack
        except AttributeError:
            stack = self._local.stack = []
        return stack

    def _enter(self, frame: FrameType) -> None:
        code, stack = frame.f_code, self._stack()
        is_import = code.co_name == "<module>" and frame.f_globals.get("__name__") != "__main__"
        if not is_import and (not code.co_filename.startswith(PACKAGE) or code.co_name.startswith("<")):
            return
        stack.append(frame)
        if code in self._seen or any(frame.f_code.co_name == "<module>" for frame in stack):
            return
        if not code.co_flags & 2:  # CO_NEWLOCALS: without it this is the body of a class
            return
        self._seen.add(code)
        name = getattr(code, "co_qualname", code.co_name)
        line = f"{os.getpid()}\t{len(stack)}\t{code.co_filename[len(PACKAGE):]}\t{code.co_firstlineno}\t{name}\n"
        try:
            os.write(self._log, line.encode())
        except OSError:
            self.remove()  # the keeper of a worker closes what is not its own: it waits from now on


@contextlib.contextmanager
def _logged(log: Path) -> Iterator[None]:
    """Inside the block the processes that are started write into `log`, too."""
    (log.parent / "sitecustomize.py").write_text(_SITE.format(__file__))
    before = {name: os.environ.get(name) for name in (_LOG, "PYTHONPATH")}
    os.environ[_LOG] = str(log)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(log.parent), *filter(None, [before["PYTHONPATH"]])])
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def way(*, workers: bool) -> list[Step]:
    """The first call of each function on the way of Choose(6, 3), in their order; with `workers` in one of them."""
    from taskproc import Cache, LocalExecutor

    module = _example()
    options: dict[str, Any] = {"max_workers": 1} if workers else {"executor": LocalExecutor()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Cache(folder / "warm"):
            module.Choose(6, 3).run_graph(**options)
        with _logged(folder / "log"), Cache(folder / "cold"):
            hook = Hook()
            hook.install()
            try:
                value, _ = module.Choose(6, 3).run_graph(**options)
            finally:
                hook.remove()
        assert value == 20
        return list(_steps((folder / "log").read_text()))


def _example() -> Any:
    spec = importlib.util.spec_from_file_location("binomial", ROOT / "examples" / "binomial.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["binomial"] = importlib.util.module_from_spec(spec)
    sys.path.append(str(ROOT / "examples"))  # where a worker finds it
    spec.loader.exec_module(module)
    return module


def _steps(log: str) -> Iterator[Step]:
    for line in log.splitlines():
        pid, depth, file, number, function = line.split("\t")
        yield Step(int(pid) != os.getpid(), int(depth), file, int(number), function)


def counts(steps: list[Step]) -> tuple[int, int]:
    """How many files and how many functions are passed, those of both processes together."""
    return len({step.file for step in steps}), len({(step.file, step.line) for step in steps})


def main() -> None:
    """Print the way: a line per function, indented by its depth, with its file where that is another one."""
    parser = argparse.ArgumentParser(prog="python -m tests.way", description=main.__doc__)
    parser.add_argument("--workers", action="store_true", help="in a worker process, instead of inline")
    steps = way(workers=parser.parse_args().workers)
    last = (False, "")
    for step in steps:
        place = "" if last == (step.worker, step.file) else f"{'worker ' * step.worker}{step.file}"
        last = step.worker, step.file
        print(f"{place:36}{'. ' * min(step.depth - 1, 20)}{step.function}")
    files, functions = counts(steps)
    print(f"{files} files, {functions} functions")


if __name__ == "__main__":
    main()
