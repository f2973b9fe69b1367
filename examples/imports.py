"""Which imports take long, and why: a list of commands that grows while they run.

    python examples/imports.py asyncio email http.client

Each module is imported by an interpreter of its own, so that one does not profit from what another has loaded. From
what that interpreter tells of its time, the slowest import inside becomes the next command, down to one that has none.
"""
from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from taskproc.commands import Finished, TaskManager

MODULES = ("asyncio", "email.message", "http.client", "logging.config", "unittest", "xml.sax")
LINE = re.compile(r"^import time: +\d+ \| +(\d+) \| ( *)(\S+)$", re.MULTILINE)


class Imports(TaskManager):
    """Measures some modules, and what takes longest inside of each.

    Attributes:
        inside: module → the slowest one that it imports itself; microseconds: module → how long its import took.
    """

    def __init__(self, modules: list[str]):
        super().__init__(2)
        self.inside: dict[str, str] = {}
        self.microseconds: dict[str, int] = {}
        self._known: set[str] = set()
        self._read = 0
        for module in modules:
            self._measure(module)

    def update_task_descriptors(self) -> None:
        """Read what has ended since this was asked last; it may bring new work."""
        for record in self.finished[self._read :]:
            self._read += 1
            if record.exit_code == 0:
                self._learn(record)

    def _measure(self, module: str) -> None:
        if module not in self._known:
            self._known.add(module)
            self.task_descriptors.append([sys.executable, "-X", "importtime", "-c", f"import {module}"])

    def _learn(self, record: Finished) -> None:
        module = str(record.descriptor[-1]).split()[-1]  # type: ignore[index]  # it is a list of ours
        self.microseconds[module], within = imports(record, module)
        if within:
            self.inside[module] = max(within, key=lambda each: within[each])
            self._measure(self.inside[module])

    def chain(self, module: str) -> Iterator[str]:
        """A module, the slowest import in it, the slowest in that …"""
        told: set[str] = set()
        while module in self.microseconds.keys() - told:  # two modules may import each other
            told.add(module)
            yield f"{module} ({self.microseconds[module] / 1000:.1f} ms)"
            module = self.inside.get(module, "")


def imports(record: Finished, module: str) -> tuple[int, dict[str, int]]:
    """How long the import of a module took, and that of each that it imports itself, in microseconds.

    A module is told behind those that it imports, which stand further to the right.
    """
    assert record.stderr is not None, "it was started"
    lines = [(len(spaces), name, int(time)) for time, spaces, name in LINE.findall(record.stderr.read_text())]
    place = [name for _, name, _ in lines].index(module)
    own, _, microseconds = lines[place]
    within: dict[str, int] = {}
    for depth, name, time in reversed(lines[:place]):
        if depth <= own:
            break
        if depth == own + 2:
            within[name] = time
    return microseconds, within


if __name__ == "__main__":
    modules = sys.argv[1:] or list(MODULES)
    manager = Imports(modules)
    manager.run()
    for name in modules:
        print(" > ".join(manager.chain(name)))
    print(f"{len(manager.finished)} interpreters, {sum(record.seconds for record in manager.finished):.1f} s in all")
