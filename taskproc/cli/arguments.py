"""Arguments of stored tasks as one would write them: what `args.json` says becomes text, and no class is loaded."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from taskproc.store import layout
from taskproc.store.ids import KNOWN, ShortIds
from taskproc.text import printable


class Arguments:
    """The arguments of one task, by name.

    Attributes:
        forms: as in the file; empty if that is torn or gone.
    """

    def __init__(self, folder: str):
        try:
            forms = json.loads(Path(folder, layout.ARGUMENTS).read_text("utf-8"))["args"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            forms = {}
        self.forms: dict[str, Any] = forms if isinstance(forms, dict) else {}

    def keys(self) -> Iterator[str]:
        """First digits of the keys of all tasks in them."""
        return (key[:KNOWN] for form in self.forms.values() for _, key in _tasks_in(form))

    def texts(self, ids: ShortIds) -> dict[str, str]:
        """How each is written: plain ones first, for they say more than the ids of tasks."""
        names = sorted(self.forms, key=lambda name: any(True for _ in _tasks_in(self.forms[name])))
        return {printable(name): printable(_shown(self.forms[name], ids)) for name in names}


def _shown(form: Any, ids: ShortIds) -> str:
    try:
        return _text(form, ids)
    except RecursionError:
        return "…"  # made to be so deep by somebody


def _tasks_in(form: Any) -> Iterator[tuple[str, str]]:
    """Name and key of all tasks in a form."""
    todo = [form]
    while todo:
        some = todo.pop()
        if isinstance(some, dict):
            body: Any = some.get("__task__")
            if _is_task(body):
                yield body[0], body[1]
            todo.extend(some.values())
        elif isinstance(some, list):
            todo.extend(some)


def _is_task(body: Any) -> bool:
    return isinstance(body, list) and len(body) == 2 and all(isinstance(each, str) for each in body)


def _text(form: Any, ids: ShortIds) -> str:
    """A form as a Python literal; what has no literal by its kind: `Path('a')`, `Color.RED`, `Point(x=1)`."""
    if isinstance(form, list):
        return f"[{_row(form, ids)}]"
    if not isinstance(form, dict):
        return repr(form)
    tag, body = next(iter(form.items()), ("", None))
    if len(form) != 1 or not (tag.startswith("__") and tag.endswith("__")):
        return _braces([(repr(key), _text(value, ids)) for key, value in form.items()])
    try:
        return _TAGS[tag](body, ids) if tag in _TAGS else _other(tag, body, ids)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError):
        return _other(tag, body, ids)  # somebody else's, or torn


def _row(forms: Sequence[Any], ids: ShortIds) -> str:
    return ", ".join(_text(form, ids) for form in forms)


def _braces(pairs: Sequence[tuple[str, str]]) -> str:
    return f"{{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"


def _pairs(body: Any, ids: ShortIds) -> str:
    return _braces([(_text(key, ids), _text(value, ids)) for key, value in body])


def _task(body: Any, ids: ShortIds) -> str:
    name, key = body
    return f"{_last(name)}#{ids.of(key[:KNOWN])}"


def _last(name: str) -> str:
    """`Fit` for `study.models.Fit` and for `study.models:Fit`."""
    return name.rpartition(":")[2].rpartition(".")[2]


def _tuple(body: Any, ids: ShortIds) -> str:
    return f"({_row(body, ids)}{',' if len(body) == 1 else ''})"


def _fields(body: Any, ids: ShortIds) -> str:
    name, fields = body[:2]
    return f"{_last(name)}({', '.join(f'{field}={_text(value, ids)}' for field, value in fields.items())})"


def _set(body: Any, ids: ShortIds) -> str:
    return f"{{{_row(body, ids)}}}" if body else "set()"


def _other(tag: str, body: Any, ids: ShortIds) -> str:
    inner = _row(body, ids) if isinstance(body, list) else _text(body, ids)
    return f"{tag.strip('_')}({inner})"


_TAGS: Mapping[str, Callable[[Any, ShortIds], str]] = {
    "__task__": _task,
    "__item__": lambda body, ids: f"{_text(body[0], ids)}[{_text(body[1], ids)}]",
    "__const__": lambda body, ids: f"Const({_text(body, ids)})",
    "__futurelist__": lambda body, ids: f"[{_row(body, ids)}]",
    "__futuredict__": _text,
    "__tuple__": _tuple,
    "__set__": _set,
    "__frozenset__": lambda body, ids: f"frozenset({_set(body, ids) if body else ''})",
    "__dict__": _pairs,
    "__path__": lambda body, ids: f"Path({_text(body[1], ids)})",
    "__int__": lambda body, ids: body,
    "__float__": lambda body, ids: body,
    "__enum__": lambda body, ids: f"{_last(body[0])}.{body[1]}",
    "__class__": lambda body, ids: _last(body),
    "__function__": lambda body, ids: _last(body),
    "__namedtuple__": _fields,
    "__dataclass__": _fields,
    "__attrs__": _fields,
    "__pydantic__": _fields,
}
