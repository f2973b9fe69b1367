"""Canonical forms: their definition, and those of NumPy values, in both directions; see frames.py for data frames.

A *form* is a JSON tree that stands for one value. A value that JSON has is its own form; every other form is an object
with one key, the *tag*, which begins with two underscores. A program that encodes a value of a library has imported the
library, so libraries are looked up and never imported for encoding. Arrays are encoded by dtype, shape and bytes, not
strides.
"""
from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Any, Protocol, Union

from taskproc.modules import is_findable, object_name

Json = Union[None, bool, int, float, str, "list[Json]", "dict[str, Json]"]

# Tags that only a graph can decode; futures make these forms themselves
FUTURE_TAGS = frozenset({"__task__", "__const__", "__futurelist__", "__futuredict__", "__item__"})

REMEDY = "pass it as the output of a task, or give its class a __task_key__() method"
MAKE_IT = "make it in run_task, or pass it as the output of a task"

# Class → its functions to encode and decode (None: not possible). `encode.register` fills it
REGISTRY: dict[type, tuple[Callable[[Any], object], Callable[[Any], object] | None]] = {}


class Refused(Exception):
    """A value has no form. Each level adds its step while the stack unwinds, so paths cost nothing before.

    Attributes:
        reason: follows the place in the message.
        way: (step, value at this step), innermost first.
    """

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason
        self.way: list[tuple[str, object]] = []

    def below(self, step: str, value: object) -> None:
        """Note, one level further up, that `value` is at `step`."""
        self.way.append((step, value))


class Encoding(Protocol):
    """The encoder of a value, as the functions for single types see it.

    Attributes:
        for_key: long content is replaced by a digest; otherwise more of it stays readable.
        exact: details that depend on the installed libraries count, too.
    """

    for_key: bool
    exact: bool

    def form(self, value: object) -> Json:
        """The form of a part of the present value."""
        ...

    def item(self, value: object, step: str) -> Json:
        """The form of the part at `step` of the present value."""
        ...

    def tried(self, value: object) -> list[Json]:
        """A list with the form of a value; empty if it has none."""
        ...

    def raw(self, data: bytes | memoryview) -> Json:
        """Bytes in base64, or their size and SHA-256 if they are too long."""
        ...

    def bulk(self, values: Iterable[tuple[str, object]]) -> Json:
        """The forms of many (step, value), or size and SHA-256 of their text if it is too long."""
        ...


class Decoding(Protocol):
    """The decoder of a form, as the functions for single types see it."""

    def value(self, form: Json) -> Any:
        """The value of a part of the present form."""
        ...

    def raw(self, form: Json) -> bytes:
        """The bytes. Raises UnnamableValue if the form has only their digest."""
        ...

    def bulk(self, form: Json) -> list[Any]:
        """The values. Raises UnnamableValue if the form has only their digest."""
        ...


def type_name(kind: type) -> str:
    """The name of a class in messages: `torch.nn.Linear`."""
    return object_name(kind).replace(":", ".")


def refused(value: object, detail: str = "", remedy: str = "") -> Refused:
    """The error for a value without a form, to be raised by the caller."""
    kind = type(value)
    return Refused(f"has no canonical form ({type_name(kind)}{detail}); {remedy or remedy_for(kind)}")


def remedy_for(kind: type) -> str:
    """The remedy for values of a class. Users cannot add a method to a class of a library or of Python itself."""
    top = kind.__module__.partition(".")[0]
    if top == "builtins" or (top.startswith("_") and top in sys.stdlib_module_names):
        return MAKE_IT  # generators, modules, locks, files: they have no attributes that identify them
    if not (_is_of_library(kind) and is_findable(kind)):
        return REMEDY
    name = type_name(kind)
    return (
        "pass it as the output of a task, or register the attributes that identify values of its class: "
        f"`taskproc.register_key({name}, lambda value: (value.NAME, ...))`"
    )


def _is_of_library(kind: type) -> bool:
    """Whether a class is not part of the user's project, judged by the path of its module."""
    top = kind.__module__.partition(".")[0]
    if top in sys.stdlib_module_names:
        return top != "__main__"
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return isinstance(file, str) and not {"site-packages", "dist-packages"}.isdisjoint(PurePath(file).parts)


def path_step(key: object) -> str:
    """A key or label as a step of a path; only plain ones are shown, because other `repr`s are the user's code."""
    if isinstance(key, int) and type(key) in (int, bool) and abs(key) < 1 << 63:
        return f"[{key}]"
    if type(key) is str:
        return f"[{key!r}]" if len(key) <= 40 else f"[{key[:40]!r}...]"
    return f"[{type(key).__qualname__}]"


def numpy_form(value: Any, encoder: Encoding) -> Json:
    """A plain array, a scalar or a dtype; subclasses of arrays (masked, matrix, memmap) are refused."""
    numpy: Any = sys.modules["numpy"]
    kind = type(value)
    if kind is numpy.ndarray:
        return {"__numpy__": ["array", array_form(value, encoder)]}
    if isinstance(value, numpy.dtype):
        return {"__numpy__": ["dtype", dtype_form(value, encoder)]}
    if not isinstance(value, numpy.generic):
        detail = ", a subclass of numpy.ndarray" if isinstance(value, numpy.ndarray) else ""
        raise refused(value, detail, "pass numpy.asarray of it, and a mask by itself" if detail else "")
    if kind is numpy.str_:  # an array would drop trailing NUL characters
        return {"__numpy__": ["str", encoder.form("".join(value))]}
    if kind is numpy.bytes_:
        return {"__numpy__": ["bytes", encoder.raw(bytes(value))]}
    return {"__numpy__": ["scalar", array_form(numpy.asarray(value), encoder)]}


def dtype_form(dtype: Any, encoder: Encoding) -> Json:
    """A dtype by the properties that equal dtypes share, and its metadata; not by the origin of its offsets."""
    form = _plain_dtype_form(dtype, encoder)
    if not dtype.metadata:
        return form
    return {"of": form, "metadata": encoder.item(dict(dtype.metadata), ".metadata")}


def _plain_dtype_form(dtype: Any, encoder: Encoding) -> Json:
    numpy: Any = sys.modules["numpy"]
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": dtype_form(base, encoder), "shape": list(shape)}
    if dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        if dtype.type is not numpy.void or any(len(field) > 2 for field in fields):
            raise refused(dtype, f" {dtype.type.__name__} with titles", "use a plain structured dtype")
        named: list[Json] = [
            [encoder.form(name), dtype_form(kind, encoder), at]
            for name, (kind, at) in zip(dtype.names, fields, strict=True)
        ]
        return {"fields": named, "itemsize": dtype.itemsize}
    # Types of other libraries (bfloat16, two kinds of float8) share one text, '<V2'; variable-length text has pointers
    if dtype.type.__module__ != "numpy":
        raise refused(dtype, f" {dtype.type.__name__}", "convert it to a fixed-width dtype of NumPy")
    text: str = dtype.str
    return text


def array_form(array: Any, encoder: Encoding) -> Json:
    """An array of any dtype that consists of plain bytes or Python objects."""
    return {"dtype": dtype_form(array.dtype, encoder), "shape": list(array.shape), "content": _content(array, encoder)}


def _content(array: Any, encoder: Encoding) -> Json:
    numpy: Any = sys.modules["numpy"]
    dtype = array.dtype
    if dtype.names is not None:  # field by field, because the bytes between fields are undefined
        return [_content(array[name], encoder) for name in dtype.names]
    if dtype.hasobject:
        places = (str(list(place)) for place in numpy.ndindex(array.shape))
        return encoder.bulk(zip(places, array.ravel().tolist(), strict=True))
    if array.size == 0 or dtype.itemsize == 0:
        return encoder.raw(b"")
    plain = numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8)
    if dtype.char in "gG" and numpy.finfo(dtype).nmant == 63:  # x87: 10 bytes count, the rest is padding
        plain = plain.reshape(-1, numpy.dtype("g").itemsize).copy()
        plain[:, 10:] = 0
        plain = plain.reshape(-1)
    return encoder.raw(plain.data)


def numpy_value(body: Any, decoder: Decoding) -> object:
    """The value of a form that `numpy_form` made; arrays are in C order and writable."""
    kind, content = body
    if kind == "array":
        return array_value(content, decoder)
    if kind == "dtype":
        return dtype_value(content, decoder)
    numpy: Any = importlib.import_module("numpy")
    if kind == "str":
        return numpy.str_(decoder.value(content))
    if kind == "bytes":
        return numpy.bytes_(decoder.raw(content))
    return array_value(content, decoder)[()]


def dtype_value(form: Any, decoder: Decoding) -> Any:
    """The dtype of a form."""
    numpy: Any = importlib.import_module("numpy")
    if isinstance(form, str):
        return numpy.dtype(form)
    if "metadata" in form:
        return numpy.dtype(dtype_value(form["of"], decoder), metadata=decoder.value(form["metadata"]))
    if "base" in form:
        return numpy.dtype((dtype_value(form["base"], decoder), tuple(form["shape"])))
    names = [decoder.value(name) for name, _, _ in form["fields"]]
    formats = [dtype_value(kind, decoder) for _, kind, _ in form["fields"]]
    offsets = [at for _, _, at in form["fields"]]
    return numpy.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": form["itemsize"]})


def array_value(form: Any, decoder: Decoding) -> Any:
    """The array of a form."""
    numpy: Any = importlib.import_module("numpy")
    array = numpy.zeros(tuple(form["shape"]), dtype_value(form["dtype"], decoder))
    _fill(array, form["content"], decoder)
    return array


def _fill(array: Any, content: Any, decoder: Decoding) -> None:
    numpy: Any = importlib.import_module("numpy")
    if array.dtype.names is not None:
        for name, part in zip(array.dtype.names, content, strict=True):
            _fill(array[name], part, decoder)
    elif array.dtype.hasobject:
        for place, value in zip(numpy.ndindex(array.shape), decoder.bulk(content), strict=True):
            array[place] = value
    elif array.size and array.dtype.itemsize:
        array[...] = numpy.frombuffer(decoder.raw(content), array.dtype).reshape(array.shape)
