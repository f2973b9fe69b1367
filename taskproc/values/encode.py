"""Values to canonical forms: one text per value and type, the same in every process and on every Python.

Values that JSON does not have are tagged, so values of two types never have the same form; nothing depends on hash(),
on the order of a set, or on a repr. The order of a dict counts, because code that gets the dict can see it. A value
without a form is refused, with its place and the remedy: a guessed key (from pickle, repr, str or __dict__) would give
a wrong result one day.
"""
from __future__ import annotations

import base64
import collections
import datetime as dt
import functools
import hashlib
import json
import pathlib
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from typing import Any, TypeVar

from taskproc.errors import UnnamableValue
from taskproc.modules import object_name
from taskproc.values.forms import (
    MAKE_IT,
    REGISTRY,
    Json,
    Refused,
    numpy_form,
    path_step,
    refused,
    remedy_for,
    type_name,
)
from taskproc.values.frames import pandas_form, polars_form
from taskproc.values.instances import class_name, enum_form, fields_form, function_name, is_named_tuple

T = TypeVar("T")

# Forms are read and written by recursion, and by json's own; 100 levels of any kind fit below Python's limit.
MAX_DEPTH = 100
KEY_BYTES = 64
JSON_BYTES = 1 << 16


def key_form(value: object, where: str, most: int | None = None) -> Json:
    """The form that keys are made of. Content over 64 bytes (bytes, arrays, columns) is replaced by size and SHA-256.

    Args:
        where: the place in words, `argument 'model' of Train`; the path inside the value is added to its first part:
            `argument 'model.head[3]' of Train`.
        most: limit for the bytes of content and the elements of a list, tuple or set; a larger value is refused before
            it is read.

    Raises:
        UnnamableValue: a part of `value` has no form.
    """
    plain = _PLAIN.get(type(value))
    return plain(value) if plain is not None else _encode(value, where, Encoder(True, most))


def json_form(value: object, where: str) -> Json:
    """The form that people and `value_of_form` read. Content over 64 KiB is replaced by a digest and cannot be decoded.

    Raises as `key_form`.
    """
    plain = _PLAIN.get(type(value))
    return plain(value) if plain is not None else _encode(value, where, Encoder(False))


def canonical_text(form: Json) -> str:
    """The JSON text of a form, of which there is one: sorted keys, ASCII, no spaces."""
    return _write(form)


def plain_text(value: object) -> str | None:
    """`canonical_text(key_form(value, …))` for a number, a text, a bool or None, in a tenth of the time; else None."""
    write = _TEXTS.get(type(value))
    return write(value) if write is not None else None


def form_digest(form: Json) -> str:
    """32 hex characters, BLAKE2b-128 of the canonical text."""
    return text_digest(_write(form))


def text_digest(text: str) -> str:
    """32 hex characters, BLAKE2b-128 of a canonical text."""
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()


def register(type_: type[T], encode: Callable[[T], object], decode: Callable[[Any], T] | None = None) -> None:
    """Give values of exactly the class `type_` a form: that of `encode(value)`, with the name of the class.

    Args:
        decode: makes the value from the result of `encode`.

    A second registration for a class of the same name replaces the first.

    Raises:
        TypeError: `type_` is not a class.
        ValueError: values of the class have a form already.
    """
    if not isinstance(type_, type):
        raise TypeError(f"register needs a class, got {type(type_).__name__}")
    if type_ in _PLAIN or type_ in _EXACT or of_library(type_) is not None:
        raise ValueError(f"{type_name(type_)} has a canonical form of its own")
    for other in [kind for kind in REGISTRY if object_name(kind) == object_name(type_)]:
        del REGISTRY[other]
    REGISTRY[type_] = (encode, decode)


_write = json.JSONEncoder(
    ensure_ascii=True, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


class Encoder:
    """Encodes one value; knows how long content may be, and the present depth."""

    __slots__ = ("_depth", "_most", "exact", "for_key")

    def __init__(self, for_key: bool, most: int | None = None, *, exact: bool = False):
        self.for_key = for_key
        self.exact = exact
        self._most = most
        self._depth = 0

    def form(self, value: object) -> Json:
        kind = type(value)
        plain = _PLAIN.get(kind)
        if plain is not None:
            return plain(value)
        if self._depth >= MAX_DEPTH:
            raise Refused(f"is nested more than {MAX_DEPTH} levels deep, so it has no canonical form; {MAKE_IT}")
        self._depth += 1  # not taken back on failure, because the first refusal ends the encoding
        form = self.inner(value, kind)
        self._depth -= 1
        return form

    def inner(self, value: object, kind: type) -> Json:
        """The form of a value that is not plain."""
        return (_EXACT.get(kind) or _other)(value, self)

    def item(self, value: object, step: str) -> Json:
        try:
            return self.form(value)
        except Refused as refusal:
            refusal.below(step, value)
            raise

    def tried(self, value: object) -> list[Json]:
        depth = self._depth
        try:
            return [self.form(value)]
        except Refused:
            self._depth = depth
            return []

    def refuse_more(self, size: int) -> None:
        """Refuse a value above the limit of size."""
        if self._most is not None and size > self._most:
            raise Refused(f"is too large to be looked at ({size:,})")

    def raw(self, data: bytes | memoryview) -> Json:
        self.refuse_more(len(data))
        if len(data) <= self._limit():
            return base64.b64encode(data).decode("ascii")
        return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    def bulk(self, values: Iterable[tuple[str, object]]) -> Json:
        forms = [self.item(value, step) for step, value in values]
        text = _write(forms)
        if len(text) <= self._limit():
            return forms
        return {"size": len(text), "sha256": hashlib.sha256(text.encode("ascii")).hexdigest()}

    def _limit(self) -> int:
        return KEY_BYTES if self.for_key else JSON_BYTES


def _encode(value: object, where: str, encoder: Encoder) -> Json:
    try:
        return encoder.form(value)
    except Refused as refusal:
        raise UnnamableValue(_message(refusal, value, where)) from None
    except RecursionError as error:
        raise UnnamableValue(f"{where} is nested too deeply for what is left of the stack") from error


def _message(refusal: Refused, value: object, where: str) -> str:
    head, of, owner = where.partition(" of ")
    name, quote = (head[:-1], "'") if head.endswith("'") else (head, "")
    way = [("", value), *reversed(refusal.way)]
    seen: dict[int, int] = {}
    for level, (_, part) in enumerate(way):
        first = seen.setdefault(id(part), level)
        if first != level and part is not None:
            remedy = remedy_for(type(part))
            inner, outer = (name + "".join(step for step, _ in way[: end + 1]) + quote for end in (level, first))
            return f"{inner}{of}{owner} is {outer} again: a value that contains itself has no canonical form; {remedy}"
    steps = [step for step, _ in way]
    path = "".join(steps if len(steps) <= 12 else [*steps[:6], "...", *steps[-3:]])
    return f"{name}{path}{quote}{of}{owner} {refusal.reason}"




def _str(text: str) -> Json:
    # In JSON, two surrogates and the character that they encode look the same
    return text if _is_text(text) else {"__str__": text.encode("utf-8", "surrogatepass").hex()}


def _is_text(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _int(number: int) -> Json:
    # Hexadecimal, because Python refuses to write more than 4300 decimal digits
    return number if -(1 << 63) < number < 1 << 63 else {"__int__": hex(number)}


def _float(number: float) -> Json:
    if number - number == 0:
        return number
    return {"__float__": "nan" if number != number else "inf" if number > 0 else "-inf"}


def _itself(value: Any) -> Json:
    same: Json = value
    return same


_PLAIN: dict[type, Callable[[Any], Json]] = {type(None): _itself, bool: _itself, int: _int, float: _float, str: _str}


def _int_text(number: int) -> str:
    return int.__repr__(number) if -(1 << 63) < number < 1 << 63 else _write(_int(number))


def _float_text(number: float) -> str:
    return float.__repr__(number) if number - number == 0 else _write(_float(number))


def _str_text(text: str) -> str:
    return _write(_str(text))


_TEXTS: dict[type, Callable[[Any], str]] = {
    type(None): lambda value: "null",
    bool: lambda value: "true" if value else "false",
    int: _int_text,
    float: _float_text,
    str: _str_text,
}



def _items(values: Collection[object], encoder: Encoder) -> list[Json]:
    encoder.refuse_more(len(values))
    forms: list[Json] = []
    form, value = encoder.form, None
    try:
        for value in values:
            forms.append(form(value))
    except Refused as refusal:
        refusal.below(f"[{len(forms)}]", value)
        raise
    return forms


def _dict(value: dict[object, object], encoder: Encoder) -> Json:
    if not _is_object(value, encoder.for_key):
        return {"__dict__": _pairs(value, encoder)}
    forms: dict[str, Json] = {}
    form, key, item = encoder.form, None, None
    try:
        for key, item in value.items():
            forms[key] = form(item)  # type: ignore[index]  # each is a text
    except Refused as refusal:
        refusal.below(path_step(key), item)
        raise
    return forms


def _is_object(names: Iterable[object], is_sorted: bool) -> bool:
    """Whether these can be the names of a JSON object: texts that are not tags, and sorted if `is_sorted`."""
    last = ""
    for name in names:
        if type(name) is not str or name[:2] == "__" or not _is_text(name) or (is_sorted and name < last):
            return False
        last = name
    return True


def _pairs(value: Mapping[Any, object], encoder: Encoder) -> list[Json]:
    return [
        [encoder.item(key, f".keys()[{number}]"), encoder.item(item, path_step(key))]
        for number, (key, item) in enumerate(value.items())
    ]


def _unordered(forms: Iterable[Json]) -> list[Json]:
    return sorted(forms, key=_write)


def _members(value: Iterable[object], encoder: Encoder) -> Json:
    return _unordered(encoder.item(member, "{...}") for member in value)


def _defaultdict(value: collections.defaultdict[object, object], encoder: Encoder) -> Json:
    return [encoder.item(value.default_factory, ".default_factory"), _pairs(value, encoder)]


def _ordered(value: Any, encoder: Encoder) -> list[Json]:
    if vars(value):
        raise refused(value, " with attributes", "remove its attributes")
    return _pairs(value, encoder)


def _partial(value: functools.partial[object], encoder: Encoder) -> Json:
    if vars(value):
        raise refused(value, " with attributes", "remove its attributes")
    args = encoder.item(value.args, ".args")
    return [encoder.item(value.func, ".func"), args, encoder.item(value.keywords, ".keywords")]




def _time(value: dt.time | dt.datetime, encoder: Encoder) -> Json:
    return [value.replace(tzinfo=None, fold=0).isoformat(), value.fold, encoder.item(value.tzinfo, ".tzinfo")]


def _timezone(value: Any, encoder: Encoder) -> Json:
    return _items(value.__getinitargs__(), encoder)  # the offset, and the name if one was given


def _zone(value: Any) -> Json:
    if type(value.key) is not str:
        raise refused(value, " without a key", "use ZoneInfo('Area/City')")
    return _str(value.key)


def _decimal(value: Any) -> Json:
    # Not str, which writes e or E depending on the context
    sign, digits, exponent = value.as_tuple()
    return [sign, "".join(map(str, digits)), exponent]


def _uuid(value: Any) -> Json:
    # `is_safe` is rarely known and not part of equality, but code can read it
    safety = value.is_safe.name
    return str(value.hex) if safety == "unknown" else [str(value.hex), str(safety)]


def _path(value: pathlib.PurePath) -> Json:
    return [type(value).__name__, _str(str(value))]


_Body = Callable[[Any, Encoder], Json]


def _leaf(tag: str, body: Callable[[Any], Json]) -> _Body:
    return lambda value, encoder: {tag: body(value)}


def _branch(tag: str, body: _Body) -> _Body:
    return lambda value, encoder: {tag: body(value, encoder)}


_EXACT: dict[type, _Body] = {
    list: _items,
    tuple: _branch("__tuple__", _items),
    dict: _dict,
    set: _branch("__set__", _members),
    frozenset: _branch("__frozenset__", _members),
    complex: _leaf("__complex__", lambda value: [_float(value.real), _float(value.imag)]),
    bytes: _branch("__bytes__", lambda value, encoder: encoder.raw(value)),
    bytearray: _branch("__bytearray__", lambda value, encoder: encoder.raw(bytes(value))),
    range: _branch("__range__", lambda value, encoder: _items((value.start, value.stop, value.step), encoder)),
    slice: _branch("__slice__", lambda value, encoder: _items((value.start, value.stop, value.step), encoder)),
    type(...): _leaf("__constant__", repr),
    type(NotImplemented): _leaf("__constant__", repr),
    collections.OrderedDict: _branch("__ordereddict__", _ordered),
    collections.defaultdict: _branch("__defaultdict__", _defaultdict),
    collections.Counter: _branch("__counter__", _ordered),
    collections.deque: _branch("__deque__", lambda value, encoder: [value.maxlen, _items(value, encoder)]),
    functools.partial: _branch("__partial__", _partial),
    re.Pattern: _branch("__pattern__", lambda value, encoder: [encoder.form(value.pattern), value.flags]),
    dt.date: _leaf("__date__", dt.date.isoformat),
    dt.time: _branch("__time__", _time),
    dt.datetime: _branch("__datetime__", _time),
    dt.timedelta: _leaf("__timedelta__", lambda value: [value.days, value.seconds, value.microseconds]),
    dt.timezone: _branch("__timezone__", _timezone),
    pathlib.PurePosixPath: _leaf("__path__", _path),
    pathlib.PureWindowsPath: _leaf("__path__", _path),
    pathlib.PosixPath: _leaf("__path__", _path),
    pathlib.WindowsPath: _leaf("__path__", _path),
}

# By name, so that a program that does not use these modules does not import them
_NAMED: dict[tuple[str, str], _Body] = {
    ("decimal", "Decimal"): _leaf("__decimal__", _decimal),
    ("fractions", "Fraction"): _leaf("__fraction__", lambda value: [_int(value.numerator), _int(value.denominator)]),
    ("uuid", "UUID"): _leaf("__uuid__", _uuid),
    ("zoneinfo", "ZoneInfo"): _leaf("__zone__", _zone),
}
_LIBRARIES: dict[str, _Body] = {"numpy": numpy_form, "pandas": pandas_form, "polars": polars_form}


def of_library(kind: type) -> Callable[[Any, Encoder], Json] | None:
    """The function that makes the forms of a class of the standard library in `_NAMED`; else None."""
    body = _NAMED.get((kind.__module__, kind.__qualname__))
    return body if getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind else None




def _other(value: Any, encoder: Encoder) -> Json:
    kind = type(value)
    if kind in REGISTRY:
        return {"__registered__": [object_name(kind), encoder.item(REGISTRY[kind][0](value), "")]}
    future = getattr(kind, "_key_form" if encoder.for_key else "_json_form", None)
    if future is not None:
        return _itself(future(value))
    if getattr(kind, "__task_key__", None) is not None:
        return {"__key__": [object_name(kind), encoder.item(kind.__task_key__(value), ".__task_key__()")]}
    if isinstance(value, Enum):
        return enum_form(value, encoder)
    if isinstance(value, type):
        return {"__class__": class_name(value)}
    if callable(value) and (name := function_name(value)) is not None:
        return {"__function__": name}
    return (of_library(kind) or _LIBRARIES.get(kind.__module__.partition(".")[0]) or _instance)(value, encoder)


def _instance(value: Any, encoder: Encoder) -> Json:
    kind = type(value)
    base = next((base for base in kind.__mro__ if base in _PLAIN or base in _EXACT or base is BaseException), None)
    if base is None or (base is tuple and is_named_tuple(kind)):
        return fields_form(value, encoder)
    raise refused(value, f", a subclass of {base.__name__}", f"convert it to {base.__name__}, or {remedy_for(kind)}")
