"""The fingerprint: item → digest of all the code that classes and functions reach inside the user's project.

Reached is the code that names lead to, as they are bound now; no code of the user runs for it, and nothing is imported.
Each name ends in one of four ways. It is followed, if it is a function or class of the user. It is counted, by the
statements that bind or change it and by its present value. It is known by the version of a package. Or it is listed as
untracked. If functions of the project assign or change a name (`global X`, `X[...] = `, `X.append()`), its value does
not count: such registries, counters and memos depend on what has run before, and results of processes with another
past would be stale.

Code can also be reached by its name alone, see `items_by_name`. For a fingerprint that is stored: `is_same` compares
it across formats, and `code_difference` shows what has changed.
"""
from __future__ import annotations

import ast
import gc
import json
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from types import CodeType
from typing import Any

from taskproc.frozen import frozen
from taskproc.modules import object_name, real_name
from taskproc.source.canonical import Unnamable, value_text
from taskproc.source.expressions import Imported
from taskproc.source.functions import Reads
from taskproc.source.project import project_package_versions
from taskproc.source.source_files import SourceFile, loaded_file, locate_module, present_file, text_lines
from taskproc.source.statements import statements_of
from taskproc.source.syntax import digest, first_line
from taskproc.source.walk import Walk

FORMAT = 2  # of items and texts: to be raised when the same code gets other ones


class _WalkLock:
    """Lets one thread walk at a time: what is found out about a file is stored in it once, and compared by identity."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Make a new lock: after a fork, the thread that held the old one does not exist in the child."""
        self.lock = threading.RLock()


_one_walk = _WalkLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_one_walk.renew)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Disable the garbage collector, which would double the time of the walk: there are 100,000 nodes of syntax.

    To freeze and unfreeze the objects moves them to the oldest generation, so they are not searched at once afterwards.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # objects that other code froze must stay frozen
            gc.freeze()
            gc.unfreeze()
        gc.enable()


@frozen
class Fingerprint:
    """The code that was reached.

    Attributes:
        items: `module:qualname` → 32 hex digits, sorted by name. The second function of a name has `#2` behind it.
        texts: the same names → source; empty for bytecode. Comments below the source say what its names are bound to,
            and the value of a name. A value without a source is given as canonical JSON.
        untracked: what could not be followed, sorted: a place, `module:qualname`, and what it is or does there.
        digest: 32 hex digits over the items.
        packages: top-level package → version, of installed packages that were reached, sorted by name.
    """

    items: Mapping[str, str]
    texts: Mapping[str, str]
    untracked: tuple[str, ...]
    digest: str
    packages: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> dict[str, object]:
        """The part that is stored, so that a later run can show what has changed."""
        texts = {"items": dict(self.items), "texts": dict(self.texts), "untracked": list(self.untracked)}
        return {"format": FORMAT, **texts}

    def called(self, name: str, instead: str) -> Fingerprint:
        """The same fingerprint in which `name`, and the items inside it, have the name `instead`."""

        def renamed(item: str) -> str:
            inside = item == name or item.startswith((f"{name}.", f"{name}#"))
            return instead + item[len(name) :] if inside else item

        items = dict(sorted((renamed(item), value) for item, value in self.items.items()))
        texts = {renamed(item): text for item, text in self.texts.items()}
        shown = {item: texts[item] for item in items}
        return Fingerprint(items, shown, self.untracked, digest_of(items), self.packages)


def fingerprint_of(
    things: Sequence[object],
    *,
    ends: Callable[[object], bool] = lambda thing: False,
    settings: frozenset[str] = frozenset(),
    near: Sequence[type] = (),
) -> Fingerprint:
    """The fingerprint of classes, functions and modules; of a module, all that it defines itself.

    If the source of a function is not found as it was loaded, its bytecode counts, which differs between Pythons. A
    warning says so once.

    Args:
        ends: whether a class is not followed, although something reaches it.
        settings: names of class attributes that do not count as code.
        near: classes that are not followed, but whose instances the code receives: the attributes that it reads count.

    Costs 10 µs per item if nothing has changed since the last call.
    """
    walk = Walk(ends, settings)
    for cls in near:
        walk.end(cls)
    with _one_walk.lock, _without_collector():
        walk.run(things)
    items = dict(sorted(walk.items.items()))
    return Fingerprint(
        items=items,
        texts={name: walk.texts[name] for name in items},
        untracked=tuple(sorted(walk.untracked)),
        digest=digest_of(items),
        packages=project_package_versions(walk.packages),
    )


def digest_of(items: Mapping[str, str]) -> str:
    """32 hex digits over items of code, sorted by name."""
    return digest(json.dumps(items, separators=(",", ":")))

_BY = "run_task"


def items_by_name(
    names: Iterable[str],
    *,
    ends: Callable[[object], bool] = lambda thing: False,
    settings: frozenset[str] = frozenset(),
) -> Mapping[str, str]:
    """Item → digest of the code with these names, and of all that it reaches, read from the files.

    For code that was seen to run and that the source does not lead to. Nothing is imported, so its modules may be
    loaded or not. Code that no longer exists has no item. A file is read again only after it has changed.

    Args:
        names: `module:name`, or `module` for all of it.
        ends, settings: as in `fingerprint_of`; classes in `names` are followed in any case.
    """
    names = list(names)
    roots = frozenset(names)

    def is_end(thing: object) -> bool:
        return ends(thing) and object_name(thing) not in roots

    walk = Walk(is_end, settings)
    walk.named = roots
    with _one_walk.lock:
        for name in names:
            module, _, symbol = name.partition(":")
            imported = Imported(module, symbol or None, 0)
            walk.follow(Reads((), ((imported, ()),), ()), _BY, {"__name__": "", "__package__": ""}, None, {})
        walk.run(())
    return dict(walk.items)


def name_of_code(code: CodeType, module: str) -> str | None:
    """`module:name` of the statement at the top of `module` in which `code` stands.

    None if the module is not found by this name, or if the text from which it was loaded does not contain the code.
    """
    module = real_name(module)
    path, loaded = locate_module(module)
    if not path or not path.endswith(".py") or os.path.realpath(path) != os.path.realpath(code.co_filename):
        return None
    if code.co_name == "<module>":
        return module
    file = loaded_file(loaded) if loaded is not None else present_file(path)
    name = _top_name(file, code) if file is not None else None
    return f"{module}:{name}" if name else None


def covers(items: Collection[str], code: CodeType, module: str) -> bool:
    """Whether one of these items, `module:qualname`, contains the code."""
    name, parts = real_name(module), list[str]()
    for part in getattr(code, "co_qualname", code.co_name).split("."):
        parts.append(part)
        if f"{name}:{'.'.join(parts)}" in items:
            return True
    if not parts[0].startswith("<"):
        return False
    # All lambdas at the top of a module have the same name
    _, loaded = locate_module(name)
    file = loaded_file(loaded) if loaded is not None else present_file(code.co_filename)
    return file is not None and f"{name}:{_top_name(file, code)}" in items


def _top_name(file: SourceFile, code: CodeType) -> str | None:
    """A name that is bound by the top-level statement in which `code` stands; None if it does not stand in the file."""
    scope = file.scope_of(code)
    first = getattr(code, "co_qualname", code.co_name).partition(".")[0]
    classes = {child.name for child in file.module.classes}
    if scope is None and not code.co_name.startswith("<") and code.co_name not in classes:
        return None
    if first in file.module.top.bound:
        return first
    line = code.co_firstlineno if scope is None else first_line(scope.node)
    return next(iter(_names_at(file, line)), None)


def _names_at(file: SourceFile, line: int) -> list[str]:
    """The names that the top-level statement in this line binds or changes."""
    leaves = statements_of(file).names
    for statement in file.tree.body:
        if first_line(statement) <= line <= (statement.end_lineno or 0):
            return [
                name
                for name in file.module.top.bound
                if any(leaf.path[0] is statement and not leaf.guarded for leaf in leaves.get(name, ()))
            ]
    return []


def is_older(then: Mapping[str, Any]) -> bool:
    """Whether a stored fingerprint has an older format. The first format was stored without its number."""
    found = then.get("format", 1)
    return isinstance(found, int) and found < FORMAT


def is_same(then: Mapping[str, Any], now: Fingerprint) -> bool:
    """Whether the code is still the code of a stored fingerprint that has an older format.

    Digests of two formats cannot be compared, but the names and texts of all items are stored with them. If each item
    still exists with the same text, nothing has changed. Anything that cannot be compared counts as changed.
    """
    items, texts = then.get("items"), then.get("texts")
    if not isinstance(items, Mapping) or not isinstance(texts, Mapping):
        return False
    if not items.keys() <= now.items.keys():
        return False
    added = {_last_name(item) for item in now.items.keys() - items.keys()}
    return all(
        now.items[item] == value or _is_same_text(value, str(texts.get(item)), now.texts[item], added)
        for item, value in items.items()
    )


def _is_same_text(value: object, then: str, now: str, added: set[str]) -> bool:
    """Whether the text of an item says the same although its digest differs. `added`: last names of new items."""
    if digest(then) == value:  # then the text was the value of a constant, in JSON
        return now == then or then in _value_texts(now)
    source, notes = _source_and_notes(then)
    source_now, notes_now = _source_and_notes(now)
    kept = {note[2:].partition(" ")[0] for note in notes_now}
    gone = [note[2:] for note in notes - notes_now]
    return bool(source) and source == source_now and not any(_says_more(note, kept, added) for note in gone)


def _says_more(note: str, kept: set[str], added: set[str]) -> bool:
    """Whether a note that is gone said more than `clean is lib:clean`, which newer formats do not note everywhere.

    Such a note is missed only if there is a new item of this name, for which it may stand now.
    """
    name, is_name, target = note.partition(" is ")
    return not is_name or _last_name(name) != _last_name(target) or name in kept or _last_name(name) in added


def _last_name(name: str) -> str:
    return name.rpartition(":")[2].rpartition(".")[2].partition("#")[0]


def _source_and_notes(text: str) -> tuple[str, frozenset[str]]:
    """Source, and the comments below it that say what its names stand for."""
    lines = text.split("\n")
    count = len(lines) - (lines[-1] == "")
    while count and lines[count - 1].startswith("# "):
        count -= 1
    return "\n".join(lines[:count]).rstrip(), frozenset(lines[count:]) - {""}


def _value_texts(text: str) -> set[str]:
    """The JSON of the values that a text gives for a constant: below its statements, or as a literal."""
    source, notes = _source_and_notes(text)
    found = {note.partition("= ")[2] for note in notes}
    try:
        (statement,) = ast.parse(source).body
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            found.add(value_text(ast.literal_eval(statement.value), str))
    except (ValueError, SyntaxError, RecursionError, MemoryError, Unnamable):
        pass  # several statements, or more than a literal
    return found

_MOST_LINES = 60


def code_difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """A unified diff of each item that differs, with three lines of context, at most 60 lines; empty if none differs.

    Args:
        old, new: `texts` of two fingerprints, or a part of them.
    """
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    lines = [line for name in names for line in _diff_lines(name, old.get(name), new.get(name))]
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], f"… {len(lines) - _MOST_LINES + 1} more lines"]
    return "".join(f"{line}\n" for line in lines)


def _diff_lines(name: str, old: str | None, new: str | None) -> Iterator[str]:
    before = f"{name} (before)" if old is not None else "(was not there)"
    now = f"{name} (now)" if new is not None else "(is not there any more)"
    then, new_lines = ([line.rstrip("\r\n") for line in text_lines(text or "")] for text in (old, new))
    if _without_values(then) != _without_values(new_lines):
        then, new_lines = _without_values(then), _without_values(new_lines)
    import difflib  # here: 2 ms, and only `why` shows a difference

    found = list(difflib.unified_diff(then, new_lines, before, now, lineterm=""))
    yield from found or [f"--- {before}", f"+++ {now}"]  # bytecode has no text


def _without_values(lines: list[str]) -> list[str]:
    """The lines without the value of a constant, which its statements show better."""
    return [line for line in lines if not line.startswith("# = ")]
