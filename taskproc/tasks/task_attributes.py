"""The attributes that a user may set on a task class: one entry each, with its default, its check and its meaning.

`Task` gets its defaults and the list in its documentation from here, the table of the README is compared with it, and
none of them counts as code. A new attribute is one entry here, and a line for type checkers in `Task`.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from taskproc.errors import BuildError


class TaskAttribute(NamedTuple):
    """An attribute of task classes.

    Attributes:
        faults: gives the wrong parts of a value; nothing if the value is fine.
        wanted: what the value must be, in words.
        meaning: for its line in the documents.
        page: of the documentation that says more, if any.
    """

    name: str
    default: object
    faults: Callable[[Any], Sequence[object]]
    wanted: str
    meaning: str
    page: str = ""


def _unless(fits: Callable[[Any], bool]) -> Callable[[Any], Sequence[object]]:
    return lambda value: () if fits(value) else (value,)


def _texts(*kinds: Any) -> Callable[[Any], Sequence[object]]:
    def fits(value: Any) -> bool:
        return isinstance(value, kinds) and not isinstance(value, str) and all(isinstance(one, str) for one in value)

    return _unless(fits)


def _wrong_labels(value: Any) -> Sequence[object]:
    labels = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else value
    return [label for label in labels if not isinstance(label, str)]


def _wrong_includes(value: Any) -> Sequence[object]:
    if type(value) not in (list, tuple):
        return (value,)
    return [one for one in value if not isinstance(one, (FunctionType, type, ModuleType))]


_wrong_switch = _unless(lambda value: type(value) is bool)
_wrong_names = _texts(tuple, list, set, frozenset)

ATTRIBUTES: Mapping[str, TaskAttribute] = {
    attribute.name: attribute
    for attribute in (
        TaskAttribute(
            "task_label", (), _wrong_labels, "a string or a list of strings",
            "a label or a list of labels, for rate limits and prefix commands",
        ),
        TaskAttribute(
            "task_compress_level", 9, _unless(lambda value: type(value) is int and 0 <= value <= 9),
            "an int from 0 to 9",
            "gzip level of the stored result, 0 to 9; unless it is set, large results use level 6, and incompressible "
            "ones are stored as they are",
        ),
        TaskAttribute(
            "task_timeout", None,
            _unless(lambda value: value is None or (type(value) in (int, float) and 0 < value < math.inf)),
            "a positive number of seconds or None",
            "seconds after which `run_task` is ended, with the processes it started", "docs/running.md",
        ),
        TaskAttribute(
            "task_own_process", False, _wrong_switch, "True or False",
            "`True`: a fresh worker process for each task of the class", "docs/running.md",
        ),
        TaskAttribute(
            "task_observes", True, _wrong_switch, "True or False",
            "`False`: do not note what `run_task` reads and runs beyond its source", "docs/observed.md",
        ),
        TaskAttribute(
            "task_version", None, _unless(lambda value: value is None or isinstance(value, str)), "a string",
            "a string that replaces the source of the class: the source is ignored, and a new version reruns",
        ),
        TaskAttribute(
            "task_includes", (), _wrong_includes, "a list of functions, classes or modules",
            "functions, classes and modules whose source counts although the task's use of them cannot be seen",
        ),
        TaskAttribute(
            "task_unwatched_ok", (), _texts(list, tuple),
            "a list of strings, each a pattern for what `why` lists as not watched",
            "patterns for entries that `why` lists as not watched; runs then do not report them: "
            '`("lib:CACHE", "lib:f calls getattr*")`', "docs/freshness.md#not-watched",
        ),
        TaskAttribute(
            "task_packages", (), _texts(Sequence), "a list of strings",
            "names of packages; a result made with another version of one is not fresh, and a missing package is "
            "reported by a warning",
        ),
        TaskAttribute(
            "task_environment", (), _texts(Sequence), "a list of strings",
            "names of environment variables; a result made with another value of one is not fresh",
        ),
        TaskAttribute(
            "task_ignored_args", (), lambda value: () if isinstance(value, str) else _wrong_names(value),
            "a list of parameter names",
            'names of parameters that do not count: `("n_jobs",)`; a subclass inherits them unless it sets its own',
        ),
        TaskAttribute(
            "task_default_since", {},
            _unless(lambda value: isinstance(value, Mapping) and all(isinstance(name, str) for name in value)),
            "a dict of parameter names and values",
            "parameters that were added later, and the value that their absence stands for: `{\"dropout\": 0.0}`; a "
            "subclass adds its own",
        ),
        TaskAttribute(
            "task_pinned_name", None, _unless(lambda value: value is None or (type(value) is str and value != "")),
            "a string that is not empty",
            "a fixed name for the class, wherever it is defined; not inherited",
        ),
    )
}  # fmt: skip
ATTRIBUTE_NAMES = frozenset(ATTRIBUTES)


def check_attribute(cls: type, name: str, value: object) -> None:
    """Raise BuildError unless `value` may be that of the attribute `name` of a class."""
    attribute = ATTRIBUTES[name]
    if faults := attribute.faults(value):
        raise BuildError(f"{name} of {cls.__qualname__} must be {attribute.wanted}, got {faults[0]!r}")


def check_attributes(cls: type, checked: type) -> None:
    """Raise BuildError for a wrong attribute of a class, or of a base that is not `checked`, such as a mixin."""
    for base in cls.__mro__:
        if base is cls or not isinstance(base, checked):
            for name in ATTRIBUTES.keys() & vars(base).keys():
                check_attribute(cls, name, getattr(cls, name))


def attribute_lines() -> str:
    """The attributes as the documentation of a class lists them."""
    lines = []
    for attribute in ATTRIBUTES.values():
        default = "none" if attribute.default in (None, (), {}) else attribute.default
        lines.append(f"        {attribute.name}: {attribute.meaning}. Default: {default}.")
    return "\n".join(lines)
