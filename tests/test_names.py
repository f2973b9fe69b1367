"""Names in the package: one thing, one name; and the words of docstrings, comments and messages."""
from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_words import BANNED

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "taskproc"
FILES = sorted(PACKAGE.rglob("*.py"))

# Front doors, and two public modules that are named as the executors of `concurrent.futures` are
SHARED_FILES = frozenset({"__init__", "__main__", "processes", "threads"})
SHARED_CLASSES = frozenset({"Task", "TaskManager"})  # each of a public module of its own
SHARED_FUNCTIONS = frozenset({"main", "pqdm"})
# A function says what it gives or does
VAGUE = frozenset("beside text_of content_of found some thing things given told kept each there own data info".split())


def repeated(files: list[Path]) -> Iterator[str]:
    """Each name that stands for more than one file, class or public function, with the files."""
    places: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for path in files:
        name = str(path.relative_to(PACKAGE.parent)) if path.is_relative_to(PACKAGE) else path.name
        if path.stem not in SHARED_FILES:
            places["file", path.stem].append(name)
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name not in SHARED_CLASSES:
                places["class", node.name].append(name)
            elif isinstance(node, ast.FunctionDef) and node.name not in SHARED_FUNCTIONS and node.name[0] != "_":
                places["function", node.name].append(name)
    yield from (f"{kind} {name}: {', '.join(where)}" for (kind, name), where in places.items() if len(where) > 1)


def vague(files: list[Path]) -> Iterator[str]:
    """Functions whose names say nothing."""
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.strip("_") in VAGUE:
                yield f"{path.name}:{node.lineno}: {node.name}"


def banned(path: Path) -> Iterator[str]:
    """Banned words in the comments, docstrings and texts of a module, with their lines."""
    # The words of files that exist already stay
    stored = re.compile(r'^[f]?"(told|\.told\.json|.*\.told\.json)"$')
    for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) and not stored.match(token.string):
            text = re.sub(r"`[^`\n]*`|%\(\w+\)|\{[^{}]*\}", "``", token.string)
            for pattern, instead in BANNED.items():
                for match in re.finditer(pattern, text, re.IGNORECASE):
                    line = token.start[0] + text[: match.start()].count("\n")
                    yield f"{path.name}:{line}: {match[0]!r} ({instead})"


def test_one_thing_has_one_name() -> None:
    """No two files, classes or public functions share a name."""
    assert [] == list(repeated(FILES))


def test_a_name_says_what_it_is_for() -> None:
    """No function has a name that would fit any other as well."""
    assert [] == list(vague(FILES))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_words_are_plain(path: Path) -> None:
    """No module has a word of the list that the pages have to do without."""
    assert [] == list(banned(path))


def test_each_breach_is_caught(tmp_path: Path) -> None:
    """A second class, a second function, a vague name, and a word in a comment, a docstring or a message."""
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("class A: ...\ndef make(): ...\ndef _make(): ...\n")
    words = '    """He."""\n    "is no file"  # anew\n'
    other.write_text(f"class A: ...\ndef make(): ...\ndef _make(): ...\ndef found():\n{words}")

    assert ["class A: one.py, other.py", "function make: one.py, other.py"] == list(repeated([one, other]))
    assert ["other.py:4: found"] == list(vague([other]))
    assert ["other.py:5: 'He'", "other.py:6: 'is no '", "other.py:6: 'anew'"] == [
        line.split(" (")[0] for line in banned(other)
    ]
