"""Names of a task: that of its class, its key and id, and its text for people."""
from __future__ import annotations

import functools
import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from taskproc.errors import UnnamableValue
from taskproc.modules import real_name
from taskproc.store.cache import Cache
from taskproc.store.layout import Place, ShortIds
from taskproc.store.version import Version
from taskproc.tasks.binding import KeyRules, is_loose, pinned_name
from taskproc.tasks.future import Const, Item, Upstream
from taskproc.tasks.running_job import running_job
from taskproc.text import printable
from taskproc.values.encode import canonical_text, form_digest, json_form, key_form, plain_text, text_digest
from taskproc.values.forms import Json

KEY_FORMAT = 1
_json = json.JSONEncoder()
_ID_BITS = 63
_DIGITS_ALONE = 8     # of a short id, if the other tasks are not known

# Limits for the text of a task
_LEVELS = 2           # of tasks inside it that are shown with their arguments
_LONGEST_TASK = 160   # characters of its arguments; half as many for a task inside it
_LONGEST_VALUE = 80
_SHORTEST = 8         # no argument is cut below this
_FIRST, _LAST = 5, 2  # values of a container


@dataclass(slots=True)
class Identity:
    """The identity of a task instance; attached when it is built.

    Attributes:
        arguments: by parameter name, defaults applied.
        version: only on an input of a running job, in a process without a graph: its result.
        given: classes and functions among the arguments; see tasks/reached_code.py, which computes it once.
        left: what `__init__` left on the task; see tasks/settings.py, which computes it once.
        loose: name and digest of each argument that counts and may be changed later; see `loose_arguments`.
        used: number of the version that the last run in this process has used; 0: none.
        copied: on a copy for an attempt: the task, and the copier of this attempt; see tasks/attempt_copies.py.
        aside: new attributes that `run_task` set on such a copy; only for inspection.
    """

    cache: Cache | None
    place: Place
    arguments: Mapping[str, object]
    version: Version | None = None
    left: Any = None
    given: Any = None
    loose: tuple[tuple[str, str], ...] = ()
    copied: tuple[Any, Any] | None = None
    aside: Mapping[str, object] | None = None
    used: int = 0


def identity_of(value: object) -> Identity | None:
    """The identity of a task, also while its `__init__` runs; None for other values."""
    return getattr(value, "_taskproc", None) if isinstance(value, Upstream) else None


def task_name(cls: type) -> str:
    """`module.qualname`, with `__main__` replaced by the name of the module or script; or the pinned name.

    One string, shared by all tasks of a class.
    """
    return sys.intern(pinned_name(cls) or f"{real_name(cls.__module__)}.{cls.__qualname__}")


def texts_of(cls: type, rules: KeyRules, arguments: Mapping[str, object]) -> dict[str, str]:
    """The canonical texts of the arguments that count. Raises UnnamableValue for an argument without a form."""
    texts = {}
    for name, value in arguments.items():
        if name not in rules.ignored:
            text = plain_text(value)
            if text is None:
                text = canonical_text(key_form(value, f"argument {name!r} of {cls.__qualname__}"))
            texts[name] = text
    rules.leave_out(texts)
    return texts


def place_of(cls: type, texts: Mapping[str, str]) -> Place:
    """Where the results of the task with these arguments are; `texts` are those of the arguments that count."""
    name = task_name(cls)
    # The canonical text of {"format": …, "task": …, "args": …}, made from those of its parts
    arguments = ",".join([f"{_name_text(each)}:{texts[each]}" for each in sorted(texts)])
    key = text_digest(f'{{"args":{{{arguments}}},"format":{KEY_FORMAT},"task":{_name_text(name)}}}')
    # Taken from the key, not counted: it is the same on every machine, so caches can be merged by copying
    return Place(name, int(key[:16], 16) >> (64 - _ID_BITS), key)


@functools.lru_cache(maxsize=1024)
def _name_text(name: str) -> str:
    """The canonical text of a name that all tasks of a class have in common."""
    return canonical_text(name)


def loose_arguments(
    rules: KeyRules, arguments: Mapping[str, object], texts: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Name and digest of each argument that counts and that other code may change until the task runs."""
    loose = [name for name, value in arguments.items() if name not in rules.ignored and is_loose(value)]
    # An argument that is left out at its old meaning counts too: its absence means this value
    texts = {name: texts.get(name) or canonical_text(key_form(arguments[name], name)) for name in loose}
    return tuple((name, text_digest(text)) for name, text in texts.items())


def changed_argument(task: Any) -> str | None:
    """The message if an argument has changed since the task was built: the key would name another result."""
    identity = task._taskproc
    for name, before in identity.loose:
        try:
            now = form_digest(key_form(identity.arguments[name], name))
        except Exception:  # noqa: BLE001  # a hook of the user may raise anything; there was a form before
            now = ""
        if now != before:
            where = type(task).__qualname__
            return f"argument {name!r} of {where} was changed after the task was built: pass a copy"
    return None


def arguments_forms(identity: Identity, where: str) -> dict[str, Json]:
    """The arguments in JSON, for people; an argument that does not count and has no form is left out."""
    forms: dict[str, Json] = {}
    for name, value in identity.arguments.items():
        try:
            forms[name] = json_form(value, f"argument {name!r} of {where}")
        except UnnamableValue:
            continue
    return forms


def arguments_text(identity: Identity) -> str:
    """The content of `args.json`, for people: name, key and arguments of a task."""
    place = identity.place
    # Member by member: for the encoder, a dict costs as much to start as all the rest
    forms = arguments_forms(identity, place.name)
    texts = [f"{_quoted(name)}: {plain_text(form) or _json.encode(form)}" for name, form in forms.items()]
    return f'{{"task": {_quoted(place.name)}, "key": "{place.key}", "args": {{{", ".join(texts)}}}}}\n'


def brief(value: object, ids: ShortIds | None = None) -> str:
    """`value` as one would write it, in a harmless line; a task with its short id: `Fit#3fa1(X=Load#90b2[0], seed=0)`.

    Different tasks never have the same text, however their arguments are cut.

    Args:
        ids: of the tasks among which the text must be unambiguous; default: of all tasks built in its cache.
    """
    return printable(_Text(ids).of(value))


def nested(value: object) -> str:
    """The same for a part of another value: for a task only its short id, for a file its path as well."""
    return printable(_Text(None).of(value, _LEVELS + 1))


class _Text:
    """How values are written. `level` counts tasks inside tasks, `depth` containers inside containers."""

    def __init__(self, ids: ShortIds | None):
        self._ids = ids

    def of(self, value: Any, level: int = 0, depth: int = 0) -> str:
        identity = identity_of(value)
        if identity is not None:
            return self._task(type(value), identity, level)
        if isinstance(value, Item):
            return f"{self.of(value.parent, level, depth)}[{self.of(value._key, level + 1, depth)}]"
        if isinstance(value, Const):
            return f"Const({self.of(value._value, level + 1, depth)})"
        if isinstance(value, (list, tuple, set, frozenset, dict)) and value:
            return self._container(value, depth)
        try:
            return cut(repr(value), _LONGEST_VALUE)
        except Exception:  # noqa: BLE001  # a class of the user may raise anything; this is only for people
            return f"<{type(value).__name__}>"

    def _task(self, cls: Any, identity: Identity, level: int) -> str:
        name = f"{cls.__qualname__}#{self._short_id(identity)}"
        room = _LONGEST_TASK >> level if level <= _LEVELS else 0
        if cls._taskproc_brief is not None:
            text = cls._taskproc_brief(cls, identity.arguments, room)
        else:
            text = self._arguments(identity.arguments, level + 1, room) if room else ""
        return f"{name}({text})" if text or room else name

    def _short_id(self, identity: Identity) -> str:
        key, cache = identity.place.key, identity.cache
        if self._ids is not None:
            return self._ids.of(key)
        if cache is not None:
            return cache.short_id(key)
        # A worker knows only its inputs, not the other tasks
        job = running_job()
        return key[: job.digits if job is not None and job.digits else _DIGITS_ALONE]

    def _arguments(self, arguments: Mapping[str, object], level: int, most: int) -> str:
        """All arguments by name. If they are too long, tasks are written as ids, then the longest are cut."""
        texts = {name: self.of(value, level) for name, value in arguments.items()}
        room = most - sum(len(name) + 3 for name in texts)
        for name in sorted(texts, key=lambda name: -len(texts[name])):
            if sum(map(len, texts.values())) > room and isinstance(arguments[name], Upstream):
                texts[name] = self.of(arguments[name], _LEVELS + 1)
        longest = _share(texts.values(), room)
        return ", ".join(f"{name}={cut(text, longest)}" for name, text in texts.items())

    def _container(self, value: Any, depth: int) -> str:
        kind = "" if type(value) in (list, tuple, dict, set) else type(value).__name__
        if depth > 2:
            return f"{kind or type(value).__name__} of {len(value)}"
        if isinstance(value, dict):
            pairs = [(self._inner(key, depth), self._inner(some, depth)) for key, some in _ends(value.items())]
            inner = ", ".join(_with_gap([f"{key}: {some}" for key, some in pairs], len(value)))
            return f"{kind}({{{inner}}})" if kind else f"{{{inner}}}"
        texts = [self._inner(each, depth) for each in _ends(value)]
        texts = sorted(texts) if isinstance(value, (set, frozenset)) else texts
        inner = ", ".join(_with_gap(texts, len(value))) + ("," if type(value) is tuple and len(value) == 1 else "")
        left, right = ("(", ")") if isinstance(value, tuple) else ("{", "}") if isinstance(value, set) else ("[", "]")
        return f"{kind}({left}{inner}{right})" if kind else f"{left}{inner}{right}"

    def _inner(self, value: object, depth: int) -> str:
        return self.of(value, _LEVELS + 1, depth + 1)


def _ends(values: Collection[Any]) -> list[Any]:
    """The values of a container that are shown: all, or the first and last ones."""
    if len(values) <= _FIRST + _LAST + 1:
        return list(values)
    if isinstance(values, (list, tuple)):
        return [*values[:_FIRST], *values[-_LAST:]]
    found = list(values)
    return [*found[:_FIRST], *found[-_LAST:]]


def _with_gap(texts: list[str], count: int) -> list[str]:
    left = count - len(texts)
    return [*texts[:_FIRST], f"… {left:,} more …", *texts[_FIRST:]] if left else texts


def _share(texts: Collection[str], room: int) -> int:
    """The greatest length of a text such that all have room; shorter texts leave their room to the others."""
    lengths = sorted(map(len, texts))
    for place, length in enumerate(lengths):
        share = room // (len(lengths) - place)
        if length > share:
            return max(share, _SHORTEST)
        room -= length
    return max(lengths, default=0)


def cut(text: str, most: int) -> str:
    """`text` in one line, without its middle if it is too long: paths and the like differ at their ends."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    last = most // 3
    return f"{text[: most - 1 - last]}…{text[-last:]}"
