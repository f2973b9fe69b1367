"""Values as text: one text for one value, the same in every process; and the code that values hold.

A part without a form stands in the text by its class and is listed with its place; everything around it counts. No code
of the user runs for it, except the hooks that exist to name a value. Nothing recurses, so values may be nested to any
depth. There is no bound on size: a long text is replaced by its size and a digest. So an object that occurs in several
places is written once, and an object that holds itself is written as the place where it occurs first.
"""
from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from taskproc.attributes import identity
from taskproc.modules import real_name
from taskproc.source.library_values import FORMS
from taskproc.source.project import is_users_class, is_users_code, is_users_module
from taskproc.source.value_kinds import Inspector
from taskproc.source.value_look import (
    CHANGEABLE,
    LARGEST,
    LEAVES,
    Look,
    all_plain,
    flat_text,
    is_code,
    json_word,
    leaf_text,
    long_text,
)

# Its place was listed where the code names it
_CHANGED = Look("changed", cause="is changed by the code itself", is_silent=True)
_ALIKE = 8  # places with the same cause that are listed one by one

Meet = Callable[[object], str]  # follows a class, function or module, and gives the name of its item


_SIZED = frozenset(map(identity, (str, bytes, bytearray, list, tuple, dict, set, frozenset)))


class Unnamable(Exception):
    """A value has no complete canonical text; the message says why."""


class Canonical(NamedTuple):
    """A value as text.

    Attributes:
        unknown: of each part without a form, its place within the value, such as `.model[0]`, and the cause.
        is_whole: whether all of it counts. False also if only parts are missing that are never listed, such as locks.
        is_empty: whether nothing but its class counts.
        libraries: modules of the classes and functions of libraries in it.
    """

    text: str
    unknown: tuple[tuple[str, str], ...]
    is_whole: bool
    is_empty: bool
    libraries: Collection[str]


def value_text(value: object, meet: Meet) -> str:
    """The canonical text of a value, in which classes and functions stand by the names of their items.

    Args:
        meet: called for each class, function and module in it, and for the class of each instance in it.

    Raises:
        Unnamable: a part has no form.
    """
    found = canonical_form(value, meet)
    if not found.is_whole:
        raise Unnamable(" ".join(found.unknown[0]).strip() if found.unknown else "has no canonical form")
    return found.text


def canonical_form(
    value: object, meet: Meet, changing: Collection[int] = (), most: int | None = None, keeps_all: bool = False
) -> Canonical:
    """The canonical text of a value, and what is missing in it.

    Args:
        meet: as in `value_text`.
        changing: ids of values that the code changes; their content does not count.
        most: about how many elements, characters and bytes are read at most.
        keeps_all: whether attributes count that methods change, because no method has run yet.

    Raises:
        Unnamable: the value is larger than `most`.
    """
    if identity(type(value)) in LEAVES:
        _refuse_more(_size(value), most)
        return Canonical(leaf_text(value), (), True, False, ())
    return _TextWriter(meet, changing, most, keeps_all).write(value)


class _Frame:
    """A value of which some parts are written already."""

    __slots__ = ("at", "is_bent", "look", "name", "texts", "value")

    def __init__(self, value: object, look: Look, name: str):
        self.value, self.look, self.name = value, look, name
        self.texts: list[str] = []
        self.at = 0
        self.is_bent = False  # whether it refers back to a value around it

    def step(self) -> str:
        """The way from the value to the part that is written now."""
        return self.look.step(self.at - 1)


class _TextWriter:
    """Writes one value, with a stack of frames instead of recursion."""

    def __init__(self, meet: Meet, changing: Collection[int], most: int | None, keeps_all: bool):
        self._meet, self._changing, self._most = meet, changing, most
        self._insight = Inspector(changes=not keeps_all)
        self._frames: list[_Frame] = []
        self._open: dict[int, int] = {}    # id of a value → level of its frame
        self._done: dict[int, str] = {}    # id → text, of values that do not refer back
        self._places: dict[int, str] = {}  # id → place, of values that do
        self._kept: list[object] = []      # keeps values alive, so that no id is used twice
        self._names: dict[int, str] = {}   # id of a class, function or module → its name
        self._libraries: dict[str, None] = {}
        self._unknown: list[tuple[str, str]] = []
        self._causes: collections.Counter[str] = collections.Counter()
        self._size = 0
        self._is_whole = True

    def write(self, value: object) -> Canonical:
        text = self._enter(value)
        is_empty = bool(self._frames) and bool(self._frames[0].look.cause) and not self._frames[0].look.parts
        while self._frames:
            frame = self._frames[-1]
            if frame.at < len(frame.look.parts):
                frame.at += 1
                text = self._enter(frame.look.parts[frame.at - 1])
            else:
                text = self._close()
            if text is not None and self._frames:
                self._frames[-1].texts.append(text)
        assert text is not None, "the last frame has a text [this is a bug]"
        many = [(cause, count - _ALIKE) for cause, count in self._causes.items() if count > _ALIKE]
        more = [("", f"{cause}, {count} more like it") for cause, count in many]
        return Canonical(text, (*self._unknown, *more), self._is_whole, is_empty, tuple(self._libraries))

    def _enter(self, value: Any) -> str | None:
        """The text of a value that is written at once; None if it got a frame, because its parts come first."""
        kind = type(value)
        if self._most is not None:
            self._size += _size(value)
            _refuse_more(self._size, self._most)
        if identity(kind) in LEAVES:
            return leaf_text(value)
        known = self._done.get(identity(value))
        if known is not None:
            return known
        if identity(value) in self._open or identity(value) in self._places:
            return self._again(value)
        if kind in (list, dict) and (text := flat_text(value)) is not None and identity(value) not in self._changing:
            return _shortened(text)
        changes = identity(value) in self._changing and kind in CHANGEABLE
        look = _CHANGED if changes else self._look(value)
        self._kept.append(value)
        self._open[identity(value)] = len(self._frames)
        name = self._named(look.code) if look.code is not None else ""
        if look.tag in FORMS:
            self._libraries[look.tag] = None
        elif look.tag == "function":
            self._libraries[look.head.strip('"').partition(":")[0]] = None
        if look.cause:
            self._miss(look)
        for code in code_within(look.hidden):
            self._named(code)
        self._frames.append(_Frame(value, look, name))
        return None

    def _look(self, value: Any) -> Look:
        try:
            return self._insight.look(value)
        except Exception as error:  # noqa: BLE001  # a library may raise anything when its objects are inspected
            return Look("unknown", code=type(value), cause=f"could not be named ({type(error).__name__})")

    def _close(self) -> str:
        frame = self._frames.pop()
        del self._open[identity(frame.value)]
        text = _shortened(frame.look.text(frame.name, frame.texts))
        if not frame.is_bent:
            self._done[identity(frame.value)] = text
            return text
        # Not inside a set: the place would depend on its order, which differs between processes
        if not any(outer.look.is_unordered for outer in self._frames):
            self._places[identity(frame.value)] = self._place()
        if self._frames:
            self._frames[-1].is_bent = True
        return text

    def _again(self, value: object) -> str:
        level = self._open.get(identity(value))
        self._frames[-1].is_bent = True
        place = self._place(level) if level is not None else self._places[identity(value)]
        return f'{{"__again__":{json_word(place)}}}'

    def _place(self, level: int | None = None) -> str:
        """The way from the whole value to the present part, or to the value of the frame at `level`."""
        return "".join(frame.step() for frame in self._frames[:level])

    def _miss(self, look: Look) -> None:
        self._is_whole = False
        if look.is_silent:
            return
        self._causes[look.cause] += 1
        if self._causes[look.cause] <= _ALIKE:
            self._unknown.append((self._place(), look.cause))

    def _named(self, code: Any) -> str:
        """The name of a class, function or module; it is followed if it belongs to the user."""
        if identity(code) not in self._names:
            self._kept.append(code)
            self._names[identity(code)] = self._met(code)
        return self._names[identity(code)]

    def _met(self, code: Any) -> str:
        if issubclass(type(code), ModuleType):
            name = str(vars(code).get("__name__"))
            if is_users_module(code):
                return self._meet(code) or name
            self._libraries[name] = None
            return f"module {name}"
        users = is_users_code(code.__code__, code.__globals__) if type(code) is FunctionType else is_users_class(code)
        if not users:
            self._libraries[str(code.__module__)] = None
        return self._meet(code) or f"{real_name(str(code.__module__))}:{code.__qualname__}"


def _shortened(text: str) -> str:
    return text if len(text) <= LARGEST else f'{{"__large__":{long_text(text)}}}'


def _size(value: Any) -> int:
    """About how much there is to read of a value without its parts: elements, characters or bytes."""
    kind = type(value)
    if identity(kind) in _SIZED:
        return len(value)
    size = getattr(value, "nbytes", 1) if kind.__module__ == "numpy" else 1
    return size if type(size) is int else 1


def _refuse_more(size: int, most: int | None) -> None:
    if most is not None and size > most:
        raise Unnamable(f"is larger than {most >> 10} kB")


def code_within(
    values: Iterable[object], instead: Callable[[object], Iterable[object] | type | None] = lambda value: None
) -> list[Any]:
    """The user's functions and classes in `values`, at any depth, each once, in the order in which they occur.

    The class of an instance is among them, because its methods are called without being named. No hook of the user
    runs.

    Args:
        instead: gives the values to look at in place of a value. None: the value itself. A class: only this class, and
            no other instance of it is looked at.
    """
    found: dict[int, Any] = {}
    seen: dict[int, object] = {}
    passed = set(LEAVES)  # of classes, by id, whose instances need no look
    insight = Inspector(names=False, changes=False)
    todo = [iter(values)]
    while todo:
        value = next(todo[-1], _NO_MORE)
        if value is _NO_MORE:
            todo.pop()
        elif identity(type(value)) not in passed and identity(value) not in seen:
            seen[identity(value)] = value
            others = instead(value)
            if isinstance(others, type):
                passed.add(identity(others))
                todo.append(iter((others,)))
                continue
            if others is not None:
                todo.append(iter(others))
                continue
            if type(value) in (list, tuple) and all_plain(value):  # type: ignore[arg-type]
                continue
            look = insight.look(value)
            if look.code is not None and _is_users_definition(look.code):
                found.setdefault(identity(look.code), look.code)
            todo.append(iter([*look.parts, *look.hidden]))
    return list(found.values())


_NO_MORE = object()


def _is_users_definition(code: Any) -> bool:
    if type(code) is FunctionType:
        return is_users_code(code.__code__, code.__globals__)
    return issubclass(type(code), type) and is_users_class(code)
_SEQUENCES = frozenset({list, tuple, set, frozenset, collections.deque})
_MOST = 20_000  # elements of a container that are looked at


def code_held(value: Any) -> Iterator[object]:
    """The code in a value whose content does not count, such as a registry.

    This is what `code_within` finds, and, one or two levels down, modules and the code of libraries.
    """
    items: list[Any] = [value]
    if type(value) in _SEQUENCES:
        items = list(itertools.islice(value, _MOST))
    elif issubclass(type(value), dict):
        items = [*itertools.islice(dict.values(value), _MOST), *itertools.islice(dict.keys(value), _MOST)]
    for item in items:
        for part in item if type(item) in (list, tuple) and item is not value else (item,):
            is_met = is_code(part) or issubclass(type(part), ModuleType)
            yield from (part,) if is_met else code_within([part])
