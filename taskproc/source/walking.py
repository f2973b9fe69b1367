"""What the walk offers to those who visit a class or an import for it."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CellType, ModuleType
from typing import Any, Protocol

from taskproc.source.files import SourceFile
from taskproc.source.pieces import Reads


class Walking(Protocol):
    """The walk, see taskproc.source.walk.Walk."""

    items: dict[str, str]
    settings: frozenset[str]
    seen: set[int]
    unsteady: set[str]
    last: list[Callable[[], None]]

    def ends(self, thing: object, /) -> bool: ...
    def meet(self, value: Any, place: str) -> str: ...
    def untrack(self, words: str) -> None: ...
    def put(self, name: str, number: str, text: str, notes: Mapping[str, str] | None = None) -> None: ...
    def edited(self, module: ModuleType) -> None: ...
    def try_text(self, value: Any, place: str) -> str | None: ...
    def module_name(self, names: Mapping[str, Any]) -> str: ...
    def scan(self, file: SourceFile, names: Mapping[str, Any]) -> None: ...
    def value_at(self, value: Any, place: str) -> bool: ...
    def live(self, value: Any, place: str, chain: tuple[str, ...]) -> None: ...
    def follow(
        self,
        reads: Reads,
        name: str,
        names: Mapping[str, Any],
        file: SourceFile | None,
        notes: dict[str, str],
        cells: Mapping[str, CellType] | None = None,
    ) -> None: ...
