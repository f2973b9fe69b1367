"""Scenarios, as they stand in the text files of this folder."""
from __future__ import annotations

import importlib.util
import keyword
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXPECTED = ("reruns", "confessed", "fresh")
WAYS = ("process", "script", "seeds", "notebook", "reload", "stale", "edited")
_IN_ONE_PROCESS = ("notebook", "reload", "stale")  # which forks look at, as it is after the edit
MAIN = """\
import lib
from taskproc import Task

class Main(Task):
    def run_task(self):
        return lib.f()
"""
CELL = MAIN.replace("import lib\n", "").replace("lib.f", "f")
# Words that stand in most projects, and so say nothing about an edit
_COMMON = {*keyword.kwlist, *"lib main Main Task run_task self f make int str float list dict".split()}


class BadScenario(ValueError):
    """A text that is no scenario; it says where."""


@dataclass
class Scenario:
    """An edit of a project.

    Attributes:
        files: those that are named, in their order; also those without a line.
        old: file name → text before the edit.
        new: the same after it.
        expect: one of EXPECTED.
        words: of a confession: what it must hold. Of `fresh`: the class that must not run.
        how: one of WAYS.
        needs: a version of Python, names of packages.
    """

    theme: str
    name: str
    where: str
    files: list[str] = field(default_factory=list)
    old: dict[str, str] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)
    expect: str = ""
    words: tuple[str, ...] = ()
    how: str = "process"
    needs: tuple[str, ...] = ()

    def lacks(self) -> str:
        """What it needs and this system does not have; empty: nothing."""
        if self.how in _IN_ONE_PROCESS and not hasattr(os, "fork"):
            return "fork"
        for need in self.needs:
            if need[0].isdigit():
                if sys.version_info < tuple(map(int, need.split("."))):
                    return f"Python {need}"
            elif importlib.util.find_spec(need) is None:
                return need
        return ""

    def changed_names(self) -> frozenset[str]:
        """Names on the lines that the edit changes: a confession of one of them says enough."""
        lines: set[str] = set()
        for name in {*self.old, *self.new}:
            lines |= {*self.old.get(name, "").splitlines()} ^ {*self.new.get(name, "").splitlines()}
        found = {word for line in lines for word in re.findall(r"[^\W\d]\w*", line)}
        return frozenset(found - _COMMON)


def themes() -> list[str]:
    """The names of the files, without their endings."""
    return sorted(path.stem for path in HERE.glob("*.txt"))


def scenarios(only: Mapping[str, object] | frozenset[str] = frozenset()) -> list[Scenario]:
    """Those of all themes, or of some. Raises BadScenario."""
    return [each for theme in themes() if not only or theme in only for each in read(HERE / f"{theme}.txt")]


def read(path: Path) -> list[Scenario]:
    """The scenarios of a file."""
    text = path.read_text(encoding="utf-8")
    return [_checked(each) for each in _parsed(path.stem, text)]


def _parsed(theme: str, text: str) -> Iterator[Scenario]:
    scenario: Scenario | None = None
    file = ""
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{theme}.txt:{number}"
        if line.startswith("== "):
            if scenario is not None:
                yield scenario
            scenario, file = Scenario(theme, line[3:].strip(), where), "lib.py"
        elif not line.strip() or line[0] == "#":
            continue
        elif scenario is None:
            raise BadScenario(f"{where}: stands before the first scenario")
        elif line.startswith("@ "):
            file = line[2:].strip()
            scenario.files.append(file)
        elif line[0] in " -+":
            _add(scenario, file, line)
        else:
            _set(scenario, where, line)
    if scenario is not None:
        yield scenario


def _add(scenario: Scenario, file: str, line: str) -> None:
    for texts, other in ((scenario.old, "+"), (scenario.new, "-")):
        if line[0] != other:
            texts[file] = texts.get(file, "") + line[1:] + "\n"


def _set(scenario: Scenario, where: str, line: str) -> None:
    key, _, value = line.partition(":")
    words = tuple(value.replace(",", " ").split())
    if key == "expect" and words and words[0] in EXPECTED:
        scenario.expect, scenario.words = words[0], words[1:]
    elif key == "how" and len(words) == 1 and words[0] in WAYS:
        scenario.how = words[0]
    elif key == "needs":
        scenario.needs = words
    else:
        raise BadScenario(f"{where}: {line!r} is neither a line of a file nor an option")


def _checked(scenario: Scenario) -> Scenario:
    """With what it leaves out; an error where it cannot be played."""
    if not scenario.expect:
        raise BadScenario(f"{scenario.where}: {scenario.name!r} expects nothing")
    for file in scenario.files:
        if file not in scenario.old and file not in scenario.new:  # an empty one, such as an __init__.py
            scenario.old[file] = scenario.new[file] = ""
    if scenario.old == scenario.new:
        raise BadScenario(f"{scenario.where}: {scenario.name!r} has no edit")
    main, text = ("main", CELL) if scenario.how == "notebook" else ("main.py", MAIN)
    for texts in (scenario.old, scenario.new):
        texts.setdefault(main, text)
    for name in {*scenario.old, *scenario.new}:
        if name.endswith(".py"):
            _compiles(scenario, name)
    return scenario


def _compiles(scenario: Scenario, name: str) -> None:
    for texts in (scenario.old, scenario.new):
        try:
            compile(texts.get(name, ""), name, "exec", dont_inherit=True)
        except SyntaxError as error:
            if not any(need[0].isdigit() for need in scenario.needs):
                raise BadScenario(f"{scenario.where}: {scenario.name!r}: {name}:{error.lineno}: {error.msg}") from None
