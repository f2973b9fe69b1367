"""What a form is, and the forms of NumPy values, both ways; frames.py has those of pandas and polars.

A *form* is a JSON tree that stands for one value: what JSON says itself stands for itself, all else is an object with
one key, the *tag*, that begins with two underscores. Whoever meets a value of a library has imported it already, so
libraries are looked up, never imported, while encoding. Arrays go by value: dtype, shape and bytes, not strides.
"""
from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Any, Protocol, Union

from taskproc.modules import is_findable, object_name

Json = Union[None, bool, int, float, str, "list[Json]", "dict[str, Json]"]

# Tags that only a graph can read back; encode takes them as futures give them.
FUTURE_TAGS = frozenset({"__task__", "__const__", "__futurelist__", "__futuredict__", "__item__"})

REMEDY = "pass it as the output of a task, or give its class a __task_key__() method"
MAKE_IT = "make it in run_task, or pass it as the output of a task"

# Type → how to encode it, how to decode it (None: not at all). Filled by `encode.register`.
REGISTRY: dict[type, tuple[Callable[[Any], object], Callable[[Any], object] | None]] = {}


class Refused(Exception):
    """A value has no form. Each level adds its step while the stack unwinds, so a path costs nothing till it is needed.

    Attributes:
        reason: follows the place in the message.
        way: (step, value found there), innermost first.
    """

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason
        self.way: list[tuple[str, object]] = []

    def below(self, step: str, value: object) -> None:
        """Note, one level further up, that `value` stood at `step`."""
        self.way.append((step, value))


class Walk(Protocol):
    """The encoder on its way through a value. A key wants long content as a digest, people want to read more of it.

    Attributes:
        exact: whether also that counts which depends on what is installed.
    """

    for_key: bool
    exact: bool

    def form(self, value: object) -> Json:
        """The form of a value within the present one."""
        ...

    def item(self, value: object, step: str) -> Json:
        """The same, for a value that stands at `step` of the present one."""
        ...

    def tried(self, value: object) -> list[Json]:
        """The form of a value, alone in a list; an empty one, if it has none."""
        ...

    def raw(self, data: bytes | memoryview) -> Json:
        """Bytes in base64, or their size and SHA-256 where they are too long."""
        ...

    def bulk(self, values: Iterable[tuple[str, object]]) -> Json:
        """Forms of many (step, value), or size and SHA-256 of their text where it is too long."""
        ...


class Back(Protocol):
    """The decoder on its way through a form: the other direction of Walk."""

    def value(self, form: Json) -> Any:
        """The value of a form within the present one."""
        ...

    def raw(self, form: Json) -> bytes:
        """The bytes, unless only a digest was kept."""
        ...

    def bulk(self, form: Json) -> list[Any]:
        """The values, unless only a digest was kept."""
        ...


def type_name(kind: type) -> str:
    """A class as messages name it: `torch.nn.Linear`."""
    return object_name(kind).replace(":", ".")


def refused(value: object, detail: str = "", remedy: str = "") -> Refused:
    """The error for a value without a form, to be raised by the caller."""
    kind = type(value)
    return Refused(f"has no canonical form ({type_name(kind)}{detail}); {remedy or remedy_for(kind)}")


def remedy_for(kind: type) -> str:
    """What to do with values of a class: nobody can give a method to one of a library, or of Python itself."""
    top = kind.__module__.partition(".")[0]
    if top == "builtins" or (top.startswith("_") and top in sys.stdlib_module_names):
        return MAKE_IT  # generators, modules, locks, files: nothing of theirs says by what they are known
    if not (_is_of_library(kind) and is_findable(kind)):
        return REMEDY
    name = type_name(kind)
    return (
        "pass it as the output of a task, or say by what its class is known: "
        f"`taskproc.register_key({name}, lambda value: (value.NAME, ...))` with the attributes that count"
    )


def _is_of_library(kind: type) -> bool:
    """Whether a class was not written in the user's project, as far as the place of its module tells."""
    top = kind.__module__.partition(".")[0]
    if top in sys.stdlib_module_names:
        return top != "__main__"
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return isinstance(file, str) and not {"site-packages", "dist-packages"}.isdisjoint(PurePath(file).parts)


def step_of(key: object) -> str:
    """A key or label as a step of a path; only plain ones are shown, for `repr` is the user's own code elsewhere."""
    if isinstance(key, int) and type(key) in (int, bool) and abs(key) < 1 << 63:
        return f"[{key}]"
    if type(key) is str:
        return f"[{key!r}]" if len(key) <= 40 else f"[{key[:40]!r}...]"
    return f"[{type(key).__qualname__}]"


# ---------------------------------------------------------------- NumPy


def numpy_form(value: Any, walk: Walk) -> Json:
    """A plain array, a scalar or a dtype; subclasses of arrays (masked, matrix, memmap) are refused."""
    numpy: Any = sys.modules["numpy"]
    kind = type(value)
    if kind is numpy.ndarray:
        return {"__numpy__": ["array", array_form(value, walk)]}
    if isinstance(value, numpy.dtype):
        return {"__numpy__": ["dtype", dtype_form(value, walk)]}
    if not isinstance(value, numpy.generic):
        detail = ", a subclass of numpy.ndarray" if isinstance(value, numpy.ndarray) else ""
        raise refused(value, detail, "pass numpy.asarray of it, and a mask by itself" if detail else "")
    if kind is numpy.str_:  # an array would drop NUL characters at its end
        return {"__numpy__": ["str", walk.form("".join(value))]}
    if kind is numpy.bytes_:
        return {"__numpy__": ["bytes", walk.raw(bytes(value))]}
    return {"__numpy__": ["scalar", array_form(numpy.asarray(value), walk)]}


def dtype_form(dtype: Any, walk: Walk) -> Json:
    """A dtype by what is equal in equal dtypes, and by its metadata; not by how its offsets came about."""
    form = _plain_dtype_form(dtype, walk)
    if not dtype.metadata:
        return form
    return {"of": form, "metadata": walk.item(dict(dtype.metadata), ".metadata")}


def _plain_dtype_form(dtype: Any, walk: Walk) -> Json:
    numpy: Any = sys.modules["numpy"]
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": dtype_form(base, walk), "shape": list(shape)}
    if dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        if dtype.type is not numpy.void or any(len(field) > 2 for field in fields):
            raise refused(dtype, f" {dtype.type.__name__} with titles", "use a plain structured dtype")
        named: list[Json] = [
            [walk.form(name), dtype_form(kind, walk), at] for name, (kind, at) in zip(dtype.names, fields, strict=True)
        ]
        return {"fields": named, "itemsize": dtype.itemsize}
    # Types of other libraries (bfloat16, two kinds of float8) share one text, '<V2'; variable-length text has pointers.
    if dtype.type.__module__ != "numpy":
        raise refused(dtype, f" {dtype.type.__name__}", "convert it to a fixed-width dtype of NumPy")
    text: str = dtype.str
    return text


def array_form(array: Any, walk: Walk) -> Json:
    """An array of any dtype that holds plain bytes or Python objects."""
    return {"dtype": dtype_form(array.dtype, walk), "shape": list(array.shape), "content": _content(array, walk)}


def _content(array: Any, walk: Walk) -> Json:
    numpy: Any = sys.modules["numpy"]
    dtype = array.dtype
    if dtype.names is not None:  # field by field: the bytes between fields are whatever was in memory
        return [_content(array[name], walk) for name in dtype.names]
    if dtype.hasobject:
        places = (str(list(place)) for place in numpy.ndindex(array.shape))
        return walk.bulk(zip(places, array.ravel().tolist(), strict=True))
    if array.size == 0 or dtype.itemsize == 0:
        return walk.raw(b"")
    plain = numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8)
    if dtype.char in "gG" and numpy.finfo(dtype).nmant == 63:  # x87: 10 bytes count, the rest is padding
        plain = plain.reshape(-1, numpy.dtype("g").itemsize).copy()
        plain[:, 10:] = 0
        plain = plain.reshape(-1)
    return walk.raw(plain.data)


def numpy_value(body: Any, back: Back) -> object:
    """What `numpy_form` was given; arrays in C order, and writable."""
    kind, content = body
    if kind == "array":
        return array_value(content, back)
    if kind == "dtype":
        return dtype_value(content, back)
    numpy: Any = importlib.import_module("numpy")
    if kind == "str":
        return numpy.str_(back.value(content))
    if kind == "bytes":
        return numpy.bytes_(back.raw(content))
    return array_value(content, back)[()]


def dtype_value(form: Any, back: Back) -> Any:
    """The dtype of a form."""
    numpy: Any = importlib.import_module("numpy")
    if isinstance(form, str):
        return numpy.dtype(form)
    if "metadata" in form:
        return numpy.dtype(dtype_value(form["of"], back), metadata=back.value(form["metadata"]))
    if "base" in form:
        return numpy.dtype((dtype_value(form["base"], back), tuple(form["shape"])))
    names = [back.value(name) for name, _, _ in form["fields"]]
    formats = [dtype_value(kind, back) for _, kind, _ in form["fields"]]
    offsets = [at for _, _, at in form["fields"]]
    return numpy.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": form["itemsize"]})


def array_value(form: Any, back: Back) -> Any:
    """The array of a form."""
    numpy: Any = importlib.import_module("numpy")
    array = numpy.zeros(tuple(form["shape"]), dtype_value(form["dtype"], back))
    _fill(array, form["content"], back)
    return array


def _fill(array: Any, content: Any, back: Back) -> None:
    numpy: Any = importlib.import_module("numpy")
    if array.dtype.names is not None:
        for name, part in zip(array.dtype.names, content, strict=True):
            _fill(array[name], part, back)
    elif array.dtype.hasobject:
        for place, value in zip(numpy.ndindex(array.shape), back.bulk(content), strict=True):
            array[place] = value
    elif array.size and array.dtype.itemsize:
        array[...] = numpy.frombuffer(back.raw(content), array.dtype).reshape(array.shape)
