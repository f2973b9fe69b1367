"""Code objects: whether two do the same, what they read from outside, and a text for one without source.

Each Python compiles the same source to other bytecode, so these texts are valid for one version only.
"""
from __future__ import annotations

import dis
import sys
import weakref
from collections.abc import Iterator
from types import CodeType
from typing import Generic, TypeVar

from taskproc.source.syntax import Chain

T = TypeVar("T")

_HAS_DOCSTRING = 0x4000000  # inspect.CO_HAS_DOCSTRING, new in Python 3.14
_OPTIMIZED = 0x1            # inspect.CO_OPTIMIZED: a function, not a class or module
_ROOTS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"})
_STEPS = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


class ByCode(Generic[T]):
    """A value for each code object, by identity: equal code objects may come from two files.

    Entries of code objects that no longer exist are removed each time the table has doubled. A callback of the weak
    reference would not do: Python swallows exceptions in it, and a Ctrl-C may arrive there.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[CodeType], T]] = {}
        self._most = 1024

    def get(self, code: CodeType) -> T | None:
        known = self._known.get(id(code))
        return known[1] if known is not None and known[0]() is code else None

    def put(self, code: CodeType, value: T) -> T:
        if len(self._known) >= self._most:
            self._known = {key: known for key, known in list(self._known.items()) if known[0]() is not None}
            self._most = max(1024, 2 * len(self._known))
        self._known[id(code)] = (weakref.ref(code), value)
        return value


def code_text(code: CodeType) -> str:
    """A text of what a code object does, without docstrings; equal for equal code, wherever it stands."""
    return "".join(_code_parts(code))


def _code_parts(code: CodeType) -> Iterator[str]:
    todo: list[CodeType] = [code]
    while todo:
        current = todo.pop()
        counts = (current.co_argcount, current.co_posonlyargcount, current.co_kwonlyargcount, current.co_flags & 0x2AF)
        names = (current.co_varnames, current.co_names, current.co_freevars, current.co_cellvars)
        table = getattr(current, "co_exceptiontable", b"")
        yield ascii((current.co_name, counts, names, current.co_code.hex(), table.hex()))
        documented = _is_documented(current)
        for index, constant in enumerate(current.co_consts):
            if isinstance(constant, CodeType):
                yield f"<{len(todo)}>"
                todo.append(constant)
            elif index or not documented or not isinstance(constant, (str, type(None))):
                yield _constant_text(constant)


def _is_documented(code: CodeType) -> bool:
    """Whether the first constant is a docstring or None: in each function; since Python 3.14 only if a flag says so."""
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & _HAS_DOCSTRING)
    return bool(code.co_flags & _OPTIMIZED) and not code.co_name.startswith("<")


def _constant_text(constant: object) -> str:
    """Its value and type. Sets, as in `x in {"a", "b"}`, are sorted: their order differs between processes."""
    if isinstance(constant, frozenset):
        return f"{{{', '.join(sorted(map(_constant_text, constant)))}}}"
    if isinstance(constant, tuple):
        return f"({', '.join(map(_constant_text, constant))})"
    return f"{type(constant).__name__}:{hex(constant) if type(constant) is int else ascii(constant)}"


def nested_codes(code: CodeType) -> Iterator[CodeType]:
    """All code objects inside a code object, outer ones first."""
    todo = [code]
    while todo:
        for constant in todo.pop().co_consts:
            if isinstance(constant, CodeType):
                yield constant
                todo.append(constant)


def names_read(code: CodeType) -> list[Chain]:
    """The chains of names that a function without source reads from outside."""
    found: dict[Chain, None] = {}
    for inner in (code, *nested_codes(code)):
        chain: Chain = ()
        for step in dis.get_instructions(inner):
            if chain and step.opname in _STEPS:
                chain = (*chain, str(step.argval))
                continue
            if chain:
                found[chain] = None
            chain = (str(step.argval),) if step.opname in _ROOTS else ()
    return list(found)


def modules_read(code: CodeType) -> list[str]:
    """The modules that a function without source imports."""
    return [str(step.argval) for inner in (code, *nested_codes(code)) for step in dis.get_instructions(inner)
            if step.opname == "IMPORT_NAME"]  # fmt: skip
