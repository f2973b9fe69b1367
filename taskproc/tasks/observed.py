"""What `run_task` touched beyond what its source shows: code that ran and files that were read. Both count.

It is noted during the run (run/observing.py), stored in the record of the result, and compared at each judgement: the
present digest of each item must equal the stored one. An item that changed while the task ran gets a digest that equals
no other, so the task is computed again.
"""
from __future__ import annotations

import functools
import hashlib
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from taskproc.kernel.model import Reason, Record
from taskproc.kernel.rebuild import some_names
from taskproc.modules import FILE, site_of
from taskproc.run.monitoring import NO_MONITORING, Known, Started
from taskproc.run.observing import Noted, Read, is_hindered, signs_at, why_no_code
from taskproc.source.project import is_users_file
from taskproc.tasks.task_attributes import ATTRIBUTE_NAMES

if TYPE_CHECKING:
    from taskproc.store.disk import DiskStore
    from taskproc.store.version import Version

Task = Any  # tasks.task stands above this module
Observed = Mapping[str, Mapping[str, str]]  # "code" and "files" → item or path → digest

CHANGED = "changed while it ran"
GONE = "not there"
_CODE, _FILES = "code", "files"
_MOST = 1000            # files that are stored for a result
_SETTLED = 2_000_000_000  # nanoseconds, as in store/contents.py
_LARGE = 1 << 26        # bytes from which on size and time of a file count, not its content
_SHOWN = 20

_known: dict[tuple[type, str], Known] = {}
_SIGNS = ("pyproject.toml", "setup.py", "setup.cfg", ".git", ".hg")
_HERE = "." + os.sep  # before a path that is relative to a working directory outside the project


def observes(task: Task) -> bool:
    """Whether the class of a task is observed."""
    return bool(type(task).task_observes)


def watch(task: Task, code: str, store: DiskStore) -> Noted:
    """A block that notes what `task` touches, of the code with this digest."""
    key = type(task), code
    known = _known.get(key)
    if known is None:
        known = _known[key] = Known(_Covers(task, code, store))
    return Noted(known, type(task).task_version is None, is_users_file)


class _Covers:
    """Whether the code that a task class reaches includes some code."""

    def __init__(self, task: Task, code: str, store: DiskStore):
        self._task, self._code, self._store = task, code, store

    @functools.cached_property
    def items(self) -> frozenset[str]:
        """The names of its items; those of its own class also under its real name if another one is pinned."""
        from taskproc.modules import object_name

        kept = self._store.code(self._task._taskproc.place.name, self._code) or {}
        items: Any = kept.get("items")
        if not isinstance(items, dict):
            from taskproc.tasks.reached_code import code_of_values
            from taskproc.tasks.task_code import fingerprint

            items = fingerprint(type(self._task), code_of_values(self._task)).items
        return frozenset([object_name(type(self._task)), *(name.partition("#")[0] for name in items)])

    def __call__(self, started: Started) -> bool:
        from taskproc.source.fingerprint import covers  # here: 3 ms, and a run that finds all results does not need it

        if started.code.co_name == "<module>":
            return started.is_named
        return covers(self.items, started.code, started.module)


def settled(noted: Noted, task: Task, root: str, inputs: Iterable[str]) -> Observed:
    """The part of the notes that is stored; empty for most tasks."""
    if not noted.started and not noted.reads and not noted.modules:
        return {}
    reach = Reach(project_of(type(task)), root, list(inputs))
    files = _files(noted, reach, root)
    code = _code(noted, reach, root, files) if noted.started or noted.modules else {}
    return {kind: found for kind, found in ((_CODE, code), (_FILES, files)) if found}


def unseen(noted: Noted) -> tuple[str, ...]:
    """In words, what the task may have touched unnoticed."""
    found = [why_no_code()] if is_hindered() else []
    found += ["what other programs read and ran"] if noted.has_children else []
    found += ["more files than are stored"] if noted.is_cut else []
    return tuple(found)


def _files(noted: Noted, reach: Reach, root: str) -> dict[str, str]:
    digests, found = _Digests(root), dict[str, str]()
    filled = {os.path.dirname(path) for path in noted.own}
    for read in noted.reads.values():
        if read.path in noted.own or (read.is_folder and read.path in filled):
            continue
        name = reach.name(read.path, read.folder)
        if name is None or is_module(read.path) or _is_made(read, noted):
            continue
        if len(found) == _MOST:
            noted.is_cut = True
            break
        if digest := _digest_of(read, digests):
            found[name + os.sep if read.is_folder else name] = digest
    return found


def _is_made(read: Read, noted: Noted) -> bool:
    """Whether a program that the task started may have written the file before it was read: then it is not an input."""
    return noted.has_children and read.signs is not None and max(read.signs[1:3]) >= noted.begun


def _digest_of(read: Read, digests: _Digests) -> str:
    if read.signs is not None and not (os.path.isdir if read.is_folder else os.path.isfile)(read.path):
        return "" if os.path.exists(read.path) else CHANGED
    digest = digests.look(read.path + os.sep if read.is_folder else read.path)
    return digest if signs_at(read.path) == read.signs else CHANGED


def _code(noted: Noted, reach: Reach, root: str, files: dict[str, str]) -> dict[str, str]:
    """Item → digest; code that is not found by its name counts by its file, which is added to `files`."""
    from taskproc.source.fingerprint import items_by_name, name_of_code  # here: see above

    covers, digests = noted.known.covers, _Digests(root)
    names: dict[str, None] = {}
    for started in noted.started.values():
        if covers(started):
            continue
        name = name_of_code(started.code, started.module)
        if name is not None:
            names[name] = None
        elif (path := reach.name(started.code.co_filename, "")) is not None:
            files[path] = digests.look(started.code.co_filename)
    items: frozenset[str] = getattr(covers, "items", frozenset())
    reached = {item.partition(":")[0] for item in items}
    names.update({module: None for module in noted.modules if module not in reached and _is_users(module)})
    found = items_by_name(names, ends=_is_task, settings=ATTRIBUTE_NAMES)
    return {name: digest for name, digest in sorted(found.items()) if name not in items}


def _is_users(module: str) -> bool:
    from taskproc.source.source_files import locate_module

    path, _ = locate_module(module)
    return bool(path) and path is not None and is_users_file(path) and path.endswith(".py")


def _is_task(thing: object) -> bool:
    from taskproc.tasks.future import Upstream

    return isinstance(thing, type) and issubclass(thing, Upstream)


class _Digests:
    """Digests of files; each file is read once until it changes."""

    def __init__(self, root: str):
        self._root = root
        self._known: dict[str, tuple[object, str]] = {}

    def look(self, path: str) -> str:
        """The digest of its present content."""
        signs = signs_at(path)
        if signs is None:
            return GONE
        known = self._known.get(path)
        if known is None or known[0] != signs:
            digest = _names_in(path) if path.endswith(os.sep) else self._read(path, signs[0], signs[1])
            # A file that changed very recently may change once more without a sign: read it again next time
            if max(signs[1:3]) > time.time_ns() - _SETTLED:
                return digest
            known = self._known[path] = signs, digest
        return known[1]

    def _read(self, path: str, size: int, changed: int) -> str:
        from taskproc.store.contents import Contents  # here: 1 ms, for tasks that read files

        if size >= _LARGE:
            return hashlib.sha256(f"{size} {changed}".encode()).hexdigest()
        try:
            return Contents(self._root).look(path).digest
        except OSError as error:
            return f"{GONE}: {error.strerror}"


def _names_in(folder: str) -> str:
    """A digest of the names in a folder, without hidden ones and caches."""
    try:
        names = sorted(name for name in os.listdir(folder) if not is_apart(os.path.join(folder, name)))
    except OSError as error:
        return f"{GONE}: {error.strerror}"
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()


class Sight:
    """What one run finds of all that was observed. Code is read once, because the code loaded then is what runs.

    Args:
        root: of the cache; checks_code: whether code counts.
    """

    def __init__(self, root: str, checks_code: bool):
        self._digests, self._checks_code = _Digests(root), checks_code
        self._code: dict[frozenset[str], Mapping[str, str]] = {}

    def present(self, task: Task, record: Record) -> Observed:
        """The present digests of the items in a record."""
        then = record.observed
        project = project_of(type(task)) if then.get(_FILES) else ""
        files = {name: self._digests.look(project_path(name, project)) for name in then.get(_FILES, {})}
        code = self._present_code(frozenset(then[_CODE])) if then.get(_CODE) else {}
        return {kind: found for kind, found in ((_CODE, code), (_FILES, files)) if found}

    def _present_code(self, names: frozenset[str]) -> dict[str, str]:
        from taskproc.source.fingerprint import items_by_name  # here: see above

        if names not in self._code:
            self._code[names] = items_by_name(sorted(names), ends=_is_task, settings=ATTRIBUTE_NAMES)
        return {name: self._code[names].get(name, GONE) for name in sorted(names)}

    def reason(self, task: Task, record: Record) -> Reason | None:
        """Why a record is stale because of what was observed; None if it is not, or if the class is not observed."""
        if not record.observed or not observes(task):
            return None
        now = self.present(task, record)
        if now == record.observed or accepted_as(now) in record.accepted:
            return None
        changed = {
            kind: [name for name, digest in found.items() if digest != record.observed[kind].get(name)]
            for kind, found in now.items()
            if kind != _CODE or self._checks_code
        }
        text = "; ".join(_sentences(changed, now, record.observed))
        return Reason("observed", text) if text else None


def accepted_as(present: Observed) -> str:
    """The entry that stands for these present digests among the accepted digests of a result."""
    rows = [[kind, name, digest] for kind, found in sorted(present.items()) for name, digest in sorted(found.items())]
    return f"observed {hashlib.blake2b(repr(rows).encode('utf-8', 'backslashreplace'), digest_size=16).hexdigest()}"


def _sentences(changed: Mapping[str, list[str]], now: Observed, then: Observed) -> Iterator[str]:
    words: tuple[tuple[str, str, str, Callable[[str], str]], ...] = (
        (_CODE, "source of {}, which run_task ran,", "source of {}, which run_task ran,", str),
        (_FILES, "{}, which run_task read,", "{}, which run_task looked for,", relative_name),
    )
    for kind, ran, sought, name_of in words:
        names = changed.get(kind, [])
        gone = [name for name in names if now[kind][name] == GONE]
        came = [name for name in names if then[kind][name] == GONE]
        rest = [name for name in names if name not in gone and name not in came]
        for some, text in ((rest, f"{ran} changed"), (gone, f"{ran} is gone"), (came, f"{sought} is there now")):
            if some:
                yield text.format(some_names(some, name_of))


def observation_lines(task: Task, version: Version, is_unclear: bool) -> Iterator[str]:
    """In words, what was observed when a result was made and what was not; of code, only if it `is_unclear`."""
    if not observes(task):
        return
    observed = version.record.observed
    names = [*observed.get(_CODE, {}), *map(relative_name, observed.get(_FILES, {}))]
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    if names:
        yield f"observed: {', '.join(names[:_SHOWN])}{more}"
    unseen = list(_listed(version.about.get("unseen")))
    if is_unclear and _is_old(version.about.get("versions")):
        unseen.append(NO_MONITORING)
    if unseen:
        yield f"not observed: {'; '.join(unseen)}"


def _listed(written: object) -> list[str]:
    return list(map(str, written)) if isinstance(written, list) else []


def _is_old(versions: object) -> bool:
    """Whether a result was made by a Python that does not report which code runs."""
    python = str(versions.get("python", "")) if isinstance(versions, Mapping) else ""
    return python.startswith(("3.10.", "3.11."))


def project_of(cls: type) -> str:
    """The folder of the project that a task class belongs to; without a project, the working directory."""
    names = vars(sys.modules.get(cls.__module__, sys))
    path = names.get(FILE) or names.get("__file__")
    if type(path) is not str or not is_users_file(path):
        return _real(os.getcwd())
    return _project_of_file(path)


@functools.lru_cache(maxsize=64)
def _project_of_file(path: str) -> str:
    folder = _real(site_of(path).folder)
    above = folder
    while not _is_too_wide(above):
        if any(os.path.exists(os.path.join(above, sign)) for sign in _SIGNS):
            return above
        above = os.path.dirname(above)
    return folder


def _is_too_wide(folder: str) -> bool:
    import tempfile  # here: 3 ms, and not needed by most tasks

    return folder in {os.path.dirname(folder), _real(os.path.expanduser("~")), _real(tempfile.gettempdir())}


class Reach:
    """The files that count for one task class.

    Args:
        project: its folder.
        cache: root of the cache.
        inputs: files and folders that count as inputs already.
    """

    def __init__(self, project: str, cache: str, inputs: Collection[str] = ()):
        self._project = project
        self._apart = [_real(path) for path in (cache, *inputs)]
        prefixes = {_real(sys.prefix), _real(sys.base_prefix)}
        self._apart += [prefix for prefix in prefixes if not _below(project, prefix)]

    def name(self, path: str, folder: str) -> str | None:
        """The name of a file in a record: relative to the project, else to the working directory, else absolute.

        None: the file does not count.

        Args:
            folder: the working directory in which it was named; empty: it was named absolutely.
        """
        real = os.path.join(_real(os.path.dirname(path)), os.path.basename(path))
        if any(_below(real, apart) or _below(_real(path), apart) for apart in self._apart) or not is_users_file(path):
            return None
        root = next((root for root in self._roots() if _below(real, root)), None)
        if root is None or _is_hidden(os.path.relpath(os.path.dirname(real), root), root):
            return None
        if folder and _real(folder) != self._project and _below(real, _real(folder)):
            return _HERE + os.path.relpath(real, _real(folder))
        return os.path.relpath(real, self._project) if root == self._project else real

    def _roots(self) -> list[str]:
        here = _real(os.getcwd())
        others = [] if _is_too_wide(here) else [here]
        return [self._project, *others, *_folders_of_modules(len(sys.modules))]


def project_path(name: str, project: str) -> str:
    """The path of the file that a record calls `name`."""
    if name == _HERE:
        return project + os.sep
    place = os.path.abspath(name) if name.startswith(_HERE) else os.path.join(project, name)
    return place + os.sep if name.endswith(os.sep) and not place.endswith(os.sep) else place


def relative_name(name: str) -> str:
    """The name as people write it."""
    return name.removeprefix(_HERE)


@functools.lru_cache(maxsize=1)
def _folders_of_modules(count: int) -> tuple[str, ...]:
    """The folders of the loaded modules of the user; computed again when more modules are loaded."""
    paths = [vars(module).get("__file__") for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    users = [path for path in paths if type(path) is str and is_users_file(path)]
    folders = {_real(site_of(path).folder) for path in users}
    return tuple(sorted(folder for folder in folders if not _is_too_wide(folder)))


def is_module(path: str) -> bool:
    """Whether a file belongs to a loaded module."""
    if path.endswith((".pyc", ".pyo")):
        return True
    loaded: list[Any] = list(sys.modules.values())
    return path.endswith(".py") and any(getattr(module, "__dict__", {}).get("__file__") == path for module in loaded)


def _is_hidden(below: str, root: str) -> bool:
    """Whether a folder in the path below a root is hidden, or marked as a cache."""
    folder = root
    for part in [] if below == "." else below.split(os.sep):
        folder = os.path.join(folder, part)
        if is_apart(folder):
            return True
    return False


def is_apart(path: str) -> bool:
    """Whether a file or folder is hidden, or a cache."""
    name = os.path.basename(path)
    return name.startswith(".") or name == "__pycache__" or os.path.exists(os.path.join(path, "CACHEDIR.TAG"))


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder.endswith(os.sep) else folder + os.sep)


@functools.lru_cache(maxsize=1024)
def _real(path: str) -> str:
    return os.path.realpath(path)
