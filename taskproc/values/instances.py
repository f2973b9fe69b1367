"""The forms of instances of the user's classes, both ways: enums, named tuples, dataclasses, attrs and pydantic models.

They go by the name of their class and by their fields. What else an instance carries is not left out, or two values
that differ only there would have one key: what it hides, or has put in the place of a `cached_property`, stands behind
the fields; anything else is refused.
"""
from __future__ import annotations

import copy
import dataclasses
import functools
import json
import types
from collections.abc import Collection, Iterable, Iterator
from enum import Enum, Flag
from typing import Any
from weakref import WeakKeyDictionary

from taskproc.errors import UnnamableValue
from taskproc.modules import find_object, is_findable, object_name, real_name
from taskproc.values.forms import REMEDY, Back, Json, Refused, Walk, refused, type_name


def class_name(kind: type) -> str:
    """The name of a class that it can be found by; others are refused, for two local classes may share a name."""
    if not is_findable(kind):
        cause = f"class {type_name(kind)} cannot be found by its name"
        raise Refused(f"has no canonical form ({cause}); define it at the top level of its module")
    return object_name(kind)


def function_name(value: Any) -> str | None:
    """The name of a function, or of what else is found by its own name; None for other callables."""
    if type(getattr(value, "__qualname__", None)) is str and is_findable(value):
        return object_name(value)
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.MethodType)):
        name = ".".join(filter(None, (value.__module__ and real_name(value.__module__), value.__qualname__)))
        cause = f"function {name} cannot be found by its name"
        remedy = "use a function at the top level of its module, with functools.partial if it needs arguments"
        raise Refused(f"has no canonical form ({cause}); {remedy}")
    return None


# ---------------------------------------------------------------- enums


def enum_form(value: Enum, walk: Walk) -> Json:
    """By the name of the member, or of the single bits of a flag."""
    if isinstance(value, Flag):
        return _flag_form(value, walk)
    return {"__enum__": [class_name(type(value)), walk.form(value._name_)]}


def _flag_form(value: Flag, walk: Walk) -> Json:
    # Not by its own name: what Python calls a combination changed with 3.11, and so did negative numbers.
    bits = _bits(type(value))
    rest: int = value._value_
    if rest < 0:
        rest += 1 << max(rest.bit_length(), *(bit.bit_length() for bit in bits.values()), 0)
    names: list[Json] = [walk.form(name) for name in sorted(bits) if rest & bits[name]]
    return {"__flag__": [class_name(type(value)), names, walk.form(rest & ~sum(bits.values()))]}


def _bits(kind: type[Flag]) -> dict[str, int]:
    named = {member._name_ or "": int(member._value_) for member in kind.__members__.values()}
    return {name: bit for name, bit in named.items() if bit > 0 and bit & (bit - 1) == 0}


def enum_value(body: Any, back: Back) -> object:
    """The member that `enum_form` named."""
    return find_class(body[0], Enum)[back.value(body[1])]


def flag_value(body: Any, back: Back) -> object:
    """The flag of these bits."""
    name, members, rest = body
    kind = find_class(name, Flag)
    bits = [kind[back.value(member)].value for member in members]
    return kind(functools.reduce(int.__or__, bits, back.value(rest)))


def find_class(name: str, base: type = object) -> Any:
    """The class of this name. Raises UnnamableValue if it is not of the kind it was."""
    found = find_object(name)
    if not isinstance(found, type) or not issubclass(found, base):
        raise UnnamableValue(f"{name!r} is no longer a class of the kind {base.__name__}")
    return found


# ---------------------------------------------------------------- classes with fields


def fields_form(value: Any, walk: Walk) -> Json:
    """A named tuple, or an instance of a class made by dataclasses, attrs or pydantic; anything else is refused."""
    kind = type(value)
    tag = "__namedtuple__" if isinstance(value, tuple) else "__attrs__"
    if dataclasses.is_dataclass(kind):
        tag = "__dataclass__"
    names = _field_names(kind)
    if names is None:
        raise refused(value)
    if (base := _made_in_c(kind)) is not None:
        raise refused(value, f", a subclass of {type_name(base)}")
    if hasattr(kind, "__pydantic_private__"):
        return _pydantic_form(value, names, walk)
    forms = _forms(value, names, walk)
    return {tag: [class_name(kind), forms, *_further_forms(value, forms, walk)]}


def _made_in_c(kind: type) -> type | None:
    """The base that keeps content of its own, which is in no attribute: a Decimal that has fields is a number, too."""
    bases = (base for base in kind.__mro__ if isinstance(vars(base).get("__new__"), types.BuiltinFunctionType))
    return next((base for base in bases if base is not object and base is not tuple), None)


def is_named_tuple(kind: Any) -> bool:
    """Whether a subclass of tuple says what its items are called."""
    fields = getattr(kind, "_fields", None)
    return type(fields) is tuple and all(type(name) is str for name in fields)


def _field_names(kind: Any) -> Collection[str] | None:
    if issubclass(kind, tuple):
        return tuple(getattr(kind, "_fields"))
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if isinstance(getattr(kind, "__attrs_attrs__", None), tuple):
        return [field.name for field in kind.__attrs_attrs__]
    if hasattr(kind, "__pydantic_private__"):
        return list(kind.model_fields)
    return None


def _forms(value: Any, names: Iterable[str], walk: Walk) -> dict[str, Json]:
    forms: dict[str, Json] = {}
    for name in names:
        if not hasattr(value, name):
            raise refused(value, f" without a value for field {name!r}")
        forms[name] = walk.item(getattr(value, name), f".{name}")
    return forms


# ---------------------------------------------------------------- what stands beside the fields

# What Python, attrs and pydantic keep there themselves
_KEPT = frozenset(
    "__orig_class__ _attrs_cached_hash __pydantic_fields_set__ __pydantic_extra__ __pydantic_private__".split()
)
_MOST_REMEMBERED = 1 << 12


def _further_forms(value: Any, fields: dict[str, Json], walk: Walk) -> list[Json]:
    """Names and forms of what else the instance carries, if anything counts; what must not be there is refused."""
    forms: dict[str, Json] = {}
    for name, content, is_hidden in _further(value, fields):
        if is_hidden:
            forms[name] = walk.item(content, f".{name}")
        elif isinstance(getattr(type(value), name, None), functools.cached_property):
            # Without a form it is most likely what was computed: nobody puts a connection there by hand
            form = walk.tried(content)
            if form and not _is_as_computed(value, name, [fields, form[0]], walk):
                forms[name] = form[0]
        else:
            raise refused(value, f" with attribute {name!r} that is no field", f"declare it as a field, or {REMEDY}")
    return [forms] if forms else []


def _further(value: Any, fields: Collection[str]) -> Iterator[tuple[str, object, bool]]:
    """Name and content of what is no field, and whether it is hidden: `__x` in the slots of a class, or `__x__`."""
    found = {name: (content, name[:2] == "__") for name, content in getattr(value, "__dict__", {}).items()}
    for name, (slot, is_private) in _slots(type(value)).items():
        try:
            found.setdefault(name, (slot.__get__(value), is_private))
        except AttributeError:
            continue  # it is empty
    for name, (content, is_hidden) in found.items():
        if name not in fields and name not in _KEPT:
            yield name, content, is_hidden


def _slots(kind: type) -> dict[str, tuple[Any, bool]]:
    """The slots of a class and its bases by their true names, and whether a class keeps it to itself."""
    slots = _known_slots.get(kind)
    if slots is None:
        slots = {}
        for base in kind.__mro__:
            if "__attrs_attrs__" in vars(base):
                continue  # its fields, and what attrs has computed for it: that goes into no copy, and to no task
            private = f"_{base.__name__.lstrip('_')}__"
            for name, slot in vars(base).items():
                if isinstance(slot, types.MemberDescriptorType):
                    slots.setdefault(name, (slot, name.startswith(private)))
        _known_slots[kind] = slots
    return slots


def _is_as_computed(value: Any, name: str, known_by: list[Json], walk: Walk) -> bool:
    """Whether a property would give what is kept of it: asked of a copy, and once for equal instances."""
    verdicts = _known_verdicts.setdefault(type(value), {})
    text = json.dumps([name, *known_by], sort_keys=True)
    if text not in verdicts:
        if len(verdicts) >= _MOST_REMEMBERED:
            verdicts.clear()
        verdicts[text] = [known_by[1]] == _computed(value, name, walk)
    return verdicts[text]


def _computed(value: Any, name: str, walk: Walk) -> list[Json]:
    """The form of what a property gives now; none, if it gives nothing that has one."""
    try:
        fresh = copy.copy(value)
        object.__delattr__(fresh, name)
        return walk.tried(getattr(fresh, name))
    except Exception:  # noqa: BLE001  # whatever the user's own code raises: so it did not give what is kept
        return []


_known_slots: WeakKeyDictionary[type, dict[str, tuple[Any, bool]]] = WeakKeyDictionary()
_known_verdicts: WeakKeyDictionary[type, dict[str, bool]] = WeakKeyDictionary()


def _pydantic_form(value: Any, names: Iterable[str], walk: Walk) -> Json:
    # Which fields were given and which defaulted is no part: pydantic's own equality ignores it.
    extra, private = value.__pydantic_extra__, value.__pydantic_private__
    fields = _forms(value, names, walk)
    forms: list[Json] = [fields, walk.item(extra, ""), walk.item(private, "")]
    return {"__pydantic__": [class_name(type(value)), *forms, *_further_forms(value, fields, walk)]}


def named_tuple_value(body: Any, back: Back) -> object:
    """The named tuple, without calling its class."""
    kind = find_class(body[0], tuple)
    return _with_further(tuple.__new__(kind, _values(kind, body, back).values()), body[2:], back)


def fields_value(body: Any, back: Back) -> object:
    """The instance with the attributes it had, without calling `__init__`."""
    kind = find_class(body[0])
    made: object = object.__new__(kind)
    for name, value in _values(kind, body, back).items():
        object.__setattr__(made, name, value)
    return _with_further(made, body[2:], back)


def pydantic_value(body: Any, back: Back) -> object:
    """The model with the fields it had, without validation."""
    kind = find_class(body[0])
    made = kind.__new__(kind)
    made.__setstate__(
        {
            "__dict__": _values(kind, body, back),
            "__pydantic_fields_set__": set(body[1]),
            "__pydantic_extra__": back.value(body[2]),
            "__pydantic_private__": back.value(body[3]),
        }
    )
    return _with_further(made, body[4:], back)


def _with_further(made: object, forms: Any, back: Back) -> object:
    """The instance with what stood beside its fields."""
    for name, form in forms[0].items() if forms else ():
        object.__setattr__(made, name, back.value(form))
    return made


def _values(kind: type, body: Any, back: Back) -> dict[str, Any]:
    name, forms = body[:2]
    names = _field_names(kind)
    if names is None or set(forms) != set(names):
        raise UnnamableValue(f"{name!r} had the fields {sorted(forms)} and has now {sorted(names or ())}")
    return {field: back.value(forms[field]) for field in names}
