"""The forms of instances of the user's classes, in both directions: enums, named tuples, dataclasses, attrs, pydantic.

A form consists of the name of the class and the fields. Other attributes are not ignored, because two values that
differ only in these would have one key: hidden ones, and values in the place of a `cached_property`, follow the fields;
others are refused.
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
from taskproc.values.forms import REMEDY, Decoding, Encoding, Json, Refused, refused, type_name


def class_name(kind: type) -> str:
    """The name by which a class can be found; other classes are refused, because local ones may share a name."""
    if not is_findable(kind):
        cause = f"class {type_name(kind)} cannot be found by its name"
        raise Refused(f"has no canonical form ({cause}); define it at the top level of its module")
    return object_name(kind)


def function_name(value: Any) -> str | None:
    """The name of a function or another object that can be found by it; None for other callables."""
    if type(getattr(value, "__qualname__", None)) is str and is_findable(value):
        return object_name(value)
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.MethodType)):
        name = ".".join(filter(None, (value.__module__ and real_name(value.__module__), value.__qualname__)))
        cause = f"function {name} cannot be found by its name"
        remedy = "use a function at the top level of its module, with functools.partial if it needs arguments"
        raise Refused(f"has no canonical form ({cause}); {remedy}")
    return None



def enum_form(value: Enum, encoder: Encoding) -> Json:
    """By the name of the member, or of the single bits of a flag."""
    if isinstance(value, Flag):
        return _flag_form(value, encoder)
    return {"__enum__": [class_name(type(value)), encoder.form(value._name_)]}


def _flag_form(value: Flag, encoder: Encoding) -> Json:
    # Not by its own name: what Python calls a combination changed with 3.11, and so did negative numbers.
    bits = _bits(type(value))
    rest: int = value._value_
    if rest < 0:
        rest += 1 << max(rest.bit_length(), *(bit.bit_length() for bit in bits.values()), 0)
    names: list[Json] = [encoder.form(name) for name in sorted(bits) if rest & bits[name]]
    return {"__flag__": [class_name(type(value)), names, encoder.form(rest & ~sum(bits.values()))]}


def _bits(kind: type[Flag]) -> dict[str, int]:
    named = {member._name_ or "": int(member._value_) for member in kind.__members__.values()}
    return {name: bit for name, bit in named.items() if bit > 0 and bit & (bit - 1) == 0}


def enum_value(body: Any, decoder: Decoding) -> object:
    """The member of a form that `enum_form` made."""
    return find_class(body[0], Enum)[decoder.value(body[1])]


def flag_value(body: Any, decoder: Decoding) -> object:
    """The flag of a form that `enum_form` made."""
    name, members, rest = body
    kind = find_class(name, Flag)
    bits = [kind[decoder.value(member)].value for member in members]
    return kind(functools.reduce(int.__or__, bits, decoder.value(rest)))


def find_class(name: str, base: type = object) -> Any:
    """The class of this name. Raises UnnamableValue if it is not a subclass of `base` any more."""
    cls = find_object(name)
    if not isinstance(cls, type) or not issubclass(cls, base):
        raise UnnamableValue(f"{name!r} is no longer a subclass of {base.__name__}")
    return cls



def fields_form(value: Any, encoder: Encoding) -> Json:
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
        return _pydantic_form(value, names, encoder)
    forms = _forms(value, names, encoder)
    return {tag: [class_name(kind), forms, *_further_forms(value, forms, encoder)]}


def _made_in_c(kind: type) -> type | None:
    """A base with content that is not in attributes, such as Decimal: a subclass with fields is also a number."""
    bases = (base for base in kind.__mro__ if isinstance(vars(base).get("__new__"), types.BuiltinFunctionType))
    return next((base for base in bases if base is not object and base is not tuple), None)


def is_named_tuple(kind: Any) -> bool:
    """Whether a subclass of tuple names its items."""
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


def _forms(value: Any, names: Iterable[str], encoder: Encoding) -> dict[str, Json]:
    forms: dict[str, Json] = {}
    for name in names:
        if not hasattr(value, name):
            raise refused(value, f" without a value for field {name!r}")
        forms[name] = encoder.item(getattr(value, name), f".{name}")
    return forms


# Attributes of Python, attrs and pydantic themselves
_IGNORED = frozenset(
    "__orig_class__ _attrs_cached_hash __pydantic_fields_set__ __pydantic_extra__ __pydantic_private__".split()
)
_MOST_REMEMBERED = 1 << 12


def _further_forms(value: Any, fields: dict[str, Json], encoder: Encoding) -> list[Json]:
    """Names and forms of attributes that are not fields, if any of them count; unknown ones are refused."""
    forms: dict[str, Json] = {}
    for name, content, is_hidden in _further(value, fields):
        if is_hidden:
            forms[name] = encoder.item(content, f".{name}")
        elif isinstance(getattr(type(value), name, None), functools.cached_property):
            # A value without a form is almost certainly the computed one: nobody sets a connection there by hand
            form = encoder.tried(content)
            if form and not _is_as_computed(value, name, [fields, form[0]], encoder):
                forms[name] = form[0]
        else:
            raise refused(value, f" with attribute {name!r} that is not a field", f"declare it as a field, or {REMEDY}")
    return [forms] if forms else []


def _further(value: Any, fields: Collection[str]) -> Iterator[tuple[str, object, bool]]:
    """Name and content of attributes that are not fields, and whether they are hidden: private slots, or `__x__`."""
    entries = {name: (content, name[:2] == "__") for name, content in getattr(value, "__dict__", {}).items()}
    for name, (slot, is_private) in _slots(type(value)).items():
        try:
            entries.setdefault(name, (slot.__get__(value), is_private))
        except AttributeError:
            continue  # the slot is empty
    for name, (content, is_hidden) in entries.items():
        if name not in fields and name not in _IGNORED:
            yield name, content, is_hidden


def _slots(kind: type) -> dict[str, tuple[Any, bool]]:
    """The slots of a class and its bases by their real names, and whether they are private."""
    slots = _known_slots.get(kind)
    if slots is None:
        slots = {}
        for base in kind.__mro__:
            if "__attrs_attrs__" in vars(base):
                continue  # its fields, and values that attrs computes: these are never copied or sent
            private = f"_{base.__name__.lstrip('_')}__"
            for name, slot in vars(base).items():
                if isinstance(slot, types.MemberDescriptorType):
                    slots.setdefault(name, (slot, name.startswith(private)))
        _known_slots[kind] = slots
    return slots


def _is_as_computed(value: Any, name: str, known_by: list[Json], encoder: Encoding) -> bool:
    """Whether a cached value is what the property computes; computed on a copy, once for equal instances."""
    verdicts = _known_verdicts.setdefault(type(value), {})
    text = json.dumps([name, *known_by], sort_keys=True)
    if text not in verdicts:
        if len(verdicts) >= _MOST_REMEMBERED:
            verdicts.clear()
        verdicts[text] = [known_by[1]] == _computed(value, name, encoder)
    return verdicts[text]


def _computed(value: Any, name: str, encoder: Encoding) -> list[Json]:
    """A list with the form of the value that a property computes; empty if it raises or has no form."""
    try:
        fresh = copy.copy(value)
        object.__delattr__(fresh, name)
        return encoder.tried(getattr(fresh, name))
    except Exception:  # noqa: BLE001  # the user's code may raise anything; then the cached value is not computed
        return []


_known_slots: WeakKeyDictionary[type, dict[str, tuple[Any, bool]]] = WeakKeyDictionary()
_known_verdicts: WeakKeyDictionary[type, dict[str, bool]] = WeakKeyDictionary()


def _pydantic_form(value: Any, names: Iterable[str], encoder: Encoding) -> Json:
    # Which fields were given and which have defaults does not count: pydantic's equality ignores it, too
    extra, private = value.__pydantic_extra__, value.__pydantic_private__
    fields = _forms(value, names, encoder)
    forms: list[Json] = [fields, encoder.item(extra, ""), encoder.item(private, "")]
    return {"__pydantic__": [class_name(type(value)), *forms, *_further_forms(value, fields, encoder)]}


def named_tuple_value(body: Any, decoder: Decoding) -> object:
    """The named tuple, without calling its class."""
    kind = find_class(body[0], tuple)
    return _with_further(tuple.__new__(kind, _values(kind, body, decoder).values()), body[2:], decoder)


def fields_value(body: Any, decoder: Decoding) -> object:
    """The instance with the attributes it had, without calling `__init__`."""
    kind = find_class(body[0])
    made: object = object.__new__(kind)
    for name, value in _values(kind, body, decoder).items():
        object.__setattr__(made, name, value)
    return _with_further(made, body[2:], decoder)


def pydantic_value(body: Any, decoder: Decoding) -> object:
    """The model with the fields it had, without validation."""
    kind = find_class(body[0])
    made = kind.__new__(kind)
    made.__setstate__(
        {
            "__dict__": _values(kind, body, decoder),
            "__pydantic_fields_set__": set(body[1]),
            "__pydantic_extra__": decoder.value(body[2]),
            "__pydantic_private__": decoder.value(body[3]),
        }
    )
    return _with_further(made, body[4:], decoder)


def _with_further(made: object, forms: Any, decoder: Decoding) -> object:
    """The instance with its attributes that are not fields."""
    for name, form in forms[0].items() if forms else ():
        object.__setattr__(made, name, decoder.value(form))
    return made


def _values(kind: type, body: Any, decoder: Decoding) -> dict[str, Any]:
    name, forms = body[:2]
    names = _field_names(kind)
    if names is None or set(forms) != set(names):
        raise UnnamableValue(f"{name!r} had the fields {sorted(forms)} and now has {sorted(names or ())}")
    return {field: decoder.value(forms[field]) for field in names}
