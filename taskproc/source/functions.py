"""What one function says by itself: its syntax, its text, and the names that it takes from outside.

This depends on the immutable code object alone, so it is computed once for each. See `class_statements` for classes.
"""
from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from types import CellType, CodeType, FunctionType
from typing import Any

from taskproc.frozen import frozen
from taskproc.source.annotations import active_annotations
from taskproc.source.bytecode import ByCode, code_text, modules_read, names_read
from taskproc.source.expressions import Imported
from taskproc.source.scopes import Scope, Use
from taskproc.source.source_files import SourceFile, source_of
from taskproc.source.syntax import Chain, digest, syntax_text


@frozen
class Reads:
    """What a piece of code takes from outside.

    Attributes:
        chains: names of the module, as written: `utils.clean`.
        imports: targets of its own imports, each with the names that are read of it.
        alerts: what cannot be followed, in words: `calls eval`.
        free: names that a function around it binds.
        loose: attributes of expressions without a name, `b` of `a().b` and `a[0].b`, and of local variables.
        own: attributes that a method reads of its own class or instance.
        runs: all imports in it, whether the names that they bind are read or not.
    """

    chains: tuple[Chain, ...]
    imports: tuple[tuple[Imported, Chain], ...]
    alerts: tuple[str, ...]
    free: tuple[Chain, ...] = ()
    loose: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    runs: tuple[Imported, ...] = ()


@frozen
class Piece:
    """The code of a function or lambda.

    Attributes:
        file: None if its source was not found.
        qualname: its name in the source; None without source.
        unsteady: variables of the functions around it, and parameters, that the code changes in place, with the
            methods by which it does so.
        written: parameter → the constant that is written as its default.
    """

    file: SourceFile | None
    scope: Scope | None
    qualname: str | None
    digest: str
    text: str
    reads: Reads
    unsteady: Mapping[str, frozenset[str]] = field(default_factory=dict)
    written: Mapping[str, object] = field(default_factory=dict)


_pieces: ByCode[Piece] = ByCode()


def piece_of(code: CodeType, names: Mapping[str, Any]) -> Piece:
    """The piece of a function's code; `names` are its globals."""
    known = _pieces.get(code)
    if known is not None:
        return known
    found = source_of(code, names)
    return _pieces.put(code, _without_source(code) if found is None else _of_function(*found))


def _without_source(code: CodeType) -> Piece:
    imports = tuple((Imported(name, None, 0), ()) for name in modules_read(code))
    reads = Reads(tuple(names_read(code)), imports, ("has no source that does the same, so its bytecode counts",))
    return Piece(None, None, None, digest(code_text(code)), "", reads)


def _of_function(file: SourceFile, scope: Scope) -> Piece:
    node: Any = scope.node
    inner = active_annotations(file, node, itself=False)
    uses = [
        *scope.head, *scope.defaults, *inner.uses,
        *(use for child in scope.below() for use in (scope.uses if child is scope else child.all_uses())),
    ]  # fmt: skip
    unsteady: dict[str, frozenset[str]] = {}
    around: Scope | None = scope
    while around is not None:
        for name, methods in around.mutated.items():
            unsteady[name] = frozenset(methods) | unsteady.get(name, frozenset())
        around = around.parent
    return Piece(
        file=file,
        scope=scope,
        qualname=scope.qualname,
        digest=digest("".join(syntax_text(node, annotated=inner.nodes))),
        text=file.segment(node),
        reads=reads_of([*scope.below(), *inner.scopes], uses),
        unsteady=unsteady,
        written=_constant_defaults(node.args),
    )


def _constant_defaults(args: ast.arguments) -> dict[str, object]:
    names = [arg.arg for arg in [*args.posonlyargs, *args.args]]
    pairs = [*zip(names[len(names) - len(args.defaults) :], args.defaults)]
    pairs += [(arg.arg, value) for arg, value in zip(args.kwonlyargs, args.kw_defaults) if value is not None]
    return {name: default.value for name, default in pairs if isinstance(default, ast.Constant)}


def reads_of(scopes: Sequence[Scope], uses: Iterable[Use]) -> Reads:
    """What `uses` take from outside of `scopes`."""
    found = _ReadsOfUses({id(scope) for scope in scopes})
    for use in uses:
        found.add(use)
    runs = dict.fromkeys(target for scope in scopes for targets in scope.imports.values() for target in targets)
    return Reads(
        tuple(found.chains), tuple(found.imports), tuple(found.alerts), tuple(found.free),
        frozenset(found.loose), frozenset(found.own), tuple(runs),
    )  # fmt: skip


class _ReadsOfUses:
    """Gathers what uses take from outside."""

    def __init__(self, inside: set[int]):
        self.inside = inside
        self.chains: dict[Chain, None] = {}
        self.imports: dict[tuple[Imported, Chain], None] = {}
        self.alerts: dict[str, None] = {}
        self.free: dict[Chain, None] = {}
        self.loose: set[str] = set()
        self.own: set[str] = set()

    def add(self, use: Use) -> None:
        if use.kind == "alert":
            self.alerts[use.chain[0]] = None
        elif use.kind != "name":
            (self.own if use.kind == "own" else self.loose).update(use.chain)
        elif use.imported is not None:
            self.imports[use.imported, use.chain] = None
        elif (home := use.scope.home(use.chain[0])) is None:
            self.chains[use.chain] = None
        else:
            self.local(home, use.chain)

    def local(self, home: Scope, chain: Chain) -> None:
        """Add a name that one of the scopes, or a function or class around them, binds."""
        if id(home) not in self.inside and home.kind == "function":
            self.free[chain] = None
        targets = home.imports.get(chain[0], ()) if home.kind != "class" or id(home) in self.inside else ()
        for target in targets:
            self.imports[target, chain[1:]] = None
        if not targets:
            is_own = _is_method(home) and home.parameters[:1] == chain[:1]
            self.own.update(chain[1:2] if is_own else ())
            self.loose.update(chain[2:] if is_own else chain[1:])


def _is_method(scope: Scope) -> bool:
    return scope.kind == "function" and scope.parent is not None and scope.parent.kind == "class"

MISSING = object()


def cell_content(cell: CellType) -> object:
    """The value of a variable of an outer function; MISSING if it has none."""
    try:
        return cell.cell_contents
    except ValueError:  # the variable has no value yet
        return MISSING


def defaults_of(function: FunctionType) -> dict[str, object]:
    """Parameter → default."""
    code, values = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(values) : code.co_argcount]
    return {**dict(zip(names, values)), **(function.__kwdefaults__ or {})}


def is_written_default(value: object, parameter: str, piece: Piece) -> bool:
    """Whether a default is the constant in the source."""
    written = piece.written.get(parameter, MISSING)
    return type(value) is type(written) and value == written

_warned: set[str] = set()


def warn_bytecode(name: str) -> None:
    """Warn that the source of a function was not found; once for all functions of a class."""
    owner = name.rpartition(".")[0] or name
    if owner in _warned:
        return
    _warned.add(owner)
    import logging  # here: 3 ms, and seldom needed

    logging.getLogger("taskproc").warning(
        "%s: its source was not found as it was loaded, so its bytecode counts, which is not the same on every Python",
        owner,
    )
