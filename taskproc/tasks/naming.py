"""What a task is called: the name of its class, its key and id, and how it is shown to people."""
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
_DIGITS_ALONE = 8     # of a short id, where the other tasks are not known

# What is shown of a task
_LEVELS = 2           # of tasks inside it that are shown with their arguments
_LONGEST_TASK = 160   # characters of its arguments; half as many of those of a task inside it
_LONGEST_VALUE = 80
_SHORTEST = 8         # an argument is not cut to less
_FIRST, _LAST = 5, 2  # values of a container


@dataclass(slots=True)
class Identity:
    """Who a task instance is; hung on it when it is built.

    Attributes:
        arguments: by parameter name, defaults applied.
        version: set only on an input of a running job: what its result is, in a process that has no graph.
        given: classes and functions among the arguments; see tasks/reached_code.py, which asks once.
        left: what `__init__` left on the task; see tasks/settings.py, which asks once.
        loose: name and digest of each argument that counts and that can be changed; see `loose_arguments`.
        used: number of the version that the last run in this process has used; 0: none has.
        copied: of a copy for an attempt: the task, and the copier of this attempt; see tasks/attempt_copies.py.
        aside: what `run_task` put on such a copy that was not an attribute of the task before; to look at, and no more.
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
    """Of a task, also of one whose `__init__` runs; None: it is none."""
    return getattr(value, "_taskproc", None) if isinstance(value, Upstream) else None


def task_name(cls: type) -> str:
    """`module.qualname`, with `__main__` resolved to the module or script that it is; or the name that was pinned.

    One string for all tasks of a class, which keep it.
    """
    return sys.intern(pinned_name(cls) or f"{real_name(cls.__module__)}.{cls.__qualname__}")


def texts_of(cls: type, rules: KeyRules, arguments: Mapping[str, object]) -> dict[str, str]:
    """The canonical texts of the arguments that count. Raises UnnamableValue for one that has no form."""
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
    """Where the results of the task with these arguments lie; `texts` are of those that count."""
    name = task_name(cls)
    # The canonical text of {"format": …, "task": …, "args": …}, made of those of its parts
    arguments = ",".join([f"{_name_text(each)}:{texts[each]}" for each in sorted(texts)])
    key = text_digest(f'{{"args":{{{arguments}}},"format":{KEY_FORMAT},"task":{_name_text(name)}}}')
    # Taken from the key, not counted: the same on every machine, so caches can be merged by copying
    return Place(name, int(key[:16], 16) >> (64 - _ID_BITS), key)


@functools.lru_cache(maxsize=1024)
def _name_text(name: str) -> str:
    """The canonical text of what all tasks of a class have in common."""
    return canonical_text(name)


def loose_arguments(
    rules: KeyRules, arguments: Mapping[str, object], texts: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Name and digest of each argument that counts, and that somebody may change until the task is run."""
    loose = [name for name, value in arguments.items() if name not in rules.ignored and is_loose(value)]
    # What is left out at its old meaning counts too: it says that it has this value
    texts = {name: texts.get(name) or canonical_text(key_form(arguments[name], name)) for name in loose}
    return tuple((name, text_digest(text)) for name, text in texts.items())


def changed_argument(task: Any) -> str | None:
    """What to say if an argument is not what it was when the task was built: its key would name another result."""
    identity = task._taskproc
    for name, before in identity.loose:
        try:
            now = form_digest(key_form(identity.arguments[name], name))
        except Exception:  # noqa: BLE001  # whatever a hook of the user raises: it had a form when the task was built
            now = ""
        if now != before:
            where = type(task).__qualname__
            return f"argument {name!r} of {where} was changed after the task was built: pass a copy"
    return None


def arguments_forms(identity: Identity, where: str) -> dict[str, Json]:
    """The arguments in JSON, for people; one that does not count need not have a form, and is left out then."""
    forms: dict[str, Json] = {}
    for name, value in identity.arguments.items():
        try:
            forms[name] = json_form(value, f"argument {name!r} of {where}")
        except UnnamableValue:
            continue
    return forms


def arguments_text(identity: Identity) -> str:
    """What `args.json` says, for people: name, key and arguments of a task."""
    place = identity.place
    # Member by member: the encoder takes as long to begin with a dict as all the rest does
    forms = arguments_forms(identity, place.name)
    texts = [f"{_quoted(name)}: {plain_text(form) or _json.encode(form)}" for name, form in forms.items()]
    return f'{{"task": {_quoted(place.name)}, "key": "{place.key}", "args": {{{", ".join(texts)}}}}}\n'


def brief(value: object, ids: ShortIds | None = None) -> str:
    """`value` as one would write it, in a harmless line; a task with its short id: `Fit#3fa1(X=Load#90b2[0], seed=0)`.

    Different tasks never have the same text, whatever of their arguments is cut.

    Args:
        ids: of the tasks among which the text is to be unambiguous; default: of all that were built in its cache.
    """
    return printable(_Text(ids).of(value))


def nested(value: object) -> str:
    """The same for a part of something: of a task no more than its short id, of a file its path as well."""
    return printable(_Text(None).of(value, _LEVELS + 1))


class _Text:
    """How values are written. A level is that of tasks inside of tasks, depth that of containers."""

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
        except Exception:  # noqa: BLE001  # whatever a class of the user raises: it is only for people
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
        # A worker knows its inputs only, and not what else there is
        job = running_job()
        return key[: job.digits if job is not None and job.digits else _DIGITS_ALONE]

    def _arguments(self, arguments: Mapping[str, object], level: int, most: int) -> str:
        """All of them by name. Where they are too long, tasks are written as ids, then what is longest is cut."""
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
    """What is shown of a container: all, or its first and last values."""
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
    """How long a text may be at most, so that all have room; those that are shorter leave theirs to the others."""
    lengths = sorted(map(len, texts))
    for place, length in enumerate(lengths):
        share = room // (len(lengths) - place)
        if length > share:
            return max(share, _SHORTEST)
        room -= length
    return max(lengths, default=0)


def cut(text: str, most: int) -> str:
    """`text` in a line, without its middle if it is too long: paths and the like differ at their ends."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    last = most // 3
    return f"{text[: most - 1 - last]}…{text[-last:]}"
