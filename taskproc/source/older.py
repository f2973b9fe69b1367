"""Whether code is still what an earlier version of taskproc has seen of it.

Each way of looking gives digests of its own, so a digest of an older one says nothing now. But what it stood for was
kept: the names of all items, and their texts. If each of these is there now with the same text, then nothing has
changed that was ever looked at. What cannot be compared counts as changed.
"""
from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from taskproc.source.constants import Unnamable, text_of
from taskproc.source.dump import digest
from taskproc.source.fingerprint import FORMAT, Fingerprint


def is_older(then: Mapping[str, Any]) -> bool:
    """Whether what was kept of some code is of an older way of looking; the first one did not say which it was."""
    found = then.get("format", 1)
    return isinstance(found, int) and found < FORMAT


def is_same(then: Mapping[str, Any], now: Fingerprint) -> bool:
    """Whether each item of code that was kept in an older way is there now as it was then."""
    items, texts = then.get("items"), then.get("texts")
    if not isinstance(items, Mapping) or not isinstance(texts, Mapping):
        return False
    if not items.keys() <= now.items.keys():
        return False
    added = {_last(item) for item in now.items.keys() - items.keys()}
    return all(
        now.items[item] == value or _is_same_text(value, str(texts.get(item)), now.texts[item], added)
        for item, value in items.items()
    )


def _is_same_text(value: object, then: str, now: str, added: set[str]) -> bool:
    """Whether the text of an item says the same, where its digest does not. `added`: last names of what is new."""
    if digest(then) == value:  # then the text was the value of a constant, in JSON
        return now == then or then in _values(now)
    source, notes = _parts(then)
    source_now, notes_now = _parts(now)
    kept = {note[2:].partition(" ")[0] for note in notes_now}
    gone = [note[2:] for note in notes - notes_now]
    return bool(source) and source == source_now and not any(_says_more(note, kept, added) for note in gone)


def _says_more(note: str, kept: set[str], added: set[str]) -> bool:
    """Whether a note that is gone has said more than `clean is lib:clean`: that is not noted everywhere any more.

    Such a one is missed only where something new of this name is there, which it may stand for now.
    """
    name, is_name, target = note.partition(" is ")
    return not is_name or _last(name) != _last(target) or name in kept or _last(name) in added


def _last(name: str) -> str:
    return name.rpartition(":")[2].rpartition(".")[2].partition("#")[0]


def _parts(text: str) -> tuple[str, frozenset[str]]:
    """Source, and the comments below it that say what its names stand for."""
    lines = text.split("\n")
    count = len(lines) - (lines[-1] == "")
    while count and lines[count - 1].startswith("# "):
        count -= 1
    return "\n".join(lines[:count]).rstrip(), frozenset(lines[count:]) - {""}


def _values(text: str) -> set[str]:
    """The JSON of what a constant is, as far as its text says that: below its statements, or by a literal."""
    source, notes = _parts(text)
    found = {note.partition("= ")[2] for note in notes}
    try:
        (statement,) = ast.parse(source).body
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            found.add(text_of(ast.literal_eval(statement.value), str))
    except (ValueError, SyntaxError, RecursionError, MemoryError, Unnamable):
        pass  # several statements, or more than a literal
    return found
