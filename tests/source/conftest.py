"""Small projects of the user's, loaded as if a new process had imported the files as they are now."""
from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[Mapping[str, str]], ModuleType]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """`load({"m": text, "pkg/utils": text})` writes a new folder of modules and imports `m` from it."""
    numbers, made = itertools.count(), set[str]()
    before = list(sys.path)

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in made]:
            del sys.modules[name]

    def make(files: Mapping[str, str]) -> ModuleType:
        forget()
        folder = tmp_path / str(next(numbers))
        for name, text in files.items():
            path = folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            made.add(name.partition("/")[0])
        sys.path[:] = [str(folder), *before]
        importlib.invalidate_caches()
        return importlib.import_module("m")

    yield make
    forget()
    sys.path[:] = before
