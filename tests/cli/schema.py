"""docs/json.md as a schema: what a command writes must be objects with exactly the fields of its table there."""
from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"
_PLAIN: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "int": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "bool": lambda value: type(value) is bool,
    "null": lambda value: value is None,
}


@functools.cache
def tables() -> dict[str, dict[str, str]]:
    """Heading → field → its type in words."""
    found: dict[str, dict[str, str]] = {}
    for section in re.split(r"^#{2,3} ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE)
        found[section.partition("\n")[0]] = dict(rows)
    found["show"] = {**found["list: a task"], **found["show"]}
    found["history"] = {**found["status"], **found["history"]}
    found["history: a run"] = {**found["history"], **found["history: a run"]}
    return found


def fits(value: object, kind: str) -> bool:
    """Whether a value is of a type in words: `text or null`, `list of int`, `object of text`, `list of [input]`."""
    return any(_fits(value, each) for each in kind.split(" or "))


def _fits(value: Any, kind: str) -> bool:
    outer, _, inner = kind.partition(" of ")
    if outer == "list":
        return isinstance(value, list) and all(fits(each, inner) for each in value)
    if kind == "object":
        return isinstance(value, dict)
    if outer == "object" and inner:
        return isinstance(value, dict) and all(fits(each, inner) for each in value.values())
    if kind.startswith("["):
        heading = kind.strip("[]").partition("](")[0]
        return not problems(value, heading)
    return _PLAIN[kind](value)


def problems(value: object, heading: str) -> list[str]:
    """What is wrong with an object that should have the fields below a heading."""
    fields = tables()[heading]
    if not isinstance(value, dict):
        return [f"{heading}: not an object: {value!r}"]
    wrong = [f"{heading}: {name} is {value[name]!r}, not {kind}" for name, kind in fields.items()
             if name in value and not fits(value[name], kind)]  # fmt: skip
    missing = [f"{heading}: {name} is missing" for name in fields if name not in value]
    return wrong + missing + [f"{heading}: {name} is not described" for name in value if name not in fields]


def objects(text: str, heading: str) -> list[dict[str, Any]]:
    """The objects in the lines of an output, which must be as the page says, version first."""
    found: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    assert [] == [problem for each in found for problem in problems(each, heading)]
    assert [["v", 1]] * len(found) == [list(next(iter(each.items()))) for each in found]
    return found
