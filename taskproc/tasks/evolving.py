"""How a class may change and keep its keys: a pinned name, parameters that do not count, new ones at an old meaning.

A parameter that is left out at one value, and only there, can make no two tasks one: what has no such argument in its
key has that value.
"""
from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

from taskproc.errors import BuildError
from taskproc.tasks.binding import inspected, signature
from taskproc.text import did_you_mean
from taskproc.values.encode import canonical_text, key_form

NAMES = frozenset({"task_pinned_name", "task_ignored_args", "task_default_since"})


class Rules(NamedTuple):
    """Which arguments of a class do not count in its keys.

    Attributes:
        ignored: parameters that never do.
        since: parameter → canonical text of the value at which it does not, for that is what its absence meant.
    """

    ignored: frozenset[str]
    since: Mapping[str, str]

    def leave_out(self, texts: dict[str, str]) -> None:
        """Take from `texts`, by parameter, those that stand at their old meaning."""
        for name, text in self.since.items():
            if texts.get(name) == text:
                del texts[name]


_known: WeakKeyDictionary[type, Rules] = WeakKeyDictionary()


def rules_of(cls: type) -> Rules:
    """What the class says, and its bases. BuildError where it names what is no parameter of its `__init__`.

    Asked first when the first instance is built: before that, `@dataclass` may not have written `__init__`.
    """
    found = _known.get(cls)
    if found is None:
        _check_names(cls, signature(cls).parameters)
        found = _known[cls] = Rules(frozenset(_ignored(cls)), _since(cls))
    return found


def check_class(cls: type) -> None:
    """Raise BuildError, or UnnamableValue, for what is wrong with the three attributes as far as it is to be seen."""
    pinned_name(cls)
    _ignored(cls)
    _since(cls)
    if "__init__" in vars(cls):
        _check_names(cls, list(inspected(vars(cls)["__init__"]).parameters)[1:])


def pinned_name(cls: type) -> str | None:
    """What the class is to be called. Its own only: an heir is another task, with results of its own."""
    name = vars(cls).get("task_pinned_name")
    if name is None or (type(name) is str and name):
        return name
    raise BuildError(f"task_pinned_name of {cls.__qualname__} must be a string that is not empty, got {name!r}")


def _ignored(cls: type) -> Collection[str]:
    given = getattr(cls, "task_ignored_args", ())
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, (tuple, list, set, frozenset)) or not all(isinstance(name, str) for name in names):
        raise BuildError(f"task_ignored_args of {cls.__qualname__} must be a list of parameter names, got {given!r}")
    return names


def _since(cls: type) -> dict[str, str]:
    """An old meaning stays true in a subclass, so each class adds to what its bases say."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        given = vars(base).get("task_default_since", {})
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise BuildError(
                f"task_default_since of {base.__qualname__} must map parameter names to values, got {given!r}"
            )
        for name, value in given.items():
            found[name] = canonical_text(key_form(value, f"task_default_since {name!r} of {base.__qualname__}"))
    return found


def _check_names(cls: type, parameters: Collection[str]) -> None:
    for attribute, name in _own_names(cls):
        if name not in parameters:
            hint = did_you_mean(name, parameters) or f". It has {', '.join(parameters) or 'none'}"
            raise BuildError(f"{attribute} of {cls.__qualname__}: {name!r} is no parameter of its __init__{hint}")


def _own_names(cls: type) -> Iterator[tuple[str, str]]:
    """Only what the class itself says: what it inherits may be about parameters that its own `__init__` has not."""
    if "task_ignored_args" in vars(cls):
        yield from (("task_ignored_args", name) for name in _ignored(cls))
    yield from (("task_default_since", name) for name in vars(cls).get("task_default_since", {}))
