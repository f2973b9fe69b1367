"""The help of a task: its docstring, and its parameters as flags with types, defaults and descriptions.

Descriptions come from `Args:` (or `Attributes:`) in the docstring of the class or of its `__init__`; so do those of the
fields of a dataclass, each of which is a flag with a dot.
"""
from __future__ import annotations

import enum
import inspect
import os
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from taskproc.cli.parameters import Parameter
from taskproc.cli.typed_values import REQUIRED, hint_text, is_record, record_fields, takes_json, union_members

_SECTION = re.compile(r"(?:args|arguments|parameters|attributes|keyword args|keyword arguments):\s*$", re.IGNORECASE)
_ENTRY = re.compile(r"(\s+)(\*{0,2}\w+(?:, *\w+)*)(?: *\([^)]*\))?: *(.*)$")
_WIDEST_FLAG = 28

Row = tuple[str, str]  # the flag with its type, and its description


def description(cls: type, purpose: str, parameters: Mapping[str, Parameter], kwargs: Mapping[str, Any]) -> str:
    """Docstring, purpose, and a table of the parameters. `kwargs`: defaults that replace those of the parameters."""
    own = _without_arguments(_docstring(cls), parameters)
    return "\n\n".join(filter(None, [own, purpose, _table(cls, parameters, kwargs)]))


def _docstring(thing: Any) -> str:
    own = vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__
    # For a class without a docstring, dataclasses writes the signature
    if not own or (isinstance(thing, type) and own.startswith(f"{thing.__name__}(")):
        return ""
    first, _, rest = own.lstrip().partition("\n")
    # cleandoc, and Python itself since 3.13, use the indentation of the second line for the whole text
    return f"{first}\n{textwrap.indent(rest, ' ')}" if _SECTION.match(first) else inspect.cleandoc(own)


def _table(cls: type, parameters: Mapping[str, Parameter], kwargs: Mapping[str, Any]) -> str:
    if not parameters:
        return ""
    words = _words_of(cls)
    rows: list[Row] = []
    for entry in parameters.values():
        default, text = kwargs.get(entry.name, entry.default), words.get(entry.name, "")
        if entry.is_flag:
            rows += _rows(entry.name, entry.hint, default, text, ())
        else:
            rows.append((f"{entry.name} (by --kwargs only)", _joined(text, default)))
    how = " (lists, tuples and dicts in JSON)" if any(takes_json(entry.hint) for entry in parameters.values()) else ""
    lines = "\n".join(_lines(rows))
    return f"parameters of {cls.__qualname__}{how}:\n{textwrap.indent(lines, '  ')}"


def _rows(name: str, hint: Any, default: object, text: str, around: tuple[type, ...]) -> Iterator[Row]:
    """The row of a flag, and the rows of the fields of its value."""
    record = next((kind for kind in union_members(hint) if is_record(kind) and kind not in around), None)
    fields = list(record_fields(record, default)) if record is not None else []
    shown = text if fields and default is not REQUIRED and default is not None else _joined(text, default)
    yield f"{'  ' * len(around)}--{name} {hint_text(hint)}", shown
    if record is not None:
        words = _words_of(record)
        for field, inner, value in fields:
            yield from _rows(f"{name}.{field}", inner, value, words.get(field, ""), (*around, record))


def _joined(text: str, default: object) -> str:
    how = "required" if default is REQUIRED else f"default: {_as_written(default)}"
    return f"{text}; {how}" if text else how


def _as_written(default: object) -> str:
    """A default as it would follow its flag; a text is quoted, because it may be empty."""
    if isinstance(default, enum.Enum):
        return default.name
    if isinstance(default, os.PathLike):
        return os.fsdecode(default)
    if type(default) in (list, tuple) and default:
        inner = ", ".join(map(_as_written, default))  # type: ignore[call-overload]  # it is one of these
        return f"[{inner}]" if type(default) is list else f"({inner}{',' * (len(default) == 1)})"  # type: ignore[arg-type]
    if type(default) is dict:
        return f"{{{', '.join(f'{_as_written(key)}: {_as_written(value)}' for key, value in default.items())}}}"
    return repr(default)


def _lines(rows: list[Row]) -> Iterator[str]:
    """A table: flags on the left, and their descriptions, wrapped to the width of the terminal, on the right."""
    width = min(_WIDEST_FLAG, max(len(flag) for flag, _ in rows))
    columns = max(shutil.get_terminal_size().columns - width - 6, 30)
    for flag, words in rows:
        first, *more = textwrap.wrap(words, columns, break_long_words=False, break_on_hyphens=False) or [""]
        if len(flag) > width and more:
            yield flag
            flag = ""
        yield f"{flag:<{width}}  {first}".rstrip()
        yield from (f"{'':<{width}}  {line}" for line in more)




def _words_of(cls: type) -> dict[str, str]:
    """Name → description, from the docstrings of a class, its bases and their `__init__`."""
    words: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        for thing in filter(None, (base, vars(base).get("__init__"))):
            for section in _sections(_docstring(thing).splitlines()):
                words.update(_entries(section))
    return words


def _sections(lines: list[str]) -> Iterator[list[str]]:
    """The lines of each section about arguments, with its title."""
    starts = [number for number, line in enumerate(lines) if _SECTION.match(line)]
    for start in starts:
        rest = lines[start + 1 :]
        end = next((number for number, line in enumerate(rest) if line[:1].strip()), len(rest))
        yield lines[start : start + 1 + end]


def _entries(section: list[str]) -> dict[str, str]:
    """Name → description, from a section in Google style."""
    entries: dict[str, str] = {}
    names: list[str] = []
    indent = None
    for line in section[1:]:
        entry = _ENTRY.match(line)
        if entry and (indent is None or len(entry[1]) <= len(indent)):
            indent = entry[1]
            names = [name.strip("* ") for name in entry[2].split(",")]
            entries.update(dict.fromkeys(names, entry[3].strip()))
        elif line.strip():
            entries.update({name: f"{entries[name]} {line.strip()}".strip() for name in names})
    return {name: words.removesuffix(".") if words.count(".") == 1 else words for name, words in entries.items()}


def _without_arguments(text: str, parameters: Mapping[str, Parameter]) -> str:
    """A docstring without the sections whose entries all are descriptions of flags."""
    for section in list(_sections(text.splitlines())):
        entries = _entries(section)
        if entries and entries.keys() <= parameters.keys():
            text = text.replace("\n".join(section).rstrip(), "", 1)
    return re.sub(r"\n{3,}", "\n\n", text).strip()
