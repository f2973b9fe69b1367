"""Forms to values: a value equal to the encoded one and of the same type, or an error that says why not.

Names in a form lead to classes and functions, and their modules are imported: decode only forms from sources whose code
you would run. No `__init__` is called: an instance gets the attributes that it had.
"""
from __future__ import annotations

import base64
import collections
import datetime as dt
import functools
import importlib
import pathlib
import re
from collections.abc import Callable
from typing import Any

from taskproc.errors import TaskprocError, UnnamableValue
from taskproc.modules import find_object, object_name
from taskproc.values.forms import FUTURE_TAGS, REGISTRY, Json, numpy_value
from taskproc.values.frames import pandas_value, polars_value
from taskproc.values.instances import (
    enum_value,
    fields_value,
    find_class,
    flag_value,
    named_tuple_value,
    pydantic_value,
)


def value_of_form(form: Json, future: Callable[[Json], object] | None = None) -> object:
    """The value whose `json_form` is `form`.

    Args:
        future: makes a future from its form, an object with one of FUTURE_TAGS; without it, futures are refused.

    Raises:
        UnnamableValue: `form` contains only a digest or a key, its class does not exist any more, or it is not a form.
    """
    try:
        return _Decoder(future).value(form)
    except RecursionError as error:
        raise UnnamableValue("this form is nested too deeply to be decoded") from error


class _Decoder:
    """Decodes one form."""

    def __init__(self, future: Callable[[Json], object] | None):
        self._future = future

    def value(self, form: Json) -> Any:
        if form is None or isinstance(form, (bool, int, float, str)):
            return form
        if isinstance(form, list):
            return [self.value(item) for item in form]
        if not isinstance(form, dict):
            raise UnnamableValue(f"a form is JSON, got {type(form).__name__}")
        tag = next(iter(form), "")
        if tag[:2] == "__" and len(form) == 1:
            return self._tagged(tag, form)
        return {key: self.value(item) for key, item in form.items()}

    def raw(self, form: Json) -> bytes:
        return base64.b64decode(_undigested(form, str), validate=True)

    def bulk(self, form: Json) -> list[Any]:
        return [self.value(item) for item in _undigested(form, list)]

    def _tagged(self, tag: str, form: dict[str, Json]) -> object:
        if tag in FUTURE_TAGS:
            if self._future is None:
                raise UnnamableValue(f"{tag!r} stands for a task or another future, which only a graph can decode")
            return self._future(form)
        if tag not in _LEAVES and tag not in _BRANCHES:
            raise UnnamableValue(f"unknown tag {tag!r}; a newer taskproc may have written it")
        try:
            return _LEAVES[tag](form[tag]) if tag in _LEAVES else _BRANCHES[tag](form[tag], self)
        except TaskprocError:
            raise
        except _BROKEN as error:
            raise UnnamableValue(f"form {tag!r} cannot be read back ({type(error).__name__}: {error})") from error


# What names, texts and constructors raise on a form that was edited or has aged.
_BROKEN = (ArithmeticError, AttributeError, ImportError, LookupError, NotImplementedError, TypeError, ValueError)


def _undigested(form: Json, kind: type) -> Any:
    if isinstance(form, kind):
        return form
    size = form.get("size") if isinstance(form, dict) else "?"
    raise UnnamableValue(f"only a digest of this content was kept ({size} bytes), so it cannot be read back")


def _pairs(body: Any, decoder: _Decoder) -> dict[Any, Any]:
    return {decoder.value(key): decoder.value(item) for key, item in body}


def _defaultdict(body: Any, decoder: _Decoder) -> object:
    return collections.defaultdict(decoder.value(body[0]), _pairs(body[1], decoder))


def _partial(body: Any, decoder: _Decoder) -> object:
    function, args, keywords = map(decoder.value, body)
    return functools.partial(function, *args, **keywords)


def _path(body: Any, decoder: _Decoder) -> object:
    kind, text = body
    if kind not in ("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath"):
        raise ValueError(f"unknown kind of path {kind!r}")
    return getattr(pathlib, kind)(decoder.value(text))


def _time(kind: type[dt.time | dt.datetime], body: Any, decoder: _Decoder) -> object:
    text, fold, zone = body
    return kind.fromisoformat(text).replace(fold=fold, tzinfo=decoder.value(zone))


def _decimal(body: Any) -> object:
    sign, digits, exponent = body
    return _library("decimal").Decimal((sign, tuple(map(int, digits)), exponent))


def _uuid(body: Any) -> object:
    library = _library("uuid")
    text, safety = (body, "unknown") if isinstance(body, str) else body
    return library.UUID(text, is_safe=library.SafeUUID[safety])


def _library(name: str) -> Any:
    return importlib.import_module(name)


def _key(body: Any) -> object:
    raise UnnamableValue(f"an instance of {body[0]!r} has only the form of its __task_key__(), so it cannot be decoded")


def _registered(body: Any, decoder: _Decoder) -> object:
    name, form = body
    for kind, (_, read) in REGISTRY.items():
        if object_name(kind) == name:
            if read is None:
                raise UnnamableValue(f"{name!r} was registered without `decode`")
            return read(decoder.value(form))
    raise UnnamableValue(f"{name!r} is not registered here; import the module that registers it")


_LEAVES: dict[str, Callable[[Any], object]] = {
    "__str__": lambda body: bytes.fromhex(body).decode("utf-8", "surrogatepass"),
    "__int__": lambda body: int(body, 16),
    "__float__": float,
    "__constant__": lambda body: {"Ellipsis": ..., "NotImplemented": NotImplemented}[body],
    "__date__": dt.date.fromisoformat,
    "__timedelta__": lambda body: dt.timedelta(*body),
    "__decimal__": _decimal,
    "__uuid__": _uuid,
    "__class__": find_class,
    "__function__": find_object,
    "__key__": _key,
}
_BRANCHES: dict[str, Callable[[Any, _Decoder], object]] = {
    "__complex__": lambda body, decoder: complex(*map(decoder.value, body)),
    "__bytes__": lambda body, decoder: decoder.raw(body),
    "__bytearray__": lambda body, decoder: bytearray(decoder.raw(body)),
    "__tuple__": lambda body, decoder: tuple(map(decoder.value, body)),
    "__set__": lambda body, decoder: set(map(decoder.value, body)),
    "__frozenset__": lambda body, decoder: frozenset(map(decoder.value, body)),
    "__dict__": _pairs,
    "__ordereddict__": lambda body, decoder: collections.OrderedDict(_pairs(body, decoder)),
    "__defaultdict__": _defaultdict,
    "__counter__": lambda body, decoder: collections.Counter(_pairs(body, decoder)),
    "__deque__": lambda body, decoder: collections.deque(map(decoder.value, body[1]), body[0]),
    "__range__": lambda body, decoder: range(*map(decoder.value, body)),
    "__slice__": lambda body, decoder: slice(*map(decoder.value, body)),
    "__partial__": _partial,
    "__pattern__": lambda body, decoder: re.compile(decoder.value(body[0]), body[1]),
    "__path__": _path,
    "__time__": functools.partial(_time, dt.time),
    "__datetime__": functools.partial(_time, dt.datetime),
    "__timezone__": lambda body, decoder: dt.timezone(*map(decoder.value, body)),
    "__zone__": lambda body, decoder: _library("zoneinfo").ZoneInfo(decoder.value(body)),
    "__fraction__": lambda body, decoder: _library("fractions").Fraction(*map(decoder.value, body)),
    "__enum__": enum_value,
    "__flag__": flag_value,
    "__namedtuple__": named_tuple_value,
    "__dataclass__": fields_value,
    "__attrs__": fields_value,
    "__pydantic__": pydantic_value,
    "__registered__": _registered,
    "__numpy__": numpy_value,
    "__pandas__": pandas_value,
    "__polars__": polars_value,
}
