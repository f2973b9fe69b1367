"""What the statements at the top level of a file do to names: which bind or change each name, and which act on it.

Of a compound statement only the parts that concern the name count: `if DEBUG: A = 1; B = 2` says `if DEBUG: B = 2` of
B. Statements below `if __name__ == "__main__"` count for names that no other statement binds; those that only type
checkers see never count.
"""
from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from taskproc.frozen import frozen
from taskproc.source.annotations import active_annotations
from taskproc.source.expressions import MUTATORS, Imported, import_target
from taskproc.source.functions import Reads, reads_of
from taskproc.source.scopes import Scope, Use
from taskproc.source.source_files import SourceFile
from taskproc.source.syntax import DEFINITIONS, Chain, bound_name, chain_of, digest, inner_statements, syntax_text

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_BINDERS = frozenset({"binds", "defines", "imports"})
# Builtin functions that change what a module defines, or run code to which no name leads
_DEEDS = frozenset({"globals", "locals", "vars", "setattr", "delattr", "exec", "eval", "__import__"})
# Printing, logging and plotting do not change a result
_HARMLESS = frozenset("logging warnings matplotlib seaborn plotly taskproc typing typing_extensions __future__".split())
# Words in the names of decorators by which a library registers a function, so that it runs without being named
_KEEPERS = frozenset(
    "accessor connect handler hook hookimpl listener listens on plugin receiver register subscribe".split()
)
_SETTERS = frozenset({"__setattr__", "__delattr__"})
_LONGEST = 20  # names of names
_RUNS = frozenset({"run_graph", "cli"})


class Leaf(NamedTuple):
    """A statement that concerns a name.

    Attributes:
        path: the compound statements around it, outermost first, and the statement.
        role: what it does to the name. It `binds`, `defines` or `imports` it, `changes` it (`X.a = `), `calls` it
            (`x()`), `acts` on it (`x.a()`), or `decorates` a definition with it.
        guarded: whether it stands below `if __name__ == "__main__"`.
        imported: the target of an import that binds the name.
        chain: the names that it acts on, the name first: `np.random.seed(1)`, `settings.RATE = 2`, `setup()`.
    """

    path: tuple[ast.stmt, ...]
    role: str
    guarded: bool
    imported: Imported | None = None
    chain: Chain = ()


@frozen
class Group:
    """Some statements of a file.

    Attributes:
        is_plain: whether it is one assignment of a constant, so that its text shows its value.
    """

    digest: str
    text: str
    reads: Reads
    is_plain: bool


class Statements:
    """The statements of one file."""

    def __init__(self, file: SourceFile):
        self.file = file
        self.names: dict[str, list[Leaf]] = {}
        self.acts: list[Leaf] = []  # on names that the file does not define, or defines as code
        self._groups: dict[object, Group | None] = {}
        self._gather(file.tree.body)

    # ------------------------------------------------------------ questions

    def group(self, name: str) -> Group | None:
        """All statements that concern a name, in the order of the text; None if there are none."""
        if name not in self._groups:
            leaves = self.names.get(name, [])
            if any(leaf.role in _BINDERS and not leaf.guarded for leaf in leaves):
                leaves = [leaf for leaf in leaves if not leaf.guarded]
            self._groups[name] = self._group(leaves, name) if leaves else None
        return self._groups[name]

    def later(self, name: str, settings: frozenset[str]) -> Group | None:
        """The statements that change a function or class after its definition, or make it by a call.

        Args:
            settings: names of attributes that do not count.
        """
        key = (name, settings)
        if key not in self._groups:
            leaves = [leaf for leaf in self.names.get(name, ()) if _is_later(leaf, settings)]
            self._groups[key] = self._group(leaves, name) if leaves else None
        return self._groups[key]

    def changes(self, name: str) -> list[ast.stmt]:
        """The statements at the top that may set attributes of a class, also as `type.__setattr__(name, …)`."""
        leaves = [leaf for leaf in self.names.get(name, ()) if _may_set(leaf) and not leaf.guarded]
        leaves += [leaf for leaf in self.acts if leaf.chain[-1] in _SETTERS]
        return list({id(leaf.path[0]): leaf.path[0] for leaf in leaves}.values())

    def deeds(self, chosen: Sequence[Leaf]) -> Group:
        """Several statements as one group."""
        key = tuple(map(id, chosen))
        group = self._groups[key] = self._groups.get(key) or self._group(chosen, "")
        return group

    def imported(self, name: str) -> Imported | None:
        """The one import that binds a name; None if another statement binds it too."""
        targets = {leaf.imported for leaf in self.names.get(name, ()) if leaf.role in _BINDERS}
        return targets.pop() if len(targets) == 1 else None

    def source(self, name: str) -> Imported | None:
        """The first import that binds a name, also through `name = module.attribute`."""
        for _ in range(_LONGEST):
            leaves = [leaf for leaf in self.names.get(name, ()) if leaf.role in _BINDERS]
            if not leaves or leaves[0].imported is not None:
                return leaves[0].imported if leaves else None
            first = leaves[0].path[-1]
            chain = chain_of(first.value) if isinstance(first, ast.Assign) else None
            if chain is None:
                return next((leaf.imported for leaf in leaves if leaf.imported is not None), None)
            name = chain[0]
        return None

    def defines(self, name: str) -> bool:
        """Whether a function or class statement binds a name."""
        return any(leaf.role == "defines" for leaf in self.names.get(name, ()))

    def is_bound(self, name: str) -> bool:
        """Whether a statement of the top level binds a name."""
        return any(leaf.role in _BINDERS for leaf in self.names.get(name, ()))

    @functools.cached_property
    def needs(self) -> list[Imported]:
        """The imports of the top level."""
        found = [leaf.imported for leaves in self.names.values() for leaf in leaves if leaf.imported is not None]
        return list(dict.fromkeys([*found, *self.file.module.stars]))

    # ------------------------------------------------------------ gathering

    def _gather(self, body: list[ast.stmt]) -> None:
        todo: list[tuple[Any, tuple[ast.stmt, ...], bool]] = [(other, (), False) for other in reversed(body)]
        while todo:
            statement, outer, guarded = todo.pop()
            path = (*outer, statement)
            if isinstance(statement, DEFINITIONS):
                self._define(statement, path, guarded)
                continue
            self._leaf(statement, path, guarded)
            for inner in reversed(_statements_below(statement)):
                below = guarded or (_asks_for_main(statement) and inner in statement.body)
                todo.append((inner, path, below))

    def _define(self, statement: Any, path: tuple[ast.stmt, ...], guarded: bool) -> None:
        self._note(statement.name, Leaf(path, "defines", guarded))
        for decorator in statement.decorator_list:
            chain = _leading_chain(decorator)
            if chain is not None and len(chain) > 1 and chain[0] != statement.name:
                self._act(Leaf(path, "decorates", guarded, None, chain))

    def _leaf(self, statement: Any, path: tuple[ast.stmt, ...], guarded: bool) -> None:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            for alias in statement.names:
                if alias.name != "*":
                    self._note(bound_name(alias), Leaf(path, "imports", guarded, import_target(statement, alias)))
            return
        call = statement.value if isinstance(statement, ast.Expr) else None
        call = call.value if isinstance(call, ast.Await) else call
        if isinstance(call, ast.Call) and (chain := _leading_chain(call)) and not _runs_tasks(call):
            self._act(Leaf(path, "calls" if isinstance(call.func, ast.Name) else "acts", guarded, None, chain))
        for name in dict.fromkeys(_names_bound(statement)):
            self._note(name, Leaf(path, "binds", guarded))
        for chain in dict.fromkeys(_chains_changed(statement)):
            self._act(Leaf(path, "changes", guarded, None, chain))

    def _act(self, leaf: Leaf) -> None:
        if self._note(leaf.chain[0], leaf) and not leaf.guarded:
            self.acts.append(leaf)

    def _note(self, name: str, leaf: Leaf) -> bool:
        """Note a statement for a name; False if it was noted before."""
        leaves = self.names.setdefault(name, [])
        if leaves and leaves[-1].path == leaf.path and leaves[-1].imported == leaf.imported:
            return False
        leaves.append(leaf)
        return True

    # ------------------------------------------------------------ what they say

    def _group(self, leaves: Sequence[Leaf], name: str) -> Group:
        kept = {id(statement) for leaf in leaves for statement in leaf.path}
        outer = list({id(leaf.path[0]): leaf.path[0] for leaf in leaves}.values())
        omitted = {id(inner) for statement in outer for inner in _unrelated(statement, kept)}
        for leaf in leaves:
            last: Any = leaf.path[-1]
            if leaf.role == "imports":
                omitted |= {id(alias) for alias in last.names if bound_name(alias) != name}
            elif leaf.role == "decorates":
                omitted |= {id(other) for other in last.body}
        left = frozenset(omitted)
        annotated = frozenset[int]().union(*(active_annotations(self.file, statement).nodes for statement in outer))
        return Group(
            digest("".join(text for statement in outer for text in syntax_text(statement, left, annotated))),
            "".join(self.file.segment(statement, left) for statement in outer),
            self._reads(leaves),
            len(leaves) == 1 and len(leaves[0].path) == 1 and _is_constant(leaves[0].path[0]),
        )

    def _reads(self, leaves: Sequence[Leaf]) -> Reads:
        top, by_tag = self.file.module.top, self._by_tag
        uses: list[Use] = []
        scopes: list[Scope] = []
        paths = [leaf.path for leaf in leaves if leaf.role != "decorates"]
        for statement in {id(other): other for path in paths for other in path}.values():
            uses += by_tag.get(id(statement), ())
            scopes += [inner for child in self._children.get(id(statement), ()) for inner in child.below()]
        for definition in [leaf.path[-1] for leaf in leaves if leaf.role == "decorates"]:
            uses += [use for child in self._children.get(id(definition), ()) for use in child.head]
            uses.append(Use(top, (definition.name,), id(definition)))  # type: ignore[attr-defined]  # a function or class
        for scope in scopes:
            uses += scope.all_uses()
        for acting in [active_annotations(self.file, leaf.path[-1]) for leaf in leaves if leaf.role != "decorates"]:
            scopes += acting.scopes
            uses += acting.uses
        return reads_of(scopes, uses)

    @functools.cached_property
    def _by_tag(self) -> Mapping[int, list[Use]]:
        found: dict[int, list[Use]] = {}
        for use in self.file.module.top.uses:
            found.setdefault(use.tag, []).append(use)
        return found

    @functools.cached_property
    def _children(self) -> Mapping[int, list[Scope]]:
        found: dict[int, list[Scope]] = {}
        for scope in self.file.module.top.children:
            found.setdefault(scope.tag, []).append(scope)
        return found


def statements_of(file: SourceFile) -> Statements:
    """The statements of a file; computed once for its text."""
    if "statements" not in file.memo:
        file.memo["statements"] = Statements(file)
    found: Statements = file.memo["statements"]
    return found


def is_deed(leaf: Leaf) -> bool:
    """Whether a statement calls one of the builtin functions of `_DEEDS`."""
    return leaf.role != "decorates" and leaf.chain[0] in _DEEDS


def is_harmless(module: str, leaf: Leaf) -> bool:
    """Whether no result depends on a statement that uses a module of a library."""
    if module.partition(".")[0] in _HARMLESS:
        return True
    if leaf.role == "decorates":  # most return a wrapper, which the name has; some register the function
        return _KEEPERS.isdisjoint(leaf.chain[-1].split("_"))
    return (*module.split("."), *leaf.chain[1:])[:2] == ("sys", "path")


def _is_later(leaf: Leaf, settings: frozenset[str]) -> bool:
    if leaf.guarded or (leaf.chain[1:2] and leaf.chain[1] in settings):
        return False
    return leaf.role in ("changes", "acts", "decorates") or (leaf.role == "binds" and _has_call(leaf.path[-1]))


def _may_set(leaf: Leaf) -> bool:
    """Whether it may set an attribute of a name. A call of one of its own methods is not judged."""
    call = getattr(leaf.path[-1], "value", None)
    method = isinstance(call, ast.Call) and len(chain_of(call.func) or ()) == 2
    return leaf.role == "changes" or (leaf.role == "acts" and not method)


def _runs_tasks(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in _RUNS


def _statements_below(statement: Any) -> list[ast.stmt]:
    """The statements directly below a compound one, without those that only type checkers see."""
    test = statement.test if isinstance(statement, ast.If) else None
    if isinstance(test, (ast.Name, ast.Attribute)) and "TYPE_CHECKING" in _names_in(test):
        return list(statement.orelse)
    return [] if isinstance(statement, DEFINITIONS) else inner_statements(statement)


def _asks_for_main(statement: ast.stmt) -> bool:
    """Whether its body runs only in a script."""
    for node in ast.walk(statement.test) if isinstance(statement, ast.If) else ():
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq):
            sides = [node.left, *node.comparators]
            if "__name__" in _names_in(node) and any(getattr(side, "value", None) == "__main__" for side in sides):
                return True
    return False


def _names_in(node: ast.AST) -> set[str]:
    return {str(getattr(inner, "id", getattr(inner, "attr", ""))) for inner in ast.walk(node)}


def _unrelated(statement: ast.stmt, kept: set[int]) -> Iterator[ast.stmt]:
    """The statements below a statement that are not in `kept`."""
    todo = [statement]
    while todo:
        current = todo.pop()
        for inner in [] if isinstance(current, DEFINITIONS) else inner_statements(current):
            if id(inner) in kept:
                todo.append(inner)
            else:
                yield inner


def _own_nodes(statement: Any) -> Iterator[ast.AST]:
    """The nodes that a statement evaluates itself, without the statements below it and without lambdas."""
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        yield node
        todo += [inner for inner in ast.iter_child_nodes(node) if not isinstance(inner, (ast.stmt, ast.Lambda))]


def _names_bound(statement: ast.stmt) -> Iterator[str]:
    hidden: set[int] = set()
    for node in _own_nodes(statement):
        if isinstance(node, _COMPREHENSIONS):
            for generator in node.generators:
                hidden.update(id(inner) for inner in ast.walk(generator.target))
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and id(node) not in hidden:
            yield node.id
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest


def _chains_changed(statement: ast.stmt) -> Iterator[Chain]:
    """The chains that a statement changes: `X["a"] = `, `X.a = `, `del X["a"]`, `X.update()`, `setattr(X, …)`."""
    for node in _own_nodes(statement):
        chain: Chain | None = None
        if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
            chain = _leading_chain(node)
        elif isinstance(node, ast.Call):
            func = node.func
            if isinstance(func, ast.Attribute) and func.attr in MUTATORS:
                chain = _leading_chain(node)
            elif isinstance(func, ast.Name) and func.id in ("setattr", "delattr") and node.args:
                chain = _leading_chain(node.args[0])
        if chain:
            yield chain


def _leading_chain(node: ast.AST | None) -> Chain | None:
    """The names at the beginning of an expression, through calls and subscripts: `a.b` of `a.b(1)["c"].d`."""
    names: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        elif isinstance(node, (ast.Call, ast.Subscript, ast.Await)):
            names.clear()
            node = node.func if isinstance(node, ast.Call) else node.value
        elif isinstance(node, ast.Name):
            return (node.id, *reversed(names))
        else:
            return None


def _has_call(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Call) for node in _own_nodes(statement))


def _is_constant(statement: ast.stmt) -> bool:
    value = getattr(statement, "value", None)
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)) or value is None:
        return False
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
