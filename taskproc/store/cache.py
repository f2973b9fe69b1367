"""The Cache context: the store in use, and one instance of a task per key.

The cache in use is a context variable, so threads and asyncio tasks may each have their own, and blocks may nest.
"""
from __future__ import annotations

import functools
import inspect
import json
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from taskproc.errors import CacheError, NoCacheError, OptionError
from taskproc.folders import absolute_path
from taskproc.frozen import replace
from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.store.files import Files
from taskproc.store.folder import refuse_links
from taskproc.store.layout import ShortIds
from taskproc.store.rules import Durability, checked_rules, refuse_exposed

if TYPE_CHECKING:
    import datetime as dt

    from taskproc.ledger.entries import Entry
    from taskproc.ledger.expiry import Choice

F = TypeVar("F", bound=Callable[..., Any])

# A tuple, not a token for each block: one Cache object may be entered in several contexts at once
_in_force: ContextVar[tuple[Cache, ...]] = ContextVar("taskproc_cache", default=())

_LONGEST = 1 << 16  # bytes of taskproc.json that are read

_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder holds results that taskproc can compute again; see https://bford.info/cachedir/\n"
)


class Cache:
    """The folder that stores results: `with Cache('./cache'):`, or `@Cache('./cache')` above a function.

    Tasks are built inside the block and remember their cache, so they can run after it. Entering the block creates the
    folder. Results are pickles, which can run any code: use only caches written by yourself or by people you trust.

    Args:
        path: the folder, str or Path; relative to the working directory at this moment.
        durability: which results a power failure may cost: 'none', 'result' or 'full'. It never makes a result wrong.
            'result' waits for the disk if a task took more than 20 ms, 'full' for every result and its folder.
        keep_versions: how many earlier results of a task stay besides the one in use. They are used again when their
            code and inputs come back.
        key_file: a file with a key of 16 bytes or more, see `taskproc.make_key_file(path)`. Results are signed with
            it, and other results are not loaded. Default: the environment variable TASKPROC_KEY_FILE.
        shared: load results of all users, from a folder that all may write: each of them can run code as you. The
            environment variable TASKPROC_SHARED=1 has the same effect.
        keep_runs: how many journals of runs stay in the folder `runs`; 0: none is written.

    Raises:
        OptionError: one of the options is wrong.
        CacheError: the key file cannot be used; (on entering) the path is a file, cannot be created, or can be written
            by other users.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "result",
        keep_versions: int = 1,
        key_file: str | os.PathLike[str] | None = None,
        shared: bool = False,
        keep_runs: int = 100,
    ):
        rules = checked_rules(durability, keep_versions, key_file, shared, keep_runs)
        self._begin(DiskStore(absolute_path(path, CacheError), rules=rules))
        _ = self.store.key  # now, not at the first result: a wrong key fails where it is passed

    @classmethod
    def under(cls, store: DiskStore) -> Cache:
        """The cache of a job: its folder exists, and its rules were checked when the run began."""
        cache = cls.__new__(cls)
        cache._begin(store)
        return cache

    def _begin(self, store: DiskStore) -> None:
        self.store = store
        # One instance per class object and key. A class that was defined again is another object
        self.instances: dict[tuple[type, str], Any] = {}
        self._ids, self._counted = ShortIds(), 0

    def short_id(self, key: str) -> str:
        """The digits of `key` that tell it from all tasks that were built in this cache. Costs O(new tasks)."""
        count = len(self.instances)
        # One call that runs no Python code: other threads may build tasks in the meantime
        keys = list(islice(reversed(self.instances), max(0, count - self._counted)))
        self._ids.meet(key for _, key in keys)
        self._counted = count
        return self._ids.of(key)

    # Whether a block of another cache, inside a block of this one, uses this one; for tests, see tasks/stubs.py
    replaces_others: ClassVar[bool] = False

    @functools.cached_property
    def path(self) -> Path:
        """The folder, absolute."""
        return Path(self.store.root)

    def entries(
        self,
        task: str | type | None = None,
        *,
        where: Mapping[str, object] | None = None,
        failed: bool = False,
        since: float | dt.timedelta | dt.datetime | None = None,
    ) -> list[Entry]:
        """What the cache remembers of its tasks, newest first, one Entry for each that ever ran. Loads no result.

        Costs a listing, the arguments and one record for each task. The cache need not be entered.

        Args:
            task: a task class, or its name, of which the last part is enough where that is unique; default: all.
            where: name of an argument → the value that it must have. `1`, `1.0` and `True` are different values.
            failed: only tasks whose newest attempt failed.
            since: only what ended, or began if it runs, after this moment: a datetime, seconds since 1970, or a
                timedelta before now.

        Raises:
            CacheError: there is no cache, it has no class of this name, or several.
            OptionError: no task has one of the arguments in `where`.
            UnnamableValue: a value in `where` cannot be an argument.
        """
        from taskproc.ledger.entries import entries  # the one way up: this method is public

        if not is_cache(self.path):
            raise CacheError(f"there is no cache at {str(self.path)!r}")
        return entries(self.store, task, where=where, failed=failed, since=since)

    def gc(
        self,
        *pipelines: object,
        keep_days: float | None = None,
        max_size: int | None = None,
        delete: bool = False,
    ) -> Choice:
        """What may be deleted, as `taskproc gc` shows it: `dropped` and `kept` tasks, and the `largest_loss`.

        Each argument lets more results stay; at least one is needed. Results that a living run may use stay, and so do
        results that are replaced in the meantime. Costs a listing and one record for each task.

        Args:
            pipelines: tasks of this cache; their results, and those of all that they need, stay.
            keep_days: results that are younger than so many days stay.
            max_size: bytes; only as much goes as is needed, first what is cheapest to compute again per byte.
            delete: move what goes into the trash, which the next `clear` or run empties; `dropped` is then what went.

        Raises:
            CacheError: there is no cache, or it cannot be written.
            OptionError: no argument says what may go.
        """
        from taskproc.ledger.expiry import collected  # here and below: as in `entries`
        from taskproc.tasks.task_graph import places_of

        if not is_cache(self.path):
            raise CacheError(f"there is no cache at {str(self.path)!r}")
        if not pipelines and keep_days is None and max_size is None:
            raise OptionError("nothing says what may go: pass the tasks whose results stay, keep_days or max_size")
        if delete:
            self.store.rules.allow_writing()
        reached = places_of(pipelines) if pipelines else None
        return collected(self.store, reached, keep_days, max_size, delete=delete)

    def __repr__(self) -> str:
        return f"Cache({str(self.path)!r})"

    def __enter__(self) -> Cache:
        if self._is_replaced():
            _in_force.set((*_in_force.get(), _in_force.get()[-1]))
            return _in_force.get()[-1]
        rules = self.store.rules
        refuse_links(self.path)
        refusal = prepare_cache(self.path, shared=rules.shared)
        refuse_exposed(self.path, rules)
        if refusal != rules.refusal:
            self.store.rules = replace(rules, refusal=refusal)
        if self not in _in_force.get():
            # Classes may have been defined again since then, and their instances belong to the old classes
            self.instances.clear()
            self._counted = 0
        _in_force.set((*_in_force.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The last block of this cache: a generator that is closed late exits after others were entered
        caches = _in_force.get()
        left = caches[-1] if self._is_replaced() else self
        last = max((at for at, cache in enumerate(caches) if cache is left), default=len(caches))
        _in_force.set(caches[:last] + caches[last + 1 :])

    def _is_replaced(self) -> bool:
        caches = _in_force.get()
        return bool(caches) and caches[-1].replaces_others and not self.replaces_others

    def __call__(self, function: F) -> F:
        """Decorate `function`, or a coroutine function, so that it runs inside this cache."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return function(*args, **kwargs)

        return cast(F, wrapped)


def is_cache(path: str | os.PathLike[str]) -> bool:
    """Whether the folder `path` is a cache."""
    return os.path.lexists(os.path.join(path, layout.MARKER))


def other_files(path: str | os.PathLike[str]) -> str | None:
    """The name of a file in a folder that never was a cache; hidden files do not count.

    None if there is none, or if the folder was a cache, even if its `taskproc.json` was removed.
    """
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return None  # it does not exist yet, or creating the cache will report the error
    if {"taskproc.json", "CACHEDIR.TAG"} & set(names):
        return None
    if any("." in name and os.path.isdir(os.path.join(path, name, "results")) for name in names):
        return None
    return next((name for name in names if not name.startswith(".")), None)


def current_cache(what: str) -> Cache:
    """The cache in use. NoCacheError says that `what` needs one, and what to do."""
    caches = _in_force.get()
    if not caches:
        raise NoCacheError(f"{what} outside a cache: do it inside `with Cache('./cache'):`")
    return caches[-1]


class ActiveCache:
    """Makes `cache` the one in use inside a block; unlike `with cache` it expects that the folder exists."""

    __slots__ = ("_cache", "_token")

    def __init__(self, cache: Cache):
        self._cache = cache

    def __enter__(self) -> None:
        self._token = _in_force.set((*_in_force.get(), self._cache))

    def __exit__(self, *exception: object) -> None:
        _in_force.reset(self._token)


def prepare_cache(path: Path, *, shared: bool = False) -> str:
    """Create a cache folder, or check an existing one. CacheError says why it cannot be used.

    Returns why it must not be written, or nothing. Each record has its own format, so our records can be read beside
    those of a newer taskproc. But only the newer taskproc knows how to add records and which ones must stay.
    """
    try:
        text = _marker_text(path)
    except FileNotFoundError:
        _create(path, shared)
        return ""
    except NotADirectoryError:
        raise CacheError(f"cache path {str(path)!r} is not a folder: a part of it is a file") from None
    except OSError as error:
        raise CacheError(f"cache {str(path)!r} cannot be read: {error}") from error
    except ValueError as error:  # NUL, or a surrogate
        raise CacheError(f"cache path {str(path)!r} is not a valid path: {error}") from None
    try:
        version = json.loads(text)["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""  # torn or edited: only this check uses it, and every record has its own format
    if isinstance(version, int) and version <= layout.FORMAT:
        return ""
    return (
        f"cache {str(path)!r} has format {version}; this taskproc knows format {layout.FORMAT} and can only read it: "
        "update taskproc, or use another folder"
    )


def _marker_text(path: Path) -> str:
    files = Files()
    handle = files.read_only(str(path), layout.MARKER)
    try:
        return files.read(handle, _LONGEST, 0).decode("utf-8", "replace")
    finally:
        files.close(handle)


def _create(path: Path, shared: bool) -> None:
    """Create a cache. CACHEDIR.TAG and .gitignore, which apply to the whole folder, only if it was empty."""
    try:
        # The umask applies to everything below; this new folder must not be writable by others unless it is shared
        path.mkdir(0o777 if shared else 0o755, parents=True, exist_ok=True)
        if (other := other_files(path)) is not None:
            import logging  # here: 5 ms, and rarely needed

            # Not refused: some programs do this on purpose
            logging.getLogger("taskproc").warning(
                "creating a cache in %r, a folder with other files (%r). Is this the folder you meant?",
                str(path), other,
            )  # fmt: skip
        if not any(path.iterdir()):
            _make(path, "CACHEDIR.TAG", _TAG)
            _make(path, ".gitignore", "*\n")
        temporary = f".taskproc.{os.urandom(16).hex()}.tmp"
        try:
            about = {"format": layout.FORMAT, "about": "https://pypi.org/project/taskproc"}
            _make(path, temporary, json.dumps(about) + "\n")
            os.replace(path / temporary, path / layout.MARKER)
        finally:
            (path / temporary).unlink(missing_ok=True)  # so that a full disk does not get fuller with each try
    except FileExistsError:
        raise CacheError(f"cache path {str(path)!r} is a file, not a folder") from None
    except OSError as error:
        raise CacheError(f"cache {str(path)!r} cannot be created: {error}") from error


def _make(path: Path, name: str, text: str) -> None:
    """Create a file, unless it exists: then another process has created the same one."""
    files = Files()
    try:
        handle = files.make(str(path), name)
    except FileExistsError:
        return
    try:
        files.append(handle, text.encode("ascii"))
    finally:
        files.close(handle)
