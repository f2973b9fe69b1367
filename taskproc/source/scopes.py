"""Which names each function and class of a module reads, binds and changes, found in one walk over its syntax.

Not by symtable or bytecode: both differ between Pythons (annotations, comprehensions, dead code), and what counts as
code must not.
"""
from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from taskproc.source.expressions import INSIDE, MUTATORS, THIS, Imported, Lead, Lookups, import_target
from taskproc.source.syntax import Chain, bound_name, chain_of, child_nodes, string_in

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Use(NamedTuple):
    """Something that a scope reads, or that cannot be followed.

    Attributes:
        chain: names as written; they begin in `imported` if that is given.
        tag: id of the statement, if the scope is a class or module.
        imported: a module that the expression imports.
        kind: `name`; `loose`: an attribute of an expression without a name; `own`: one read through `super()`;
            `alert`: the chain is one text, which says what cannot be followed.
    """

    scope: Scope
    chain: Chain
    tag: int
    imported: Imported | None = None
    kind: str = "name"


class Change(NamedTuple):
    """A change: `X[...] = ` and `X.a = ` have an empty `method`, `X.append()` has `append`."""

    chain: Chain
    method: str


class Scope:
    """A module, class, function, lambda or comprehension, or the head of a function or class: decorators and the like.

    Attributes:
        head: what its decorators and bases read; defaults: what the defaults of its parameters read; uses: its body.
        bound: names that it binds; `imports` are those that an import binds.
        mutated: its own names that a function changes after they were first bound, with the methods by which it does
            so; an empty method is an assignment.
        touched: names through which a function changes something.
        annotations: what the annotations of its fields or parameters read; `noted` are the scopes of these.
        tag: id of the statement in which it stands, if that is in a class or module.
    """

    __slots__ = (
        "annotations", "bound", "children", "defaults", "globals", "head", "imports", "kind", "mutated", "name", "node",
        "noted", "nonlocals", "parameters", "parent", "qualname", "tag", "touched", "uses",
    )  # fmt: skip

    def __init__(self, kind: str, node: ast.AST, name: str, parent: Scope | None = None, tag: int = 0):
        self.kind, self.node, self.name, self.parent, self.tag = kind, node, name, parent, tag
        self.bound: set[str] = set()
        self.parameters: tuple[str, ...] = ()
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()
        self.imports: dict[str, list[Imported]] = {}
        self.mutated: dict[str, set[str]] = {}
        self.touched: set[str] = set()
        self.head: list[Use] = []
        self.defaults: list[Use] = []
        self.uses: list[Use] = []
        self.annotations: list[Use] = []
        self.noted: list[Scope] = []
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

    def all_uses(self) -> list[Use]:
        """What its head, the defaults of its parameters and its body read."""
        return [*self.head, *self.defaults, *self.uses]

    def named(self) -> Scope:
        """The innermost module, class or function around it, or itself."""
        scope = self
        while scope.kind in ("comprehension", "head") and scope.parent is not None:
            scope = scope.parent
        return scope

    def home(self, name: str) -> Scope | None:
        """The scope that binds a name that is read here; None if it is the module or none."""
        scope: Scope | None = self
        inner = False  # scopes inside a class do not see its names
        while scope is not None and scope.kind != "module":
            if name in scope.globals:
                return None
            if name in scope.bound and not (inner and scope.kind == "class"):
                return scope
            inner = inner or scope.kind != "head"
            scope = scope.parent
        return None

    def function(self) -> Scope | None:
        """The innermost function around it, or itself."""
        scope: Scope | None = self
        while scope is not None and scope.kind != "function":
            scope = scope.parent
        return scope


class Module:
    """The scopes of one module.

    Attributes:
        top: that of the module itself.
        functions: those of functions and lambdas; classes: those of classes; both in the order of the text.
        changed: changes that functions make to globals: `X[...] = `, `X.append()`, `global X`, `module.X = `.
        shared: names of class attributes that methods change through `self` or `cls`.
        stars: modules from which it imports all names.
        late: imports in functions that bind names of the module (`global X; import X`).
    """

    def __init__(self, tree: ast.Module):
        self.top = Scope("module", tree, "")
        self.functions: list[Scope] = []
        self.classes: list[Scope] = []
        self.changed: list[Change] = []
        self.shared: set[str] = set()
        self.stars: list[Imported] = []
        self.late: dict[str, list[Imported]] = {}
        for scope, change in _ScopeWalk(self, Lookups(tree)).run(tree):
            self._note_change(scope, change)
        self.changed = sorted(set(self.changed))

    def _note_change(self, scope: Scope, change: Change) -> None:
        root = change.chain[0]
        home, function = scope.home(root), scope.function()
        if function is None:
            return
        function.touched.add(root)
        if len(change.chain) == 2 and root == "self" and not change.method:
            return  # `self.x = 1` leaves the class as it is
        if home is None:
            self.changed.append(change)
        elif home.kind == "function" and (home is not function or root in home.parameters):
            home.mutated.setdefault(root, set()).add(change.method)
        if root in ("self", "cls") and len(change.chain) > 1:
            self.shared.add(change.chain[1])


class _Position(NamedTuple):
    """The position of the walk: the scope, the list for uses, and the statement."""

    scope: Scope
    uses: list[Use]
    tag: int


class _ScopeWalk:
    """One walk over a module, without recursion."""

    def __init__(self, module: Module, lookups: Lookups):
        self.module, self.lookups = module, lookups
        self.todo: list[tuple[ast.AST, _Position]] = []
        self.changes: list[tuple[Scope, Change]] = []

    def run(self, tree: ast.Module) -> list[tuple[Scope, Change]]:
        top = self.module.top
        self.push(tree.body, _Position(top, top.uses, 0))
        while self.todo:
            node, place = self.todo.pop()
            if isinstance(node, ast.stmt) and place.scope.kind in ("module", "class"):
                place = place._replace(tag=id(node))
            visit = _visits.get(type(node)) or _visit_of(type(node))
            visit(self, node, place)
        return self.changes

    def push(self, nodes: Any, place: _Position) -> None:
        """Visit these nodes next, in their order; anything that is not a node is left out."""
        self.todo += [(node, place) for node in reversed(list(nodes)) if isinstance(node, ast.AST)]

    def inside(self, node: ast.AST, place: _Position) -> None:
        self.todo += [(inner, place) for inner in reversed(child_nodes(node))]

    def bind(self, name: str | None, scope: Scope) -> None:
        if name is None:
            return
        if name in scope.globals or name in scope.nonlocals:
            self.changes.append((scope, Change((name,), "")))
        else:
            scope.bound.add(name)

    def bind_import(self, name: str, imported: Imported, scope: Scope) -> None:
        scope.imports.setdefault(name, []).append(imported)
        if name in scope.globals:
            self.module.late.setdefault(name, []).append(imported)
        self.bind(name, scope)

    # ------------------------------------------------------------ what opens a scope

    def _functiondef(self, node: Any, place: _Position) -> None:
        self.bind(getattr(node, "name", None), place.scope)
        scope = Scope("function", node, getattr(node, "name", "<lambda>"), place.scope, place.tag)
        self.module.functions.append(scope)
        args = node.args
        every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
        scope.parameters = tuple(arg.arg for arg in every if arg is not None)
        scope.bound.update(scope.parameters, _type_parameters(node))
        body = node.body if isinstance(node.body, list) else [node.body]
        self.push(body, _Position(scope, scope.uses, 0))
        self.push([*args.defaults, *args.kw_defaults], self._head(scope, scope.defaults, place))
        self.push(getattr(node, "decorator_list", ()), self._head(scope, scope.head, place))
        self._note([*(arg.annotation for arg in every if arg), getattr(node, "returns", None)], scope, place)

    _asyncfunctiondef = _lambda = _functiondef

    def _classdef(self, node: ast.ClassDef, place: _Position) -> None:
        self.bind(node.name, place.scope)
        scope = Scope("class", node, node.name, place.scope, place.tag)
        scope.bound.update(_type_parameters(node))
        self.module.classes.append(scope)
        self.push(node.body, _Position(scope, scope.uses, 0))
        self.push([*node.decorator_list, *node.bases, *node.keywords], self._head(scope, scope.head, place))

    def _head(self, owner: Scope, uses: list[Use], place: _Position) -> _Position:
        """The position for a head, which is evaluated in the scope around its owner, but belongs to the owner."""
        head = Scope("head", owner.node, "<head>", place.scope, place.tag)
        owner.children.append(head)
        return _Position(head, uses, place.tag)

    def _note(self, annotations: Iterable[ast.AST | None], owner: Scope, place: _Position) -> None:
        """Visit annotations, which count only if they do something. They may be strings."""
        nodes = [node for node in annotations if node is not None]
        if nodes:
            head = Scope("head", owner.node, "<annotations>", place.scope, place.tag)
            owner.noted.append(head)
            nodes += [inner for node in nodes for inner in quoted_annotations(node)]
            self.push(nodes, _Position(head, owner.annotations, place.tag))

    def _listcomp(self, node: Any, place: _Position) -> None:
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

    def _import(self, node: ast.Import | ast.ImportFrom, place: _Position) -> None:
        for alias in node.names:
            target = import_target(node, alias)
            if alias.name == "*":
                self.module.stars.append(target)
            else:
                self.bind_import(bound_name(alias), target, place.scope)

    _importfrom = _import

    def _global(self, node: ast.Global, place: _Position) -> None:
        if place.scope.kind != "module":
            place.scope.globals.update(node.names)

    def _nonlocal(self, node: ast.Nonlocal, place: _Position) -> None:
        place.scope.nonlocals.update(node.names)

    def _excepthandler(self, node: Any, place: _Position) -> None:
        self.bind(node.name, place.scope)
        self.inside(node, place)

    _matchas = _matchstar = _excepthandler

    def _matchmapping(self, node: ast.MatchMapping, place: _Position) -> None:
        self.bind(node.rest, place.scope)
        self.inside(node, place)

    def _typealias(self, node: Any, place: _Position) -> None:
        self.bind(node.name.id, place.scope)

    def _annassign(self, node: ast.AnnAssign, place: _Position) -> None:
        self.push([node.target, node.value], place)
        if place.scope.kind == "class":  # a function does not evaluate them
            self._note([node.annotation], place.scope, place)

    def _namedexpr(self, node: ast.NamedExpr, place: _Position) -> None:
        self.bind(node.target.id, place.scope.named())
        self.push([node.value], place)

    # ------------------------------------------------------------ what reads or changes

    def _name(self, node: ast.Name, place: _Position) -> None:
        if isinstance(node.ctx, ast.Load):
            self.use(place, (node.id,))
        else:
            self.bind(node.id, place.scope)

    def _attribute(self, node: ast.Attribute, place: _Position) -> None:
        lead = self.lookups.lead(node)
        if node.attr == "__subclasses__":
            self.alert("looks for subclasses", place)
        elif node.attr in INSIDE:
            self.alert(f"reads {node.attr} of code", place)
        if lead is None:
            self.loose(node, place)
        elif isinstance(node.ctx, ast.Load):
            self.follow(lead, place)
        else:
            self.follow(lead._replace(chain=lead.chain[:-1]), place)
            self.change(lead, "", place)

    def _subscript(self, node: ast.Subscript, place: _Position) -> None:
        lead = self.lookups.lead(node)
        if not isinstance(node.ctx, ast.Load):
            self.change(lead or self.lookups.lead(node.value), "", place)
        if lead is not None and isinstance(node.ctx, ast.Load):
            self.follow(lead, place)
        else:
            self.alert(self.lookups.subscript_alert(node), place)
            self.inside(node, place)

    def _augassign(self, node: ast.AugAssign, place: _Position) -> None:
        lead = self.lookups.lead(node.target)
        if lead is not None:
            self.follow(lead, place)
            if len(lead.chain) > 1:
                # Also on self: the attribute may belong to the class
                self.changes.append((place.scope, Change(lead.chain, "+=")))
        self.inside(node, place)

    def _call(self, node: ast.Call, place: _Position) -> None:
        lead, func = self.lookups.lead(node), chain_of(node.func)
        if lead is not None:
            self.follow(lead, place)
            # `getattr` itself may be bound to another function, and the default of `getattr(a, "b", x)` is read too
            self.push([node.func, *node.args[2:]] if func is not None else node.args[1:], place)
            return
        if isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            self.change(self.lookups.lead(node.func.value), node.func.attr, place)
        elif func in (("setattr",), ("delattr",)) and len(node.args) > 1:
            self.set_by_name(node, place)
        if func is not None and (place.scope.home(func[0]) is None or self.lookups.is_imported(func)):
            self.alert(self.lookups.call_alert(node), place)
        self.inside(node, place)

    def use(self, place: _Position, chain: Chain, imported: Imported | None = None, kind: str = "name") -> None:
        place.uses.append(Use(place.scope, chain, place.tag, imported, kind))

    def follow(self, lead: Lead, place: _Position) -> None:
        """Note that the target of an expression is read. The namespace of `globals()` is that of the module."""
        if lead.imported is not None:
            self.use(place, lead.chain, lead.imported)
        elif lead.chain:
            self.use(place._replace(scope=self.module.top) if lead.is_global else place, lead.chain)
        else:
            self.use(place, (), THIS)
        for node in lead.inner:
            self.push([node], place)

    def loose(self, node: ast.Attribute, place: _Position) -> None:
        """Note `a().b` or `a[0].b`, an attribute of an expression without a name; through `super()` it is its own."""
        func = node.value.func if isinstance(node.value, ast.Call) else None
        kind = "own" if isinstance(func, ast.Name) and func.id == "super" else "loose"
        self.use(place, (node.attr,), kind=kind)
        self.push([node.value], place)

    def set_by_name(self, node: ast.Call, place: _Position) -> None:
        owner, name = self.lookups.lead(node.args[0]), string_in(node.args[1])
        if owner is None or not owner.chain or place.scope.home(owner.chain[0]) is not None:
            return
        if name is None:
            self.alert("sets attributes of a global by a computed name", place)
        self.change(owner._replace(chain=(*owner.chain, name)) if name else owner, "", place)

    def alert(self, words: str, place: _Position) -> None:
        if words:
            self.use(place, (words,), kind="alert")

    def change(self, lead: Lead | None, method: str, place: _Position) -> None:
        if lead is None or not lead.chain or lead.imported is not None:
            return
        chain = ("cls", *lead.chain[2:]) if lead.chain[:2] == ("self", "__class__") else lead.chain
        scope = self.module.top if lead.is_global else place.scope
        function = place.scope.function()
        if lead.is_global and function is not None:
            self.module.changed.append(Change(chain, method))
        else:
            self.changes.append((scope, Change(chain, method)))


_visits: dict[type, Callable[[_ScopeWalk, Any, _Position], None]] = {}


def _visit_of(kind: type) -> Callable[[_ScopeWalk, Any, _Position], None]:
    """The method that visits nodes of a kind; looked up once."""
    found = _visits[kind] = getattr(_ScopeWalk, f"_{kind.__name__.lower()}", _ScopeWalk.inside)
    return found


def quoted_annotations(annotation: ast.AST) -> Iterator[ast.AST]:
    """The syntax of strings in an annotation, such as `"list[Inner]"`."""
    todo = [annotation]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Name, ast.Attribute, ast.Call, ast.Lambda)) or _is_literal(node):
            continue
        text = string_in(node)
        if text is not None:
            try:
                parsed = ast.parse(text.strip(), mode="eval").body
            except (SyntaxError, ValueError):
                continue
            if not any(isinstance(inner, FUNCTIONS) for inner in ast.walk(parsed)):  # not lines of this file
                yield parsed
        todo += ast.iter_child_nodes(node)


def _is_literal(node: ast.AST) -> bool:
    chain = chain_of(node.value) if isinstance(node, ast.Subscript) else None
    return chain is not None and chain[-1] == "Literal"


def _type_parameters(node: ast.AST) -> list[str]:
    return [parameter.name for parameter in getattr(node, "type_params", ())]
