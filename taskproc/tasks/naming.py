"""What a task is called: the name of its class, its key and id, and how it is shown to people."""
from __future__ import annotations

import functools
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from taskproc.errors import UnnamableValue
from taskproc.modules import real_name
from taskproc.store.base import Place, Version
from taskproc.store.cache import Cache
from taskproc.tasks.binding import is_loose
from taskproc.tasks.evolving import Rules, pinned_name
from taskproc.tasks.future import Const, Item, Upstream
from taskproc.text import printable
from taskproc.values.encode import canonical_text, digest, json_form, key_form, plain_text, text_digest
from taskproc.values.forms import Json

KEY_FORMAT = 1
_json = json.JSONEncoder()
_ID_BITS = 63
_LEVELS = 2  # of tasks inside a task that are shown with their arguments
_PLAIN = (str, int, float)


@dataclass(slots=True)
class Identity:
    """Who a task instance is; hung on it when it is built.

    Attributes:
        arguments: by parameter name, defaults applied.
        version: set only on an input of a running job: what its result is, in a process that has no graph.
        given: classes and functions among the arguments; see tasks/given.py, which asks once.
        left: what `__init__` left on the task; see tasks/settings.py, which asks once.
        loose: name and digest of each argument that counts and that somebody may change; see `loose_arguments`.
    """

    cache: Cache | None
    place: Place
    arguments: Mapping[str, object]
    version: Version | None = None
    left: Any = None
    given: Any = None
    loose: tuple[tuple[str, str], ...] = ()


def identity_of(value: object) -> Identity | None:
    """Of a task, also of one whose `__init__` runs; None: it is none."""
    return getattr(value, "_taskproc", None) if isinstance(value, Upstream) else None


def task_name(cls: type) -> str:
    """`module.qualname`, with `__main__` resolved to the module or script that it is; or the name that was pinned.

    One string for all tasks of a class, which keep it.
    """
    return sys.intern(pinned_name(cls) or f"{real_name(cls.__module__)}.{cls.__qualname__}")


def texts_of(cls: type, rules: Rules, arguments: Mapping[str, object]) -> dict[str, str]:
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
    rules: Rules, arguments: Mapping[str, object], texts: Mapping[str, str]
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
            now = digest(key_form(identity.arguments[name], name))
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


def brief(value: object) -> str:
    """`value` as one would write it, in a harmless line; of tasks inside other tasks only the plain arguments."""
    return printable(_brief(value, 0))


def _brief(value: object, depth: int) -> str:
    identity = identity_of(value)
    if identity is not None:
        if type(value)._is_outside:  # type: ignore[attr-defined]  # every task has it
            path = str(identity.arguments["path"])
            return f"{type(value).__qualname__}({path if len(path) <= 60 else '…' + path[-59:]!r})"
        if depth > 0:
            return f"{type(value).__qualname__}(…)"
        shown = getattr(type(value), "_shown", None)  # a class of ours may know better
        inner = ", ".join(f"{key}={_upstream(some, 1)}" for key, some in identity.arguments.items())
        inner = inner if shown is None else shown(identity.arguments)
        return f"{type(value).__qualname__}({_cut(inner)})"
    if isinstance(value, (list, tuple, set, frozenset, dict)) and value:
        return _brief_container(value, depth)
    if isinstance(value, Const):
        return f"Const({_brief(value._value, depth + 1)})"
    if isinstance(value, Item):
        return f"{_brief(value.parent, depth)}[{_brief(value._key, depth + 1)}]"
    try:
        return _cut(repr(value), 60)
    except Exception:  # noqa: BLE001  # whatever a class of the user raises: it is only for people
        return f"<{type(value).__name__}>"


def _upstream(value: object, level: int) -> str:
    """An argument; of a task so much that two which read different files, or have different seeds, are told apart."""
    if isinstance(value, Item):
        return f"{_upstream(value.parent, level)}[{_brief(value._key, 1)}]"
    identity = identity_of(value)
    if identity is None or level > _LEVELS or type(value)._is_outside:  # type: ignore[attr-defined]  # see _brief
        return _brief(value, 1)
    plain = {key: some for key, some in identity.arguments.items() if isinstance(some, (*_PLAIN, Upstream))}
    inner = [f"{key}={_upstream(some, level + 1)}" for key, some in plain.items()]
    if len(plain) < len(identity.arguments):
        inner.append("…")
    return f"{type(value).__qualname__}({_cut(', '.join(inner), 80)})"


def _brief_container(value: Any, depth: int) -> str:
    kind = "" if type(value) in (list, tuple, dict, set) else type(value).__name__
    if depth > 2 or len(value) > 4:
        return f"{kind or type(value).__name__} of {len(value)}"
    if isinstance(value, dict):
        inner = ", ".join(f"{_brief(key, depth + 1)}: {_brief(some, depth + 1)}" for key, some in value.items())
        return f"{kind}({{{inner}}})" if kind else f"{{{inner}}}"
    comma = "," if type(value) is tuple and len(value) == 1 else ""
    inner = ", ".join(_brief(some, depth + 1) for some in value) + comma
    left, right = ("(", ")") if isinstance(value, tuple) else ("{", "}") if isinstance(value, set) else ("[", "]")
    return f"{kind}({left}{inner}{right})" if kind else f"{left}{inner}{right}"


def _cut(text: str, most: int = 200) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
