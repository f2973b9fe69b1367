"""Code by the name that it had: read from its file, with what it reaches, whether its module is loaded by now or not.

For code that was seen to run and that no look at the source leads to. Nothing is imported for it.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from types import CodeType
from typing import Any

from taskproc.modules import object_name, real_name
from taskproc.source.files import SourceFile, read
from taskproc.source.fingerprint import _one
from taskproc.source.loading import loaded_file
from taskproc.source.lookups import Imported
from taskproc.source.pieces import Reads
from taskproc.source.statements import statements_of
from taskproc.source.unloaded import locate
from taskproc.source.walk import Walk

_BY = "run_task"


def items_by_name(
    names: Iterable[str],
    *,
    ends: Callable[[object], bool] = lambda thing: False,
    settings: frozenset[str] = frozenset(),
) -> Mapping[str, str]:
    """Item → digest of the code with these names, `module:name` or `module` for all of it, and of what it reaches.

    What is not there any more has no item. Within a process each file is read once as long as it does not change.

    Args:
        ends, settings: as in `fingerprint`; what is named itself is followed all the same.
    """
    names = list(names)
    roots = frozenset(names)

    def is_end(thing: object) -> bool:
        return ends(thing) and object_name(thing) not in roots

    walk = Walk(is_end, settings)
    walk.named = roots
    with _one.lock:
        for name in names:
            module, _, symbol = name.partition(":")
            imported = Imported(module, symbol or None, 0)
            walk.follow(Reads((), ((imported, ()),), ()), _BY, {"__name__": "", "__package__": ""}, None, {})
        walk.run(())
    return dict(walk.items)


def name_of_code(code: CodeType, module: str) -> str | None:
    """`module:name` of the statement, at the top of the module called `module`, in which `code` stands.

    None: that module is not found by this name, or the text that it was loaded from does not say what runs here.
    """
    module = real_name(module)
    path, loaded = locate(module)
    if not path or not path.endswith(".py") or os.path.realpath(path) != os.path.realpath(code.co_filename):
        return None
    if code.co_name == "<module>":
        return module
    file = loaded_file(loaded) if loaded is not None else read(path)
    name = _top_name(file, code) if file is not None else None
    return f"{module}:{name}" if name else None


def covers(items: Collection[str], code: CodeType, module: str) -> bool:
    """Whether one of these items, `module:qualname`, has the code in it."""
    name, parts = real_name(module), list[str]()
    for part in getattr(code, "co_qualname", code.co_name).split("."):
        parts.append(part)
        if f"{name}:{'.'.join(parts)}" in items:
            return True
    if not parts[0].startswith("<"):
        return False
    # A lambda at the top of a module, which shares its name with others
    _, loaded = locate(name)
    file = loaded_file(loaded) if loaded is not None else read(code.co_filename)
    return file is not None and f"{name}:{_top_name(file, code)}" in items


def _top_name(file: SourceFile, code: CodeType) -> str | None:
    """The name that the statement at the top level binds in which `code` stands; None: it does not stand there now."""
    scope = file.scope_of(code)
    first = getattr(code, "co_qualname", code.co_name).partition(".")[0]
    classes = {some.name for some in file.module.classes}
    if scope is None and not code.co_name.startswith("<") and code.co_name not in classes:
        return None
    if first in file.module.top.bound:
        return first
    line = code.co_firstlineno if scope is None else _first_line(scope.node)
    return next(iter(_names_at(file, line)), None)


def _names_at(file: SourceFile, line: int) -> list[str]:
    """The names that the statement at the top level binds or changes which stands in this line."""
    leaves = statements_of(file).names
    for statement in file.tree.body:
        if _first_line(statement) <= line <= (statement.end_lineno or 0):
            return [
                name
                for name in file.module.top.bound
                if any(leaf.path[0] is statement and not leaf.guarded for leaf in leaves.get(name, ()))
            ]
    return []


def _first_line(node: Any) -> int:
    decorators = getattr(node, "decorator_list", ())
    line: int = decorators[0].lineno if decorators else node.lineno
    return line
