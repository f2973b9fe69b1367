"""The content of the user's source files as Python loaded them.

A file may be edited while its old version is loaded. The functions of a module can be recognized by their code; its
other statements cannot, because their code is gone after they have run. So when Python asks a loader for the stamp of
a source file, which it does each time before it loads or reloads one, the file is read here as well: 20 µs per module,
and nothing for modules of libraries. A finder could not do this: it sees names, but not when their files are read.

Files of modules that were imported before taskproc are read when taskproc is imported. Their content is known if the
file has not changed since the process began, or if Python's compiled file was made from it.
"""
from __future__ import annotations

import os
import sys
from importlib.machinery import SourceFileLoader
from time import time_ns

TYPE_CHECKING = False  # type checkers know the name; `typing` takes 7 ms

if TYPE_CHECKING:
    from types import ModuleType

Stamp = tuple[int, int, int, int]  # time of the last write, size, inode, time of the last change of the inode

_MOST_LOADS = 4            # of one file are remembered
_COARSE = 20_000_000       # ns by which the times of files may lag behind the clock
_FOREIGN = (os.path.dirname(os.__file__) + os.sep, os.path.dirname(__file__) + os.sep)

_loads: dict[str, list[Load]] = {}


class Load:
    """One load of a file.

    Attributes:
        loader: Python's loader; each reload has another one.
        stamp: of the file before the load.
        content: of the file; None if it has been edited since then and is lost.
        made: a place for what other modules derive from it; unlike: takes its place where the content is not known.
    """

    __slots__ = ("content", "loader", "made", "stamp", "unlike")

    def __init__(self, loader: object, stamp: Stamp, content: bytes | None):
        self.loader, self.stamp, self.content = loader, stamp, content
        self.made: object = None
        self.unlike = ""


class _State:
    began = 0    # when taskproc was imported; 0: not yet
    started = 0  # when this process began; 0: not looked up yet
    count = 0    # of the loads that were noted


def note_imports() -> None:
    """Note the modules that are loaded, and from now on each load. `taskproc` calls it; further calls do nothing."""
    if _State.began:
        return
    _State.began = time_ns()
    plain = SourceFileLoader.path_stats

    def path_stats(self: SourceFileLoader, path: str) -> object:
        note_load(self, path)
        return plain(self, path)

    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign,assignment]
    for module in list(sys.modules.values()):
        path = getattr(module, "__dict__", {}).get("__file__")
        if type(path) is str and path.endswith(".py") and is_noted(path):
            _note_loaded(module, path)


def note_load(loader: object, path: str) -> None:
    """Remember the content of a file that `loader` is about to load. Raises nothing."""
    if not is_noted(path):
        return
    load = _look(loader, path)
    if load is not None:
        _keep(path, load)
        _State.count += 1


def is_noted(path: str) -> bool:
    """Whether a file may be the user's, by its path."""
    return not path.startswith(_FOREIGN) and "site-packages" not in path and "dist-packages" not in path


def count() -> int:
    """The number of loads that were noted in this process."""
    return _State.count


def loads_of(path: str) -> list[Load]:
    """The remembered loads of a file, the latest last."""
    return _loads.get(path, [])


def loads_behind(module: ModuleType) -> list[Load]:
    """The loads that a module consists of: the latest first, then those whose leftovers it may still have.

    Costs nothing from the second call on. Empty if the module has no source, and for one that was executed without
    being imported, as by `runpy.run_path` and `%run`: it may consist of several texts, and nothing tells which.
    """
    path, loader = vars(module).get("__file__"), loader_of(module)
    if type(path) is not str or not path.endswith(".py") or loader is None:
        return []
    loads = loads_of(path)
    for index in reversed(range(len(loads))):
        if loads[index].loader is loader:
            return loads[index::-1]
    load = _look(loader, path)
    if load is None:
        return []
    # A loader of another kind: the content that it read is known if the file is older than the import of taskproc
    if max(load.stamp[0], load.stamp[3]) >= _State.began - _COARSE:
        load.content = None
    _keep(path, load)
    return [load]


def loader_of(module: ModuleType) -> object:
    """The loader of a module."""
    names = vars(module)
    return getattr(names.get("__spec__"), "loader", None) or names.get("__loader__")


def stamp_of(path: str) -> Stamp | None:
    """The stamp of a file, which changes with it; None if the file does not exist."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns


def _look(loader: object, path: str) -> Load | None:
    stamp = stamp_of(path)
    if stamp is None:
        return None
    try:
        with open(path, "rb") as file:
            return Load(loader, stamp, file.read())
    except (OSError, MemoryError):
        return None


def _keep(path: str, load: Load) -> None:
    known = _loads.setdefault(path, [])
    if known and known[-1].content == load.content:
        load.content = known[-1].content
    known.append(load)
    del known[:-_MOST_LOADS]


def _note_loaded(module: ModuleType, path: str) -> None:
    """Note a module that was loaded before, with its content if that is certain."""
    load = _look(loader_of(module), path)
    if load is None or load.loader is None:
        return
    # A script imports taskproc as soon as it starts; a shell may have written files and then become this process
    if vars(module).get("__name__") != "__main__" and not _is_as_loaded(module, load.stamp):
        load.content = None
    _loads[path] = [load]


def _is_as_loaded(module: ModuleType, stamp: Stamp) -> bool:
    _State.started = _State.started or _process_start()
    return stamp[3] <= _State.started or _is_compiled(module, stamp)


def _is_compiled(module: ModuleType, stamp: Stamp) -> bool:
    """Whether Python's compiled file, written when a module is loaded, was made from the present source file."""
    try:
        with open(str(vars(module).get("__cached__")), "rb") as file:
            head = file.read(16)
    except (OSError, ValueError):
        return False
    written, size = stamp[0] // 1_000_000_000 & 0xFFFFFFFF, stamp[1] & 0xFFFFFFFF
    return head[4:] == b"".join(number.to_bytes(4, "little") for number in (0, written, size))


def _process_start() -> int:
    """When this process began, in ns of the wall clock and at most 10 ms too late; now, if that is not known."""
    try:
        from time import CLOCK_BOOTTIME, clock_gettime_ns

        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        hertz = os.sysconf("SC_CLK_TCK")
        age = clock_gettime_ns(CLOCK_BOOTTIME) - (ticks + 1) * 1_000_000_000 // hertz
    except (ImportError, OSError, ValueError, IndexError):
        return _State.began
    return time_ns() - age if age >= 0 else _State.began
