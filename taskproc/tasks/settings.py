"""Settings: versions, environment variables and attributes that `__init__` left, besides code and inputs.

A setting is `kind name` → text or digest. A stored result with another setting is stale. For the kinds, see
kernel/rebuild.py.
"""
from __future__ import annotations

import ast
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from taskproc.errors import UnnamableValue
from taskproc.modules import object_name
from taskproc.tasks.binding import FLAT, rules_of
from taskproc.tasks.naming import identity_of
from taskproc.tasks.task_graph import attributes
from taskproc.text import did_you_mean
from taskproc.values.encode import form_digest, key_form

MOST = 1 << 20  # bytes of an attribute's content that are read


class Left(NamedTuple):
    """What `__init__` left on a task besides its arguments: settings, and in words what cannot be watched."""

    settings: Mapping[str, str]
    untracked: tuple[str, ...]

    def added_to(self, settings: Mapping[str, str]) -> Mapping[str, str]:
        """All settings of a task whose class has `settings`."""
        return {**settings, **self.settings} if self.settings else settings


NOTHING_LEFT = Left({}, ())  # for most tasks
_MISSING = object()
_NOT_INSTALLED = "not installed"
_warned: set[tuple[str, str]] = set()  # class and package, reported once per process
_LOOSE = frozenset({list, dict, set, bytearray})  # no two of these are one object by chance


def settings_of(cls: Any) -> dict[str, str]:
    """The present settings of a class. Warns of a package that is not installed: most likely a typing error."""
    found = {} if cls.task_version is None else {"version": cls.task_version}
    versions = {name: _version(name) for name in cls.task_packages}
    if missing := [name for name, version in versions.items() if version == _NOT_INSTALLED]:
        _warn_of_missing(cls, missing)
    found |= {f"package {name}": version for name, version in versions.items()}
    return found | {f"environment {name}": _variable(name) for name in cls.task_environment}


def left_on(task: Any) -> Left:
    """What `__init__` left on `task`, as of the first call: code that runs later may change the attributes.

    An attribute that is an argument counts already by its key, and one that is a task by being needed.
    """
    identity = task._taskproc
    if identity.left is None:
        identity.left = _left_on(task, identity.arguments)
    left: Left = identity.left
    return left


def _left_on(task: Any, arguments: Mapping[str, object]) -> Left:
    others = [(name, value) for name, value in attributes(task) if arguments.get(name, _MISSING) is not value]
    if not others:
        return NOTHING_LEFT
    ignored = rules_of(type(task)).ignored
    settings: dict[str, str] = {}
    untracked: list[str] = []
    for name, value in others:
        if name in ignored or _is_argument(task, name, value, arguments, ignored):
            continue
        try:
            found = _digest(value, name, task)
            # A container was copied; a new copy must not make a parameter count that is left out of the key
            if name not in arguments or found != _digest(arguments[name], name, task):
                settings[f"attribute {name}"] = found
        except UnnamableValue:
            # Usually it is a copy of the argument, which counts by its key
            if name not in arguments:
                found, missing = _by_parts(value, name)
                settings |= {f"attribute {name}": found} if found else {}
                untracked += missing
    return Left(settings, tuple(untracked)) if settings or untracked else NOTHING_LEFT


def _by_parts(value: object, name: str) -> tuple[str, list[str]]:
    """Digest of the nameable parts of a value that has no key form (empty: none), and the other parts in words."""
    from taskproc.source.canonical import Unnamable, canonical_form  # here: seldom needed

    whole = f"attribute {name} (a {type(value).__name__})"
    try:
        found = canonical_form(value, _code_name, most=MOST, keeps_all=True)
    except Unnamable:
        return "", [whole]
    if found.is_empty:
        return "", [whole]
    return form_digest(found.text), [f"attribute {name}{place} {cause}" for place, cause in found.unknown]


def _code_name(code: Any) -> str:
    """Its code counts separately, see tasks/reached_code.py."""
    return object_name(code) if isinstance(code, (type, FunctionType)) else ""


def _is_argument(
    task: object, name: str, value: object, arguments: Mapping[str, object], ignored: Collection[str]
) -> bool:
    """Whether an attribute holds an argument of the same or another name, and so counts already by the key.

    Under another name, a value that exists only once (`True`, `5`, "adam") proves nothing: a value from outside may
    equal one argument today and another tomorrow. If such a value belongs to a parameter that does not count,
    `__init__` must contain the assignment: `self.workers = jobs`.
    """
    if arguments.get(name.lstrip("_"), _MISSING) is value:
        return True
    named = [some for some in ignored if arguments.get(some, _MISSING) is value]
    if named and (type(value) not in FLAT or not {(name, some) for some in named}.isdisjoint(_put_by(type(task)))):
        return True
    return type(value) in _LOOSE and any(some is value for some in arguments.values())


def _put_by(cls: type) -> frozenset[tuple[str, str]]:
    """Attribute and parameter of each `self.attribute = parameter` in the `__init__` of a class and of its bases."""
    found = _puts.get(cls)
    if found is None:
        inits = [vars(base).get("__init__") for base in cls.__mro__ if not base.__module__.startswith("taskproc.")]
        written = [init for init in inits if isinstance(init, FunctionType)]
        found = _puts[cls] = frozenset(pair for init in written for pair in _puts_in(init))
    return found


def _puts_in(init: FunctionType) -> Iterator[tuple[str, str]]:
    from taskproc.source.functions import piece_of  # here: seldom needed

    scope = piece_of(init.__code__, init.__globals__).scope
    for node in ast.walk(scope.node) if scope is not None else ():
        if not isinstance(node, (ast.Assign, ast.AnnAssign)):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target, held in _pairs(targets, node.value):
            if isinstance(target, ast.Attribute) and isinstance(held, ast.Name):
                yield target.attr, held.id


def _pairs(targets: Sequence[ast.expr], value: ast.expr | None) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """Each target with its value, also in `self.a, self.b = a, b`."""
    for target in targets:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            yield from zip(target.elts, value.elts)
        else:
            yield target, value


_puts: WeakKeyDictionary[type, frozenset[tuple[str, str]]] = WeakKeyDictionary()


def _digest(value: object, name: str, task: object) -> str:
    identity = identity_of(value)
    if identity is not None:
        return identity.place.key
    return form_digest(key_form(value, f"attribute {name!r} of {type(task).__qualname__}", MOST))


def _version(name: str) -> str:
    """Version of a distribution, or of the one that contains a module of this name."""
    from importlib import metadata  # here: 15 ms, and most tasks do not need it

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        owners = metadata.packages_distributions().get(name.partition(".")[0], [])
    if owners:
        return ", ".join(sorted({metadata.version(owner) for owner in owners}))
    return str(getattr(sys.modules.get(name), "__version__", _NOT_INSTALLED))


def _warn_of_missing(cls: type, names: Sequence[str]) -> None:
    import logging  # here: seldom needed
    from importlib import metadata

    # On Python 3.10, some packages cannot be found by their modules
    known = {*metadata.packages_distributions(), *(each.metadata["Name"] for each in metadata.distributions())}
    for name in [name for name in names if (cls.__qualname__, name) not in _warned]:
        _warned.add((cls.__qualname__, name))
        near = did_you_mean(name, known)
        logging.getLogger("taskproc").warning(
            "task_packages of %s names %r, which is not installed%s", cls.__qualname__, name, near
        )


def _variable(name: str) -> str:
    # Not the text: it may be a secret, and everyone who may read the cache may read records
    value = os.environ.get(name)
    return "not set" if value is None else form_digest(value)
