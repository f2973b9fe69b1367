"""Which tasks of a listing are wanted: by their arguments, and by when and how they ended."""
from __future__ import annotations

import ast
import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

from taskproc.errors import OptionError
from taskproc.ledger.argument_texts import Arguments, TaskText
from taskproc.text import did_you_mean
from taskproc.values.encode import canonical_text, json_form
from taskproc.values.forms import Json


class WantedArguments:
    """Values that arguments must have. Knows afterwards which of the names no task has.

    Args:
        values: name of an argument → its value.
        texts: name of an argument → its value as somebody wrote it: as Python, as it is shown, or a text without its
            quotes.
    """

    def __init__(self, values: Mapping[str, object], texts: Mapping[str, str] | None = None):
        self._forms = {name: [_canonical(json_form(value, f"where[{name!r}]"))] for name, value in values.items()}
        self._texts = dict(texts or {})
        for name, text in self._texts.items():
            self._forms[name] = [_canonical(json_form(text, name)), *_literal(text)]
        self._unseen = set(self._forms)
        self._names: set[str] = set()

    def fits(self, arguments: Arguments, call: TaskText) -> bool:
        """Whether the arguments of a task have all these values."""
        forms = arguments.forms
        if self._unseen:
            self._names |= forms.keys()
            self._unseen -= forms.keys()
        return all(name in forms and self._fits(name, arguments, call) for name in self._forms)

    def _fits(self, name: str, arguments: Arguments, call: TaskText) -> bool:
        if _canonical(arguments.forms[name]) in self._forms[name]:
            return True
        return name in self._texts and arguments.texts(call).get(name) == self._texts[name]

    def refuse_unknown(self) -> None:
        """Raise OptionError for a name that no task has as an argument, if there were tasks."""
        for name in sorted(self._unseen if self._names else ()):
            there = ", ".join(sorted(self._names))
            raise OptionError(f"no task has an argument {name!r}; there are {there}{did_you_mean(name, self._names)}")


def moment(since: float | dt.timedelta | dt.datetime | None) -> float:
    """Seconds since 1970 of a moment, or of what is so long ago; 0.0 for None."""
    if isinstance(since, dt.timedelta):
        return time.time() - since.total_seconds()
    if isinstance(since, dt.datetime):
        return since.timestamp()
    return float(since or 0.0)


def _canonical(form: Any) -> str:
    try:
        return canonical_text(_without_arguments(form))
    except (TypeError, ValueError, RecursionError):
        return ""  # of another program


def _without_arguments(form: Any) -> Json:
    """A form in which tasks have only their names and keys."""
    if isinstance(form, list):
        return [_without_arguments(part) for part in form]
    if isinstance(form, dict):
        body = form.get("__task__")
        if isinstance(body, list):
            return {"__task__": body[:2]}
        return {name: _without_arguments(part) for name, part in form.items()}
    plain: Json = form
    return plain


def _literal(text: str) -> list[str]:
    """The canonical text of a Python literal, if this is one."""
    try:
        return [_canonical(json_form(ast.literal_eval(text), "where"))]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return []
