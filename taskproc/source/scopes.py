"""Which names each function and class of a module takes from outside, found in one walk over its syntax.

Not symtable and not the bytecode: both are other ones on each Python (annotations, comprehensions, dead code), and what
counts as code must not be.
"""
from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from taskproc.source.nodes import children

Chain = tuple[str, ...]   # `a.b.c` as it is written

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_MUTATORS = frozenset(
    "append appendleft extend extendleft insert remove pop popleft popitem clear sort reverse rotate update setdefault "
    "add discard difference_update intersection_update symmetric_difference_update move_to_end subtract "
    "__setitem__ __delitem__ __setattr__".split()
)


class Imported(NamedTuple):
    """What an import binds a name to: a module, or `name` of it."""

    module: str
    name: str | None
    level: int


class Use(NamedTuple):
    """A chain of names that is read in a scope. `tag`: id of the statement, where the scope is a class or module."""

    scope: Scope
    chain: Chain
    tag: int


class Scope:
    """A module, class, function, lambda or comprehension, or the head of a function or class: decorators and the like.

    Attributes:
        head: what its decorators and bases read; defaults: what the defaults of its parameters read; uses: its body.
        bound: names that it binds itself; of these `imports` by an import.
        mutated: names of its own that a function changes in place or anew after they were first bound.
        alerts: what cannot be followed, in words.
        tag: id of the statement that it stands in, where that is in a class or module.
    """

    __slots__ = (
        "alerts", "bound", "children", "defaults", "globals", "head", "imports", "kind", "modules", "mutated", "name",
        "node", "nonlocals", "parameters", "parent", "qualname", "tag", "uses",
    )  # fmt: skip

    def __init__(self, kind: str, node: ast.AST, name: str, parent: Scope | None = None, tag: int = 0):
        self.kind, self.node, self.name, self.parent, self.tag = kind, node, name, parent, tag
        self.bound: set[str] = set()
        self.parameters: tuple[str, ...] = ()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()
        self.imports: dict[str, list[Imported]] = {}
        self.modules: list[str] = []
        self.mutated: set[str] = set()
        self.head: list[Use] = []
        self.defaults: list[Use] = []
        self.uses: list[Use] = []
        self.alerts: list[str] = []
        self.children: list[Scope] = []
        self.qualname = name
        if parent is not None:
            outer = parent.named()
            if kind != "head":
                parent.children.append(self)
            if outer.kind != "module":
                self.qualname = outer.qualname + (".<locals>." if outer.kind == "function" else ".") + name

    def below(self) -> Iterator[Scope]:
        """Itself and all scopes inside it, in the order of the text."""
        todo: list[Scope] = [self]
        while todo:
            scope = todo.pop()
            yield scope
            todo.extend(reversed(scope.children))

    def named(self) -> Scope:
        """The module, class or function that it stands in, or is."""
        scope = self
        while scope.kind in ("comprehension", "head") and scope.parent is not None:
            scope = scope.parent
        return scope

    def home(self, name: str) -> Scope | None:
        """The scope that binds a name that is read here; None: the module, or nobody."""
        scope: Scope | None = self
        inner = False  # the names of a class are not seen by what stands inside it
        while scope is not None and scope.kind != "module":
            if name in scope.globals:
                return None
            if name in scope.bound and not (inner and scope.kind == "class"):
                return scope
            inner = inner or scope.kind != "head"
            scope = scope.parent
        return None

    def function(self) -> Scope | None:
        """The function that it stands in, or is."""
        scope: Scope | None = self
        while scope is not None and scope.kind != "function":
            scope = scope.parent
        return scope


class Module:
    """The scopes of one module.

    Attributes:
        top: that of the module itself.
        functions: those of functions and lambdas; classes: those of classes; both in the order of the text.
        changed: chains from globals that functions change: `X[...] = `, `X.append()`, `global X`, `module.X = `.
        shared: names of class attributes that methods change through `self` or `cls`.
        stars: modules of which it imports all names.
    """

    def __init__(self, tree: ast.Module):
        self.top = Scope("module", tree, "")
        self.functions: list[Scope] = []
        self.classes: list[Scope] = []
        self.changed: list[Chain] = []
        self.shared: set[str] = set()
        self.stars: list[Imported] = []
        changes = _Walk(self).run(tree)
        for scope, chain in changes:
            self._note_change(scope, chain)
        self.changed = sorted(set(self.changed))

    def _note_change(self, scope: Scope, chain: Chain) -> None:
        home, function = scope.home(chain[0]), scope.function()
        if function is None:
            return
        if home is None:
            self.changed.append(chain)
        elif home.kind == "function" and (home is not function or chain[0] in home.parameters):
            home.mutated.add(chain[0])
        if chain[0] in ("self", "cls") and len(chain) > 1:
            self.shared.add(chain[1])


class _Place(NamedTuple):
    """Where the walk stands: the scope, the list that uses go to, and the statement."""

    scope: Scope
    uses: list[Use]
    tag: int


class _Walk:
    """One walk over a module, without recursion."""

    def __init__(self, module: Module):
        self.module = module
        self.todo: list[tuple[ast.AST, _Place]] = []
        self.changes: list[tuple[Scope, Chain]] = []

    def run(self, tree: ast.Module) -> list[tuple[Scope, Chain]]:
        top = self.module.top
        self.push(tree.body, _Place(top, top.uses, 0))
        while self.todo:
            node, place = self.todo.pop()
            if isinstance(node, ast.stmt) and place.scope.kind in ("module", "class"):
                place = place._replace(tag=id(node))
            visit = _visits.get(type(node)) or _visit_of(type(node))
            visit(self, node, place)
        return self.changes

    def push(self, nodes: Any, place: _Place) -> None:
        """Nodes to visit next, the first one first; what is no node is left out."""
        self.todo += [(node, place) for node in reversed(list(nodes)) if isinstance(node, ast.AST)]

    def inside(self, node: ast.AST, place: _Place) -> None:
        self.todo += [(inner, place) for inner in reversed(children(node))]

    def bind(self, name: str | None, scope: Scope) -> None:
        if name is None:
            return
        if name in scope.globals or name in scope.nonlocals:
            self.changes.append((scope, (name,)))
        else:
            scope.bound.add(name)

    # ------------------------------------------------------------ what opens a scope

    def _functiondef(self, node: Any, place: _Place) -> None:
        self.bind(getattr(node, "name", None), place.scope)
        scope = Scope("function", node, getattr(node, "name", "<lambda>"), place.scope, place.tag)
        self.module.functions.append(scope)
        args = node.args
        every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
        scope.parameters = tuple(arg.arg for arg in every if arg is not None)
        scope.bound.update(scope.parameters, _type_parameters(node))
        body = node.body if isinstance(node.body, list) else [node.body]
        self.push(body, _Place(scope, scope.uses, 0))
        self.push([*args.defaults, *args.kw_defaults], self._head(scope, scope.defaults, place))
        self.push(getattr(node, "decorator_list", ()), self._head(scope, scope.head, place))

    _asyncfunctiondef = _lambda = _functiondef

    def _classdef(self, node: ast.ClassDef, place: _Place) -> None:
        self.bind(node.name, place.scope)
        scope = Scope("class", node, node.name, place.scope, place.tag)
        scope.bound.update(_type_parameters(node))
        self.module.classes.append(scope)
        self.push(node.body, _Place(scope, scope.uses, 0))
        self.push([*node.decorator_list, *node.bases, *node.keywords], self._head(scope, scope.head, place))

    def _head(self, owner: Scope, uses: list[Use], place: _Place) -> _Place:
        """What stands before the body is evaluated in the scope around it, but belongs to what it stands before."""
        head = Scope("head", owner.node, "<head>", place.scope, place.tag)
        owner.children.append(head)
        return _Place(head, uses, place.tag)

    def _listcomp(self, node: Any, place: _Place) -> None:
        scope = Scope("comprehension", node, "<comprehension>", place.scope, place.tag)
        inner = place._replace(scope=scope)
        first, *others = node.generators
        self.push([getattr(node, name, None) for name in ("elt", "key", "value")], inner)
        for generator in reversed(others):
            self.push([generator.target, generator.iter, *generator.ifs], inner)
        self.push([first.target, *first.ifs], inner)
        self.push([first.iter], place)

    _setcomp = _dictcomp = _generatorexp = _listcomp

    # ------------------------------------------------------------ what binds a name

    def _import(self, node: ast.Import, place: _Place) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            module = alias.name if alias.asname else name
            place.scope.imports.setdefault(name, []).append(Imported(module, None, 0))
            self.bind(name, place.scope)

    def _importfrom(self, node: ast.ImportFrom, place: _Place) -> None:
        for alias in node.names:
            found = Imported(node.module or "", alias.name, node.level)
            if alias.name == "*":
                self.module.stars.append(found)
                continue
            name = alias.asname or alias.name
            place.scope.imports.setdefault(name, []).append(found)
            self.bind(name, place.scope)

    def _global(self, node: ast.Global, place: _Place) -> None:
        if place.scope.kind != "module":
            place.scope.globals.update(node.names)

    def _nonlocal(self, node: ast.Nonlocal, place: _Place) -> None:
        place.scope.nonlocals.update(node.names)

    def _excepthandler(self, node: ast.ExceptHandler, place: _Place) -> None:
        self.bind(node.name, place.scope)
        self.inside(node, place)

    def _matchas(self, node: Any, place: _Place) -> None:
        self.bind(node.name, place.scope)
        self.inside(node, place)

    _matchstar = _matchas

    def _matchmapping(self, node: ast.MatchMapping, place: _Place) -> None:
        self.bind(node.rest, place.scope)
        self.inside(node, place)

    def _typealias(self, node: Any, place: _Place) -> None:
        self.bind(node.name.id, place.scope)

    def _annassign(self, node: ast.AnnAssign, place: _Place) -> None:
        self.push([node.target, node.value], place)  # the annotation does not count

    def _namedexpr(self, node: ast.NamedExpr, place: _Place) -> None:
        self.bind(node.target.id, place.scope.named())
        self.push([node.value], place)

    # ------------------------------------------------------------ what reads or changes

    def _name(self, node: ast.Name, place: _Place) -> None:
        if isinstance(node.ctx, ast.Load):
            place.uses.append(Use(place.scope, (node.id,), place.tag))
        else:
            self.bind(node.id, place.scope)

    def _attribute(self, node: ast.Attribute, place: _Place) -> None:
        chain = chain_of(node)
        if chain is None:
            self.push([node.value], place)
            return
        if isinstance(node.ctx, ast.Load):
            place.uses.append(Use(place.scope, chain, place.tag))
            return
        place.uses.append(Use(place.scope, chain[:-1], place.tag))
        if chain[0] != "self" or len(chain) > 2:  # `self.x = 1` leaves the class as it is
            self._change(chain, place)

    def _subscript(self, node: ast.Subscript, place: _Place) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._change(chain_of(node.value), place)
        self.inside(node, place)

    def _augassign(self, node: ast.AugAssign, place: _Place) -> None:
        chain = chain_of(node.target)
        if chain is not None:
            place.uses.append(Use(place.scope, chain, place.tag))
            if len(chain) > 1:
                self._change(chain, place)
        self.inside(node, place)

    def _call(self, node: ast.Call, place: _Place) -> None:
        chain = chain_of(node.func)
        if chain is not None and len(chain) > 1 and chain[-1] in _MUTATORS:
            self._change(chain[:-1], place)
        look = _LOOKS.get(chain[-1]) if chain else None
        if chain is None or look is None or not look(self, node, chain, place):
            self.inside(node, place)

    def _change(self, chain: Chain | None, place: _Place) -> None:
        if chain is not None:
            if chain[:2] == ("self", "__class__"):
                chain = ("cls", *chain[2:])
            self.changes.append((place.scope, chain))

    # ------------------------------------------------------------ what cannot be followed

    def _look_getattr(self, node: ast.Call, chain: Chain, place: _Place) -> bool:
        """True if it is as good as an attribute that is written down."""
        if len(chain) > 1 or len(node.args) < 2:
            return False
        owner, name = chain_of(node.args[0]), _text(node.args[1])
        if name is not None and owner is not None:
            place.uses.extend(Use(place.scope, found, place.tag) for found in (chain, (*owner, name)))
            self.push(node.args[2:], place)
            return True
        if name is None and (owner is None or owner[0] not in ("self", "cls")):  # of a class all methods count
            self._alert("getattr by a computed name", chain, place)
        return False

    def _look_import(self, node: ast.Call, chain: Chain, place: _Place) -> bool:
        name = _text(node.args[0]) if node.args else None
        if name is None or len(node.args) > 1:
            self._alert("import by a computed name", chain, place)
        else:
            place.scope.modules.append(name)
        return False

    def _look_eval(self, node: ast.Call, chain: Chain, place: _Place) -> bool:
        if len(chain) == 1:
            self._alert(chain[0], chain, place)
        return False

    def _alert(self, words: str, chain: Chain, place: _Place) -> None:
        if place.scope.home(chain[0]) is None or chain[-1] == "import_module":
            place.scope.alerts.append(words)


_visits: dict[type, Callable[[_Walk, Any, _Place], None]] = {}


def _visit_of(kind: type) -> Callable[[_Walk, Any, _Place], None]:
    """How nodes of a kind are visited; found once."""
    found = _visits[kind] = getattr(_Walk, f"_{kind.__name__.lower()}", _Walk.inside)
    return found


_LOOKS = {
    "getattr": _Walk._look_getattr,
    "import_module": _Walk._look_import,
    "__import__": _Walk._look_import,
    "eval": _Walk._look_eval,
    "exec": _Walk._look_eval,
    "globals": _Walk._look_eval,
}


def chain_of(node: ast.AST) -> Chain | None:
    """`a.b.c` as names; None if it begins with something else than a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return (node.id, *reversed(names))


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _type_parameters(node: ast.AST) -> list[str]:
    return [parameter.name for parameter in getattr(node, "type_params", ())]
