"""Types that are written as values: `Literal["a"]`, `int | None`, `Annotated[int, Positive()]`, `list[int]`."""
from __future__ import annotations

from types import GenericAlias, GetSetDescriptorType, MemberDescriptorType
from typing import Any

from taskproc.source.look import Look, attribute_of, own_dict, quoted

_MODULES = frozenset({"typing", "typing_extensions"})
_DESCRIPTORS = (MemberDescriptorType, GetSetDescriptorType)
_READ = (
    "__name__", "_name", "__forward_arg__", "__origin__", "__args__", "__metadata__", "__supertype__",
    "__constraints__", "__bound__", "__covariant__", "__contravariant__",
)  # fmt: skip
_UNIONS = frozenset({"UnionType", "Union", "_UnionGenericAlias"})


def is_type_form(kind: type) -> bool:
    """Whether values of a class are such types."""
    return kind.__module__ in _MODULES or issubclass(kind, GenericAlias) or kind.__name__ == "UnionType"


def type_form_look(value: Any, kind: type) -> Look:
    """By what the form says of itself, read past what it passes on to the type within."""
    found = {name: some for name in _READ if (some := _read(value, kind, name)) is not None}
    if _read(value, kind, "__infer_variance__"):  # `def f[T: Bound]`: to ask for the bound runs what is written there
        found = {"__name__": found.get("__name__")}
    if kind.__name__ in _UNIONS:
        inner: Any = found.get("__args__", ())
        return Look("union", parts=list(inner), steps=[""] * len(inner))
    name = found.pop("__name__", None) or found.get("_name")
    found.pop("_name", None)
    if "__metadata__" in found:
        name = "Annotated"  # which has no name on older Pythons
    if not found:
        return Look("typing", quoted(str(name if name is not None else kind.__name__)))
    head = quoted(kind.__name__.strip("_") if name is None else f"{name}")
    words = list(found)
    return Look("typing", head, parts=list(found.values()), names=words, steps=[f".{word}" for word in words])


def _read(value: Any, kind: type, name: str) -> object:
    own = own_dict(value)
    if name in own:
        return own[name]
    descriptor = attribute_of(kind, name)
    if type(descriptor) not in _DESCRIPTORS:
        return None
    if name in ("__bound__", "__constraints__") and _read(value, kind, "__infer_variance__"):
        return None
    try:
        found: object = descriptor.__get__(value)
    except (AttributeError, TypeError):
        return None
    return found
