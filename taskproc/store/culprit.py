"""Which part of a value cannot be pickled: the way to it, as one would write it behind the value."""
from __future__ import annotations

from collections.abc import Callable, Iterator

_DEEPEST = 20   # steps; beyond it the depth itself is at fault, or a value that contains itself
_MOST = 1000    # parts that are tried one by one, each by a pickle
_LONGEST = 40   # letters of a key that are shown
_OWN = frozenset({"__reduce__", "__reduce_ex__", "__getstate__"})  # a class with one of these pickles in its own way


def culprit(value: object, pickles: Callable[[object], bool]) -> tuple[str, object]:
    """The way to the innermost part that does not pickle, and that part; no way, and `value`, if no part is at fault.

    Only for a value of which it is known that it does not pickle.
    """
    way, part = "", value
    for _ in range(_DEEPEST):
        for step, inner in _parts(part):
            if not pickles(inner):
                way, part = way + step, inner
                break
        else:
            return way, part
    return "", value


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """What `value` is made of, with the step that leads there; nothing, if that is the business of its class."""
    if isinstance(value, (dict, list, tuple, set, frozenset)) and len(value) > _MOST:
        return
    if type(value) is dict:
        for key, inner in value.items():
            yield f"[{_short(key)}]", inner
    elif type(value) in (list, tuple):
        assert isinstance(value, (list, tuple))
        for position, inner in enumerate(value):
            yield f"[{position}]", inner
    elif _is_plain(value):
        for name, inner in vars(value).items():
            yield f".{name}", inner


def _is_plain(value: object) -> bool:
    """Whether it is pickled by its attributes, as `object` says."""
    cls = type(value)
    own = (name for base in cls.__mro__[:-1] for name in vars(base))
    return hasattr(value, "__dict__") and cls.__module__ != "builtins" and _OWN.isdisjoint(own)


def _short(key: object) -> str:
    try:
        text = repr(key)
    except Exception:  # noqa: BLE001  # whatever the class of a key raises: it is only to be shown
        text = f"<{type(key).__name__}>"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
