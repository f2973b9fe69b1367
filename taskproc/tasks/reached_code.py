"""The code that has run, if it is not the code that the run has read.

A module that is imported while a task runs may have been edited since the run began. A worker imports modules when it
first needs them: a file may have been edited since the main process imported it, and no worker knows values that a
program has set there, such as `settings.rate = 0.1`. The result was made by the code that ran.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from taskproc.attributes import slots_of
from taskproc.kernel.rebuild import some_names
from taskproc.modules import main_name, real_name
from taskproc.source.canonical import code_within
from taskproc.source.fingerprint import digest_of
from taskproc.source.source_files import loaded_otherwise
from taskproc.store.disk import DiskStore
from taskproc.tasks.binding import FLAT, rules_of
from taskproc.tasks.future import Const, FutureDict, FutureList, Item, Upstream
from taskproc.tasks.settings import NOTHING_LEFT
from taskproc.tasks.task_code import fingerprint
from taskproc.tasks.task_graph import attributes, original

_MISSING = object()


class Loaded(NamedTuple):
    """The digest of the code that runs here, and in words which items differ from those in the main process.

    `packages`: the versions of the packages that it reaches here, which may be another machine; None: not known.
    """

    code: str
    differing: str
    packages: Mapping[str, str] | None = None


_known: dict[tuple[object, ...], Loaded] = {}


def loaded_code(task: Any, code: str, store: DiskStore) -> Loaded:
    """The code that `task` runs here, if the run has `code`. Called once per class, before any of it runs.

    Only code that was loaded at both ends is compared: the definitions of `__main__` were sent, but not all code around
    them.
    """
    key = (type(task), *code_of_values(task), code)
    if key not in _known:
        _known[key] = _compared(task, code, store)
    return _known[key]


def ran_code(task: Any, loaded: Loaded, store: DiskStore) -> Loaded:
    """The code that `task` has run: `loaded`, unless a module was edited after its file was read and before its import.

    Called after the run. If nothing was imported late, it only compares two numbers.
    """
    late = loaded_otherwise()
    if not late:
        return loaded
    key = (type(task), *code_of_values(task), loaded.code, late)
    if key not in _known:
        _known[key] = _compared(task, loaded.code, store, frozenset(map(real_name, late)))
    ran = _known[key]
    packages = loaded.packages if ran.packages is None else ran.packages
    return Loaded(ran.code, ran.differing or loaded.differing, packages)


def _compared(task: Any, code: str, store: DiskStore, late: frozenset[str] | None = None) -> Loaded:
    """The code that is here, if it is not `code`. `late`: modules that count as loaded here; others stay."""
    name = task._taskproc.place.name
    then = store.code(name, code) or {}
    items, texts = then.get("items"), then.get("texts")
    if not isinstance(items, Mapping) or not isinstance(texts, Mapping):
        return Loaded(code, "")  # cleared in the meantime: nothing to compare with
    here = fingerprint(type(task), code_of_values(task))
    others = [item for item in here.items if _is_other(item, items, here.items)]
    if late is not None:
        others = [item for item in here.items if _module(item) in late and items.get(item) != here.items[item]]
    # An edited module counts as it is here, with the items it no longer reaches and those it reaches now
    edited = {*map(_module, others), *(late or ())}
    gone = [item for item in items if _module(item) in edited and item not in here.items]
    if not others and not gone:
        return Loaded(code, "", here.packages)
    others += [item for item in here.items if item not in items and item not in others and _module(item) != main_name()]
    mixed = {item: number for item, number in items.items() if item not in gone}
    mixed = dict(sorted({**mixed, **{item: here.items[item] for item in others}}.items()))
    shown = {**texts, **{item: here.texts[item] for item in others}}
    found = digest_of(mixed)
    content = {"items": mixed, "texts": {item: shown.get(item, "") for item in mixed}}
    store.keep_code(name, found, {**then, **content, "untracked": list(here.untracked)})
    return Loaded(found, some_names([*others, *gone]), here.packages)


def _module(item: str) -> str:
    """The module that contains an item of code."""
    return item.partition(":")[0] if ":" in item else item.removeprefix("module ").partition(" ")[0]


def _is_other(item: str, then: Mapping[str, str], here: Mapping[str, str]) -> bool:
    """Whether an item that exists at both ends differs."""
    if then.get(item) == here[item] or _module(item) == main_name():
        return False
    name = item.partition("#")[0]
    if "#" not in item and f"{item}#2" not in then and f"{item}#2" not in here:
        return item in then
    # Which of several lambdas is `#2` depends on all code that is reached
    known = [number for some, number in then.items() if some.partition("#")[0] == name]
    return bool(known) and here[item] not in known


def code_of_values(task: Any) -> tuple[Any, ...]:
    """The user's functions and classes that `task` holds at any depth, each once and in order.

    An instance contributes its class: the key has its content, and its methods are called without being named. So does
    a task: attributes that are read of it besides its result count. Computed once, because code that runs later may
    change the attributes.
    """
    identity = task._taskproc
    if identity.given is None and identity.left is None and _is_plain(original(task), identity.arguments):
        identity.given, identity.left = (), NOTHING_LEFT  # most tasks of a large graph
    if identity.given is None:
        ignored = rules_of(type(task)).ignored
        left_out = {id(some) for name, some in identity.arguments.items() if name in ignored and type(some) not in FLAT}
        values = [some for name, some in identity.arguments.items() if name not in ignored and type(some) not in FLAT]
        values += [
            some
            for name, some in attributes(task)
            if name not in ignored and type(some) not in FLAT and id(some) not in left_out
        ]
        identity.given = _sorted_code(values) if values else ()
    found: tuple[Any, ...] = identity.given
    return found


def _is_plain(task: Any, arguments: Mapping[str, object]) -> bool:
    """Whether a task holds only its arguments, under their names, all of types that hold no other objects."""
    held = vars(task)
    if len(held) != len(arguments) + 1 or slots_of(type(task)):  # one more: `_taskproc`
        return False
    for name, value in arguments.items():
        if type(value) not in FLAT or held.get(name, _MISSING) is not value:
            return False
    return True


def _sorted_code(values: Iterable[object]) -> tuple[Any, ...]:
    return tuple(sorted(code_within(values, _instead), key=lambda code: (str(code.__module__), code.__qualname__)))


def _instead(value: object) -> Iterable[object] | type | None:
    """For a future, the values that it holds; for a task, its class; None for any other object."""
    kind = type(value)
    if not issubclass(kind, Upstream):
        return None
    if issubclass(kind, Const):
        return (value._value,)  # type: ignore[attr-defined]
    if issubclass(kind, Item):
        return (value.parent,)  # type: ignore[attr-defined]
    if issubclass(kind, FutureList):
        return list.__iter__(value)  # type: ignore[arg-type]
    if issubclass(kind, FutureDict):
        return [*dict.keys(value), *dict.values(value)]  # type: ignore[arg-type]
    return kind
