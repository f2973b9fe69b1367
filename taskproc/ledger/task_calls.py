"""Tasks as calls, `Load(day=3)`, from what is stored beside their results. No class is loaded."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskproc.errors import LinkInCache
from taskproc.ledger.argument_texts import Arguments, last_part
from taskproc.ledger.identifiers import Catalogue
from taskproc.store import layout
from taskproc.text import cut_in_middle, printable

LONGEST = 80  # characters of the arguments of a task inside another
_LEVELS = 3   # of tasks inside tasks that are shown with their arguments; below, only with their ids


class TaskCalls:
    """Gives the text of tasks. Costs a read for each different one; each is read once.

    Args:
        longest: characters of its arguments; longer ones lose their middle.
    """

    def __init__(self, catalogue: Catalogue, longest: int = LONGEST):
        self._catalogue, self._longest = catalogue, longest
        self._forms: dict[str, Mapping[str, Any]] = {}
        self._texts: dict[tuple[str, int], str] = {}

    def text(self, name: str, key: str, forms: Mapping[str, Any], level: int = 0) -> str:
        """`Load(day=3)`; `Load#3fa1c2` if its arguments are not known, or too deep inside others.

        Args:
            forms: its arguments in JSON forms, if they are known; else they are looked up in the cache.
        """
        short = f"{printable(last_part(name))}#{self._catalogue.short(key)}"
        if level >= _LEVELS:
            return short
        if (key, level) not in self._texts:
            known = forms or self._stored(name, key)
            self._texts[key, level] = self._call(name, known, level) if known is not None else short
        return self._texts[key, level]

    def _call(self, name: str, forms: Mapping[str, Any], level: int) -> str:
        arguments = Arguments({"args": forms})
        texts = arguments.texts(lambda inner, key, known: self.text(inner, key, known, level + 1))
        inner = ", ".join(f"{argument}={text}" for argument, text in texts.items())
        return f"{printable(last_part(name))}({cut_in_middle(inner, self._longest)})"

    def _stored(self, name: str, key: str) -> Mapping[str, Any] | None:
        if key not in self._forms:
            self._forms[key] = self._read(name, key)
        return self._forms[key].get("args")

    def _read(self, name: str, key: str) -> Mapping[str, Any]:
        store = self._catalogue.store
        try:
            number = int(key[:16], 16) >> 1
            with store.held(*layout.results_levels(name), str(number)) as folder:
                content = store.arguments(folder) or {}
        except (OSError, ValueError, LinkInCache):
            return {}  # cleared, or never there: results of some tasks are outside the cache
        return content if isinstance(content.get("args"), dict) else {}
