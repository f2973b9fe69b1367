"""Names and paths that somebody's code might misread, and what lies around a cache that must not change."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = {
    "a quote": "a'b",
    "two quotes": 'a"b\'c',
    "a space": "a b",
    "a newline": "two\nlines",
    "a carriage return": "a\rb",
    "a tab": "a\tb",
    "the parent": "..",
    "itself": ".",
    "two up": "../../up",
    "an absolute path": "/taskproc-odd/x",
    "300 letters": "x" * 300,
    "300 letters that are two bytes each": "ü" * 300,
    "a NUL": "a\0b",
    "a lone surrogate": "\ud800",
    "no UTF-8": os.fsdecode(b"a\xff"),
    "other letters": "日本 ÄÖ",
    "a dash": "-rf",
    "a shell command": "$(touch HACKED)",
    "another": "a';touch HACKED;#",
    "and another": "`touch HACKED`",
    "a backslash": "a\\b\\",
    "a percent sign": "%2e%2e%s%",
    "a home": "~",
    "a place": "{task_directory}",
    "a star": "*",
    "an escape code": "\x1b[31m",
    "a name of ours": "run",
    "another of ours": "taskproc.json",
    "nothing": "",
}
# What can be one folder on Linux; 300 letters take two
PATHS = {
    "a quote": "a'b",
    "double quotes": '"a"',
    "a space": " a b ",
    "a newline": "two\nlines\n",
    "the parent": "down/../up",
    "300 letters": "/".join(["x" * 100] * 3),
    "other letters": "日本 ÄÖ",
    "no UTF-8": os.fsdecode(b"a\xff"),
    "a dash": "-rf",
    "a shell command": "$(touch HACKED)",
    "another": "a';touch HACKED;#",
    "a backslash": "a\\b\\n",
    "a percent sign": "%s%2e%",
    "a home": "~",
    "a place": "{task_id}*?",
}


def listing(folder: Path, but: Path) -> list[str]:
    """All that lies below `folder`, but for what lies below `but`."""
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if os.path.join(root, name) != str(but)]
        found += [os.path.join(root, name) for name in (*folders, *names)]
    return sorted(found)


@contextmanager
def untouched(folder: Path, but: Path) -> Iterator[None]:
    """See that the block makes and removes nothing in `folder`, which it stands in, but below `but`."""
    before, here = listing(folder, but), os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
    assert before == listing(folder, but)
    assert not os.path.exists("/taskproc-odd")
