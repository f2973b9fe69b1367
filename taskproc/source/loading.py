"""The text that a module was loaded from, which is not what its file says now where that was edited in the meantime.

Functions are known by their code, see files.py. What else a module says counts as it is written, so it must be known
from which text it was loaded. Where that is not known it is never guessed: see `edited`.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import ModuleType

from taskproc.by_value import remembered_text
from taskproc.imports import count as loads
from taskproc.imports import loader_of, loads_behind, loads_of
from taskproc.modules import FILE
from taskproc.source.dump import digest
from taskproc.source.files import SourceFile, as_loaded, read, version

_ahead: dict[str, list[str]] = {}  # module → texts that were read of it while it was not loaded

EDITED = "was edited after it was loaded, and what it was loaded from is not known"


def loaded_file(module: ModuleType) -> SourceFile | None:
    """The text that a module was loaded from; None if it has none, or if it is not known any more.

    Costs nothing from the second time on.
    """
    path = path_of(module)
    return next(_texts(module, path), None) if path is not None else None


def was_edited(module: ModuleType) -> bool:
    """Whether it is not known what a module was loaded from, since its file was edited."""
    return bool(loads_behind(module)) and loaded_file(module) is None


def loaded_files(module: ModuleType) -> list[SourceFile]:
    """All texts that a module was loaded from in this process, as far as they are remembered; the last one first."""
    path = str(path_of(module))
    return list(filter(None, (as_loaded(path, load) for load in reversed(loads_of(path)))))


def may_be_older(module: ModuleType, cls: type) -> bool:
    """Whether a class may have been made before its module was loaded again from another text."""
    if len({load.content for load in loads_of(str(path_of(module)))}) < 2 or not loads_behind(module):
        return False
    found: object = module
    for name in cls.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(name)
    return found is not cls


def unlike_any(module: ModuleType) -> str:
    """Stands for what the statements of such a module say: equal in this process and its children, and nowhere else."""
    load = loads_behind(module)[0]
    load.unlike = load.unlike or digest(os.urandom(16).hex())
    return load.unlike


def read_ahead(name: str, path: str) -> SourceFile | None:
    """The file of a module that is not loaded, as it is now; remembered, for it may be edited before it is loaded."""
    file = read(path)
    texts = _ahead.setdefault(name, [])
    if file is not None and file.text not in texts:
        texts.append(file.text)
    return file


def loaded_otherwise() -> frozenset[str]:
    """Names of modules that were loaded from another text than was read ahead; cheap where nothing was loaded since."""
    now = loads(), len(sys.modules)
    if _late.seen != now:
        modules = [(name, module) for name in list(_ahead) if (module := sys.modules.get(name)) is not None]
        _late.names = frozenset(name for name, module in modules if not _is_as_read(module, _ahead[name]))
        _late.seen = now
    return _late.names


def _is_as_read(module: ModuleType, texts: list[str]) -> bool:
    file = loaded_file(module)
    return file is not None and all(text == file.text for text in texts)


class _Late:
    """What was loaded otherwise, as it was when so many loads were noted and so many modules there."""

    seen: tuple[int, int] = (-1, -1)
    names: frozenset[str] = frozenset()


_late = _Late()


def path_of(module: ModuleType) -> str | None:
    """The file of a module; of a `__main__` that stands for another one, the file of that."""
    names = vars(module)
    path = names.get("__file__", names.get(FILE))
    return path if type(path) is str else None


def _texts(module: ModuleType, path: str) -> Iterator[SourceFile]:
    """One; more where a module was loaded again from a text that Python could not compile, and stayed what it was."""
    sent = remembered_text(path)
    if sent is not None:  # came by value
        yield from filter(None, [version(path, sent)])
        return
    if FILE in vars(module) or loader_of(module) is None:  # of what was not imported: as it is now
        yield from filter(None, [read(path)])
    for load in loads_behind(module):
        if load.content is None:
            return
        yield from filter(None, [as_loaded(path, load)])
