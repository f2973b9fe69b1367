"""What `run_task` touched and no look at its source leads to: code that ran, files that were read. Both count.

Noted while it runs (run/observing.py), kept in the record of the result, and looked at whenever that is judged: the
present digest of each must be the one that is kept. What changed while the task ran is kept in a way that nothing
equals, so it is computed again.
"""
from __future__ import annotations

import functools
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from taskproc.kernel.model import Reason, Record
from taskproc.kernel.rebuild import some_names
from taskproc.run.monitoring import NO_MONITORING, Known, Started
from taskproc.run.observing import Noted, Read, is_hindered, observing, signs_at, why_no_code
from taskproc.source.project import is_users_file
from taskproc.tasks.reach import Reach, is_apart, is_module, place_of, project_of, shown

if TYPE_CHECKING:
    from taskproc.store.base import Version
    from taskproc.store.disk import DiskStore

Task = Any  # tasks.task stands above this module
Observed = Mapping[str, Mapping[str, str]]  # "code" and "files" → item or path → digest

CHANGED = "changed while it ran"
GONE = "not there"
_CODE, _FILES = "code", "files"
_MOST = 1000            # files that are kept of a result
_SETTLED = 2_000_000_000  # nanoseconds, as in store/contents.py
_LARGE = 1 << 26        # bytes of a file from which on its size and time count, and not its content
_SHOWN = 20

_known: dict[tuple[type, str], Known] = {}


def observes(task: Task) -> bool:
    """Whether the class of a task wants it."""
    return bool(type(task).task_observes)


def watch(task: Task, code: str, store: DiskStore) -> observing:
    """A block that notes what `task` touches, of the code with this digest."""
    key = type(task), code
    known = _known.get(key)
    if known is None:
        known = _known[key] = Known(_Covers(task, code, store))
    return observing(Noted(known), type(task).task_version is None, is_users_file)


class _Covers:
    """Whether the code of a task class, or of what it reaches, has some code in it."""

    def __init__(self, task: Task, code: str, store: DiskStore):
        self._task, self._code, self._store = task, code, store

    @functools.cached_property
    def items(self) -> frozenset[str]:
        """The names of its items; those of its own class also where that goes by a pinned name."""
        from taskproc.modules import object_name

        kept = self._store.code(self._task._taskproc.place.name, self._code) or {}
        items: Any = kept.get("items")
        if not isinstance(items, dict):
            from taskproc.tasks.given import given_to
            from taskproc.tasks.source import fingerprint

            items = fingerprint(type(self._task), given_to(self._task)).items
        return frozenset([object_name(type(self._task)), *(name.partition("#")[0] for name in items)])

    def __call__(self, started: Started) -> bool:
        from taskproc.source.fingerprint import covers  # here: 3 ms, and a run that finds all does without

        if started.code.co_name == "<module>":
            return started.is_named
        return covers(self.items, started.code, started.module)


def settled(noted: Noted, task: Task, root: str, inputs: Iterable[str]) -> Observed:
    """What is to be kept of what was noted; empty for most."""
    if not noted.started and not noted.reads and not noted.modules:
        return {}
    reach = Reach(project_of(type(task)), root, list(inputs))
    files = _files(noted, reach, root)
    code = _code(noted, reach, root, files) if noted.started or noted.modules else {}
    return {kind: found for kind, found in ((_CODE, code), (_FILES, files)) if found}


def unseen(noted: Noted) -> tuple[str, ...]:
    """What of all that it touched may not have been noted, in words."""
    found = [why_no_code()] if is_hindered() else []
    found += ["what other programs read and ran"] if noted.has_children else []
    found += ["more files than are kept"] if noted.is_cut else []
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
    """Whether a program that the task started may have made the file before it was read: then it is its own."""
    return noted.has_children and read.signs is not None and max(read.signs[1:3]) >= noted.begun


def _digest_of(read: Read, digests: _Digests) -> str:
    if read.signs is not None and not (os.path.isdir if read.is_folder else os.path.isfile)(read.path):
        return "" if os.path.exists(read.path) else CHANGED
    digest = digests.look(read.path + os.sep if read.is_folder else read.path)
    return digest if signs_at(read.path) == read.signs else CHANGED


def _code(noted: Noted, reach: Reach, root: str, files: dict[str, str]) -> dict[str, str]:
    """Item → digest; code that is not found by its name counts by its file, which goes to `files`."""
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
    found = items_by_name(names, ends=_is_task, settings=_settings())
    return {name: digest for name, digest in sorted(found.items()) if name not in items}


def _is_users(module: str) -> bool:
    from taskproc.source.source_files import locate_module

    path, _ = locate_module(module)
    return bool(path) and path is not None and is_users_file(path) and path.endswith(".py")


def _is_task(thing: object) -> bool:
    from taskproc.tasks.future import Upstream

    return isinstance(thing, type) and issubclass(thing, Upstream)


def _settings() -> frozenset[str]:
    from taskproc.tasks.source import SETTINGS

    return SETTINGS


class _Digests:
    """Digests of files, each looked at once as long as it stays as it is."""

    def __init__(self, root: str):
        self._root = root
        self._known: dict[str, tuple[object, str]] = {}

    def look(self, path: str) -> str:
        """The digest of what is there now."""
        signs = signs_at(path)
        if signs is None:
            return GONE
        known = self._known.get(path)
        if known is None or known[0] != signs:
            digest = _names_in(path) if path.endswith(os.sep) else self._read(path, signs[0], signs[1])
            # What changed just now may change once more without a sign of it: it is looked at again
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
    """A digest of the names in a folder, but for hidden ones and caches."""
    try:
        names = sorted(name for name in os.listdir(folder) if not is_apart(os.path.join(folder, name)))
    except OSError as error:
        return f"{GONE}: {error.strerror}"
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()


class Sight:
    """What one run finds of all that was observed. Code is looked at once: what runs is what was there then.

    Args:
        root: of the cache; checks_code: whether code counts.
    """

    def __init__(self, root: str, checks_code: bool):
        self._digests, self._checks_code = _Digests(root), checks_code
        self._code: dict[frozenset[str], Mapping[str, str]] = {}

    def present(self, task: Task, record: Record) -> Observed:
        """The present digests of what a record has."""
        then = record.observed
        project = project_of(type(task)) if then.get(_FILES) else ""
        files = {name: self._digests.look(place_of(name, project)) for name in then.get(_FILES, {})}
        code = self._present_code(frozenset(then[_CODE])) if then.get(_CODE) else {}
        return {kind: found for kind, found in ((_CODE, code), (_FILES, files)) if found}

    def _present_code(self, names: frozenset[str]) -> dict[str, str]:
        from taskproc.source.fingerprint import items_by_name  # here: see above

        if names not in self._code:
            self._code[names] = items_by_name(sorted(names), ends=_is_task, settings=_settings())
        return {name: self._code[names].get(name, GONE) for name in sorted(names)}

    def reason(self, task: Task, record: Record) -> Reason | None:
        """Why a record is not good any more for what was observed; None if it is, or for classes that do not ask."""
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
    """What stands among the accepted digests of a result for these present ones."""
    rows = [[kind, name, digest] for kind, found in sorted(present.items()) for name, digest in sorted(found.items())]
    return f"observed {hashlib.blake2b(repr(rows).encode('utf-8', 'backslashreplace'), digest_size=16).hexdigest()}"


def _sentences(changed: Mapping[str, list[str]], now: Observed, then: Observed) -> Iterator[str]:
    words: tuple[tuple[str, str, str, Callable[[str], str]], ...] = (
        (_CODE, "source of {}, which run_task ran,", "source of {}, which run_task ran,", str),
        (_FILES, "{}, which run_task read,", "{}, which run_task looked for,", shown),
    )
    for kind, ran, sought, name_of in words:
        names = changed.get(kind, [])
        gone = [name for name in names if now[kind][name] == GONE]
        came = [name for name in names if then[kind][name] == GONE]
        rest = [name for name in names if name not in gone and name not in came]
        for some, text in ((rest, f"{ran} changed"), (gone, f"{ran} is gone"), (came, f"{sought} is there now")):
            if some:
                yield text.format(some_names(some, name_of))


def told(task: Task, version: Version, is_unclear: bool) -> Iterator[str]:
    """In words what was observed when a result was made, and what was not; of code only where it `is_unclear`."""
    if not observes(task):
        return
    observed = version.record.observed
    names = [*observed.get(_CODE, {}), *map(shown, observed.get(_FILES, {}))]
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
    """Whether a result was made by a Python on which code is not seen."""
    python = str(versions.get("python", "")) if isinstance(versions, Mapping) else ""
    return python.startswith(("3.10.", "3.11."))
