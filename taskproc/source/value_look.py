"""One value, one level deep: its kind, its parts, its text; and how to read them past its class.

Nothing here runs the user's code. Attributes are read from the instance's dict and slots, content through the methods
of the built-in class, and the class of a value is its `type`, never what it says itself.
"""
from __future__ import annotations

import base64
import collections
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    WrapperDescriptorType,
)
from typing import Any, NamedTuple

from taskproc.attributes import SCALARS, identity
from taskproc.values.encode import plain_text
from taskproc.values.forms import path_step

LARGEST = 1 << 16  # characters of text; longer ones are written as their size and a digest
_SHORT = 64         # bytes that are written as they are

PLAIN = SCALARS | {range, type(...), type(NotImplemented)}
LEAVES = frozenset(map(identity, PLAIN))  # by id: a metaclass may define its own hash
_quick = json.JSONEncoder(check_circular=False, allow_nan=False, separators=(",", ":")).encode
_WORD = frozenset({identity(str)})
QUICK = frozenset(map(identity, SCALARS - {complex, bytes}))  # the types that JSON has


class Look(NamedTuple):
    """One value, one level deep.

    Attributes:
        tag: its kind; empty for a list, and for a dict whose keys are all strings.
        head: JSON of a part of its content.
        code: a class, function or module that belongs to it.
        parts: the values in it, in order.
        names: the attribute or key of each part, which belongs to the text.
        steps: the way from the value to each part, for people; None: its number.
        is_unordered: whether the order of the parts has no meaning.
        cause: why it is not known as a whole, in words; empty if it is.
        is_silent: whether the cause is not listed.
        hidden: values that do not belong to its text, but may hold code.
    """

    tag: str
    head: str = ""
    code: object = None
    parts: Sequence[object] = ()
    names: Sequence[str] | None = None
    steps: Sequence[str] | None = None
    is_unordered: bool = False
    cause: str = ""
    is_silent: bool = False
    hidden: Sequence[object] = ()

    def step(self, number: int) -> str:
        """The way from the value to a part."""
        if self.steps is not None:
            return self.steps[number]
        return f"[{number}]" if self.names is None else path_step(self.names[number])

    def text(self, name: str, texts: list[str]) -> str:
        """The canonical text, made of the name of its code and the texts of its parts."""
        if self.is_unordered:
            texts = sorted(texts)
        if self.names is None:
            inner = f"[{','.join(texts)}]"
        else:
            inner = f"{{{','.join(f'{json_word(word)}:{text}' for word, text in zip(self.names, texts))}}}"
        if not self.tag:
            return inner
        known = [json_word(name)] if name else []
        known += [self.head] if self.head else []
        if texts or not known:
            known.append(inner)
        return f'{{"__{self.tag}__":{known[0] if len(known) == 1 else "[" + ",".join(known) + "]"}}}'


def leaf_text(value: Any) -> str:
    """The text of a value whose type is in PLAIN."""
    kind = type(value)
    if kind in (str, bytes):
        return _words(value)
    text = plain_text(value)
    if text is not None:
        return text
    if kind is complex:
        return f'{{"__complex__":[{plain_text(value.real)},{plain_text(value.imag)}]}}'
    if kind is range:
        return f'{{"__range__":[{value.start},{value.stop},{value.step}]}}'
    return f'{{"__constant__":"{value!r}"}}'


def _words(value: Any) -> str:
    if type(value) is bytes:
        return f'{{"__bytes__":{bytes_text(value)}}}'
    if len(value) > LARGEST:
        return f'{{"__str__":{long_text(value)}}}'
    return str(plain_text(value))


def bytes_text(content: Any) -> str:
    """JSON of bytes: in full if they are few, else size and digest."""
    if len(content) <= _SHORT:
        return f'"{base64.b64encode(content).decode("ascii")}"'
    return f'[{len(content)},"{hashlib.blake2b(content, digest_size=16).hexdigest()}"]'


def long_text(text: str) -> str:
    """JSON that stands for a long text: its length and digest."""
    content = text.encode("utf-8", "surrogatepass")
    return f'[{len(text)},"{hashlib.blake2b(content, digest_size=16).hexdigest()}"]'


def json_word(text: str) -> str:
    """JSON of a string."""
    return str(plain_text(text))


def flat_text(value: Any) -> str | None:
    """The text of a list, or of a dict with strings as keys, if it holds only values of PLAIN; else None."""
    if type(value) is dict:
        if not _WORD.issuperset(map(identity, map(type, value))) or not all(map(_is_key, value)):
            return None
        values: Any = value.values()
    else:
        values = value
    kinds = set(map(identity, map(type, values)))
    if not kinds <= LEAVES:
        return None
    if kinds <= QUICK and all(_is_short(item) for item in values if type(item) is str):
        try:
            return _quick(value)
        except ValueError:  # NaN, or more digits than Python writes
            pass
    texts = map(leaf_text, values)
    if value is values:
        return f"[{','.join(texts)}]"
    return f"{{{','.join(f'{json_word(key)}:{text}' for key, text in zip(value, texts))}}}"


def _is_key(key: str) -> bool:
    return key[:2] != "__" and key.isascii()


def _is_short(text: str) -> bool:
    return text.isascii() and len(text) <= LARGEST


def all_plain(values: Iterable[object]) -> bool:
    """Whether the types of all values are in PLAIN."""
    return LEAVES.issuperset(map(identity, map(type, values)))


# ---------------------------------------------------------------- reading past the class


def qualified_name(kind: type) -> str:
    """`module.qualname`, or only the name of a builtin class, for messages."""
    module, name = type.__getattribute__(kind, "__module__"), type.__getattribute__(kind, "__qualname__")
    return str(name) if module == "builtins" else f"{module}.{name}"


def hashes_by_itself(kind: type) -> bool:
    """Whether a class can be looked up in a dict without running code of its metaclass."""
    return type(kind).__hash__ is object.__hash__


def class_attribute(kind: type, name: str) -> Any:
    """The attribute of a class or of one of its bases, without calling a descriptor; None if there is none."""
    for base in kind.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None


def instance_dict(value: object) -> dict[str, object]:
    """The attributes of an instance, read past its class; empty if it has none."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def slot_members(kind: type) -> dict[str, Any]:
    """Slot → its descriptor; those of bases first."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        own = vars(base).items()
        found |= {name: member for name, member in own if type(member) is MemberDescriptorType and name != "__dict__"}
    return found


def slot_values(value: object, members: dict[str, Any]) -> dict[str, object]:
    """Slot → value, of the slots that have one."""
    found: dict[str, object] = {}
    for name, member in members.items():
        try:
            found[name] = member.__get__(value)
        except AttributeError:  # it holds nothing
            continue
    return found

# Wrappers of functions → the attributes that hold what they wrap
_WRAPPERS: dict[type, tuple[str, ...]] = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    MethodType: ("__func__",),
    functools.cached_property: ("func",),
    functools.singledispatchmethod: ("func", "dispatcher"),
    type(functools.lru_cache(len)): ("__wrapped__",),
}


def wrapped(value: Any) -> list[object] | None:
    """What a wrapper from the standard library wraps, such as a property; None for any other value."""
    kind = type(value)
    names = _WRAPPERS.get(kind) if hashes_by_itself(kind) else None
    if names is None:
        return None
    return [inner for name in names if (inner := getattr(value, name, None)) is not None]
FIELD: type = type(vars(Look)["tag"])  # what gives the field of a named tuple; it has no public name
OPAQUE = frozenset(
    {
        FIELD,
        BuiltinFunctionType,
        GetSetDescriptorType,
        MemberDescriptorType,
        MethodDescriptorType,
        MethodWrapperType,
        WrapperDescriptorType,
    }
)


def is_code(value: object) -> bool:
    """Whether a value is a class, a function, or a plain wrapper of one."""
    return issubclass(type(value), (FunctionType, type)) or wrapped(value) is not None

CHANGEABLE = frozenset(
    {list, dict, set, bytearray}
    | {collections.deque, collections.OrderedDict, collections.defaultdict, collections.Counter}
)
