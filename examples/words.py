"""What the modules of the standard library talk about: a text pipeline over their own source files.

    python -m taskproc examples/words.py -o cache --packages '["json", "email", "asyncio"]'

Each file is read once, each package summed up from its files, and a word is typical of a package when it is frequent
there and rare elsewhere (tf-idf). Adding a package reads the files of that package only.
"""
from __future__ import annotations

import ast
import io
import math
import re
import sysconfig
import tokenize
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from taskproc import Future, FutureDict, FutureList, InputFile, Task

PACKAGES = ("asyncio", "email", "html", "http", "json", "logging", "urllib", "xml")
WORD = re.compile(r"[A-Z]?[a-z]{2,}")  # ParseError and parse_error are both made of parse and error


def library() -> Path:
    """Folder of the standard library's source."""
    return Path(sysconfig.get_path("stdlib"))


class ReadFile(Task):
    """Words and imports of one source file."""

    def __init__(self, file: Future[Path]):
        self.file = file

    def run_task(self) -> dict[str, Counter[str]]:
        """Count the words in names, and the top-level modules that are imported."""
        source = self.file.get_result().read_text(encoding="utf-8")
        names = [token.string for token in tokenize.generate_tokens(io.StringIO(source).readline)
                 if token.type == tokenize.NAME]
        return {
            "words": Counter(word.lower() for name in names for word in WORD.findall(name)),
            "imports": Counter(sorted(imported(source))),
        }


def imported(source: str) -> set[str]:
    """Top-level modules that a source text imports from outside its own package."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module.partition(".")[0])
    return modules


class Total(Task):
    """One count for many."""

    def __init__(self, counts: Sequence[Future[Counter[str]]]):
        self.counts = FutureList(counts)

    def run_task(self) -> Counter[str]:
        """Add them up."""
        total: Counter[str] = Counter()
        for count in self.counts.get_result():
            total.update(count)
        return total


class TypicalWords(Task):
    """The words of each package that set it apart from the others."""

    def __init__(self, packages: Mapping[str, Future[Counter[str]]], top: int):
        self.packages = FutureDict(packages)
        self.top = top

    def run_task(self) -> dict[str, list[str]]:
        """Rank the words of each package by frequency here times rarity elsewhere."""
        packages = self.packages.get_result()
        spread = Counter(word for words in packages.values() for word in words)

        def typical(words: Counter[str]) -> list[str]:
            def weight(word: str) -> float:
                return words[word] * math.log(len(packages) / spread[word])

            return sorted(words, key=lambda word: (-weight(word), word))[: self.top]

        return {package: typical(words) for package, words in packages.items()}


class Main(Task):
    """Print the typical words of some packages, and the modules that they import most.

    Args:
        packages: packages of the standard library
        top: how many words and modules are shown
    """

    def __init__(self, packages: tuple[str, ...] = PACKAGES, top: int = 6):
        # An InputFile is known by its content: a file that changes, here by another Python, is read again
        files = {package: [ReadFile(InputFile(file)) for file in files_of(package)] for package in packages}
        self.files = {package: len(found) for package, found in files.items()}
        self.top = top
        self.typical = TypicalWords({package: Total([file["words"] for file in found])
                                     for package, found in files.items()}, top)
        self.imports = Total([file["imports"] for found in files.values() for file in found])

    def run_task(self) -> None:
        """Print the two tables."""
        for package, words in self.typical.get_result().items():
            print(f"{package:12} {self.files[package]:3} files   {', '.join(words)}")
        most = self.imports.get_result().most_common(self.top)
        print("most imported:", ", ".join(f"{module} ({count})" for module, count in most))


def files_of(package: str) -> list[Path]:
    """Source files of a package, in order."""
    found = sorted((library() / package).rglob("*.py"))
    if not found:
        raise ValueError(f"{package!r} is not a package of the standard library")
    return found


if __name__ == "__main__":
    Main.cli()
