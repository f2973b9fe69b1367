"""The code of a task class as a fingerprint: name → digest, equal as long as the code means the same.

Compared is the syntax tree without comments, formatting, docstrings and annotations, in a dump of our own, so that the
same source gives the same digest on every Python. Where there is no source (a class made by `exec`), the bytecode is
taken, which is not the same on every Python.
"""
from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any
from weakref import WeakKeyDictionary

from taskproc.modules import object_name
from taskproc.tasks.future import Upstream

_OWN = "taskproc.tasks."
_HAS_DOCSTRING = 0x4000000  # inspect.CO_HAS_DOCSTRING, new in Python 3.14

# Not part of what code does, or not there on every Python
_IGNORED = frozenset({"ctx", "kind", "type_comment", "returns", "annotation", "type_params", "type_ignores"})

_digests: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Placeholder of the shape to come."""

    items: Mapping[str, str]
    texts: Mapping[str, str]
    untracked: tuple[str, ...]
    digest: str


def fingerprint(cls: type, given: Iterable[object] = ()) -> Fingerprint:
    """Placeholder of the shape to come."""
    bases = [base for base in cls.__mro__ if issubclass(base, Upstream) and not base.__module__.startswith(_OWN)]
    things: list[Any] = [] if getattr(cls, "task_version", None) is not None else [*bases, *given]
    items = {object_name(thing): code_digest(thing) for thing in things}
    return Fingerprint(items, dict(items), (), _digest(repr(sorted(items.items()))))


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Placeholder."""
    return "\n".join(f"--- {name}" for name in new if old.get(name) != new[name])


def code_digest(thing: Any) -> str:
    """Digest of the code of a class or function; what it was when it was first asked for."""
    found = _digests.get(thing)
    if found is None:
        found = _digests[thing] = _code_digest(thing)
    return found


def _code_digest(thing: Any) -> str:
    try:
        text = textwrap.dedent(inspect.getsource(thing))
        tree = ast.parse(text)
    except (OSError, TypeError, SyntaxError, IndentationError):
        return _digest("".join(_bytecode(thing)))
    return _digest("".join(_dump(tree)))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _dump(node: object) -> Iterator[str]:
    """The tree as text, in pieces, without recursion: generated code may be nested deep."""
    todo: list[object] = [node]
    while todo:
        some = todo.pop()
        if isinstance(some, ast.AST):
            fields = [(name, value) for name, value in ast.iter_fields(some) if name not in _IGNORED]
            yield f"({type(some).__name__}"
            todo.append(_END)
            for name, value in sorted(fields, reverse=True):
                if value is None or value == []:
                    continue  # fields that newer versions added are empty in older code
                todo += [_without_docstring(some, value) if name == "body" else value, _Name(name)]
        elif isinstance(some, _Name):
            yield f" {some.name}="
        elif isinstance(some, list):
            yield "["
            todo.append(_Name("]"))
            todo.extend(reversed(some))
        elif some is _END:
            yield ")"
        else:
            yield f"{type(some).__name__}:{some!r}"


class _Name:
    def __init__(self, name: str):
        self.name = name


_END = object()


def _without_docstring(owner: ast.AST, body: object) -> object:
    if not isinstance(body, list) or not isinstance(owner, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return body
    kept = [some for some in body if not _says_nothing(some)]
    return kept


def _says_nothing(statement: ast.AST) -> bool:
    """A docstring or another constant that stands alone, or an annotation without a value."""
    if isinstance(statement, ast.AnnAssign):
        return False
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _bytecode(thing: Any) -> Iterator[str]:
    """What there is to compare without source: code objects of a function, or of all methods of a class."""
    if isinstance(thing, type):
        for name, value in sorted(vars(thing).items()):
            inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
            if hasattr(inner, "__code__"):
                yield name
                yield from _bytecode(inner)
            elif not name.startswith("__") and isinstance(value, (bool, int, float, str, bytes, tuple, type(None))):
                yield f"{name}={value!r}"
        return
    code = getattr(thing, "__code__", None)
    if isinstance(code, CodeType):
        yield from _code_text(code)


def _code_text(code: CodeType) -> Iterator[str]:
    yield f"{code.co_name}{code.co_varnames}{code.co_names}{code.co_code.hex()}"
    # Until Python 3.13 the first constant of a function is its docstring or None, since then a flag tells
    documented = sys.version_info < (3, 14) or code.co_flags & _HAS_DOCSTRING
    for index, const in enumerate(code.co_consts):
        if isinstance(const, CodeType):
            yield from _code_text(const)
        elif index or not documented or not isinstance(const, str):
            yield _const_text(const)


def _const_text(const: object) -> str:
    """Its repr, but for sets (of `x in {"a", "b"}`), whose order is another in each process."""
    if isinstance(const, frozenset):
        return f"{{{', '.join(sorted(map(_const_text, const)))}}}"
    if isinstance(const, tuple):
        return f"({', '.join(map(_const_text, const))})"
    return repr(const)
