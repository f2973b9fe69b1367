"""The most frequent words of some packages, counted by the tools of Unix: a graph of commands, not one long pipe.

    python -m taskproc examples/unix_tools.py -o cache --packages '["json", "html", "email"]'

It is McIlroy's pipeline (cat, tr, sort, uniq) over the source files of the standard library, package by package. Each
stage is a task: it reads the file that the one before has written, runs beside those of other packages, and is run
again only when a source file has changed, by a byte. No shell takes part.
"""
from __future__ import annotations

import sysconfig
from pathlib import Path

from taskproc import Command, Future, FutureDict, InputFile, Task

PACKAGES = ("html", "json", "logging")


def counted(package: str) -> Future[Path]:
    """A file with the words of a package, each with its count, the most frequent one first."""
    files = sorted((Path(sysconfig.get_path("stdlib")) / package).rglob("*.py"))
    if not files:
        raise ValueError(f"{package!r} is not a package of the standard library")
    text = Command(["cat", *map(InputFile, files)])
    # A Command as stdin stands for what it printed
    words = stage(["tr", "-cs", "[:alpha:]", "\\n"], text)
    small = stage(["tr", "[:upper:]", "[:lower:]"], words)
    grouped = stage(["sort"], small)
    return stage(["sort", "-k1,1nr", "-k2"], stage(["uniq", "-c"], grouped)).output("out.txt")


def stage(argv: list[str], before: Command) -> Command:
    """A filter behind another one. Bytes are letters as in C, so that all tools agree."""
    return Command(argv, stdin=before, stdout="out.txt", env={"LC_ALL": "C"})


class Main(Task):
    """Print the most frequent words of some packages.

    Args:
        packages: packages of the standard library
        top: how many words are shown
        least: how many letters they have at least
    """

    def __init__(self, packages: tuple[str, ...] = PACKAGES, top: int = 5, least: int = 5):
        self.files = FutureDict({package: counted(package) for package in packages})
        self.top, self.least = top, least

    def run_task(self) -> None:
        """Read the first lines of what was counted."""
        for package, file in self.files.get_result().items():
            pairs = [line.split() for line in file.read_text().splitlines()]
            long = [f"{pair[1]} ({pair[0]})" for pair in pairs if len(pair[-1]) >= self.least]
            print(f"{package:10} {', '.join(long[:self.top])}")


if __name__ == "__main__":
    Main.cli()
