"""Seconds until the code of a task is known that reaches COUNT functions in a tenth as many modules: see fan_in.py.

The modules have constants and classes and import each other. `cold` writes them. `first` is a look in a new process,
`again` another one in the same process.
"""
import importlib
import json
import sys
import time
from pathlib import Path

FUNCTIONS = 8  # of a module; two more are methods of its class

HEAD = '''"""Module {number}."""
import math
from dataclasses import dataclass

import {package}.m{before} as before
from {package} import m{half} as half

LIMIT_{number} = {number}
NAMES_{number} = ("first", "second", "third")
WEIGHTS_{number} = {{name: index * LIMIT_{number} for index, name in enumerate(NAMES_{number})}}


@dataclass
class Point{number}:
    """A point."""

    x: float = {number}.0
    y: float = 0.0

    def length(self) -> float:
        """Its distance from zero."""
        total = self.x ** 2 + self.y ** 2
        if total < LIMIT_{number}:
            return 0.0
        result = math.sqrt(total)
        return result

    def moved(self, other: "Point{number}") -> "Point{number}":
        """The sum of two."""
        x = self.x + other.x
        y = self.y + other.y
        names = [name for name in NAMES_{number} if name]
        if not names:
            raise ValueError(f"no names for {{x}} and {{y}}")
        return Point{number}(x, y)

'''
FUNCTION = '''
def step_{number}_{index}(values, scale={index}):
    """One of many small functions."""
    found = {{}}
    for position, value in enumerate(values):
        key = NAMES_{number}[position % len(NAMES_{number})]
        found[key] = found.get(key, 0) + scale * value + WEIGHTS_{number}[key]
    total = sum(sorted(found.values(), key=lambda some: -some))
    return total {calls}
'''
TASK = """
from taskproc import Task
from {package} import m{last}


class Main(Task):
    def run_task(self):
        return m{last}.step_{last}_0([1.0, 2.0])
"""


def write(folder: Path, package: str, modules: int) -> None:
    """The project: each module calls the one before it and the one halfway down, each function the next one."""
    place = folder / package
    place.mkdir()
    (place / "__init__.py").write_text("")
    for number in range(modules):
        before, half = max(number - 1, 0), number // 2
        text = HEAD.format(number=number, package=package, before=before, half=half)
        for index in range(FUNCTIONS):
            calls = f"+ step_{number}_{index + 1}([total])" if index + 1 < FUNCTIONS else ""
            if index == 1 and number:
                calls += f" + before.step_{before}_0([total]) + half.step_{half}_3([total])"
            if index == 2:
                calls += f" + Point{number}(total).moved(Point{number}()).length()"
            text += FUNCTION.format(number=number, index=index, calls=calls)
        (place / f"m{number}.py").write_text(text)
    (place / "main.py").write_text(TASK.format(package=package, last=modules - 1))


def main(folder: str, count: int, how: str) -> dict[str, float]:
    """Seconds to the code of the task, at once and again; and how many functions it has."""
    place, package, modules = Path(folder), "project", max(count // (FUNCTIONS + 2), 2)
    place.mkdir(exist_ok=True)
    if how == "cold":
        write(place, package, modules)
    sys.path.insert(0, str(place))
    from taskproc.tasks.task_code import fingerprint

    started = time.perf_counter()
    for number in range(modules):  # from below: a chain of imports is as deep as Python calls
        importlib.import_module(f"{package}.m{number}")
    task = importlib.import_module(f"{package}.main").Main
    imported = time.perf_counter()
    first = fingerprint(task)
    known = time.perf_counter()
    again = fingerprint(task)
    end = time.perf_counter()
    assert first == again
    functions = sum("def " in text.partition("(")[0] for text in first.texts.values())
    return {"imported": imported - started, "first": known - imported, "again": end - known, "answer": functions}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[3], int(sys.argv[2]), sys.argv[1])))
