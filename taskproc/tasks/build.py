"""Building a task: a call of its class returns the one instance of its key; an error says which tasks needed it.

A definition may be nested to any depth: every _LEVELS levels, it continues in a new thread with an empty stack, in a
copy of the context. (A higher recursion limit would crash the interpreter on some versions.)
"""
from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from taskproc.errors import BuildError, CycleError
from taskproc.store.cache import Cache, current_cache
from taskproc.tasks.binding import binder, copies, is_flat, rules_of
from taskproc.tasks.naming import Identity, brief, changed_argument, loose_arguments, place_of, texts_of
from taskproc.tasks.running_job import site
from taskproc.tasks.task_graph import upstreams

T = TypeVar("T")

_LEVELS = 50           # levels of a definition per thread: 20 of the usual 1000 frames for each level
_DEEPEST = 50_000      # beyond this, a definition counts as endless
_SHOWN = 4             # tasks named in a message about a nested definition



@dataclass
class _Site:
    """The definition under construction.

    Attributes:
        levels: class and key → task, from the one that the user built to the innermost.
    """

    cache: Cache
    levels: dict[tuple[type, str], object] = field(default_factory=dict)
    abandoned: bool = False


_site: ContextVar[_Site | None] = site


def build(cls: type[T], args: tuple[object, ...], kwargs: dict[str, object]) -> T:
    """The instance of `cls` with these arguments: the same object each time within a block of a Cache."""
    cache = current_cache(f"{cls.__qualname__} was built")
    site = _site.get()
    if site is not None and site.cache is cache:
        return _build_in(site, cls, args, kwargs)
    token = _site.set(_Site(cache))
    try:
        return _build_in(_site.get(), cls, args, kwargs)  # type: ignore[arg-type]  # it was set above
    finally:
        _site.reset(token)


def is_under_construction(task: object) -> bool:
    """Whether the `__init__` of the task is running and called this: its needs are not known yet."""
    site = _site.get()
    return site is not None and any(task is some for some in site.levels.values())


def _build_in(site: _Site, cls: type[T], args: tuple[object, ...], kwargs: dict[str, object]) -> T:
    binds = binder(cls)
    arguments = binds.bind(cls, args, kwargs)
    flat = is_flat(arguments.values())  # then they hold no tasks, and need no copies
    try:
        if not flat:
            _refuse_foreign(cls, arguments, site.cache)
        rules = rules_of(cls)
        texts = texts_of(cls, rules, arguments)
    except Exception as error:
        _tell(error, site, cls.__qualname__, len(site.levels))
        raise
    place = place_of(cls, texts)
    level = (cls, place.key)
    known: T | None = site.cache.instances.get(level)
    if known is not None:
        if not changed_argument(known):
            return known
        site.cache.instances.pop(level, None)  # what it holds now is not what the caller passed
    if site.abandoned:
        raise BuildError("the definition was abandoned")  # by Ctrl-C in the thread that waits for this one
    task = cls.__new__(cls, *args, **kwargs)
    if not isinstance(task, cls):
        return task
    if flat:
        identity = Identity(site.cache, place, arguments)
    else:
        kept = copies(arguments, rules.ignored)
        identity = Identity(site.cache, place, kept, loose=loose_arguments(rules, kept, texts))
        # `__init__` gets copies of its own, because it may change them
        arguments = copies(arguments, rules.ignored)
    # A frozen dataclass refuses setattr; `vars(task)` would create the dict, which otherwise is made on first access
    object.__setattr__(task, "_taskproc", identity)
    _enter(site, level, task)
    try:
        _call_init(site, cls, task, *binds.call_arguments(arguments))
    except Exception as error:
        _tell(error, site, brief(task), len(site.levels) - 1)
        raise
    finally:
        site.levels.pop(level, None)
    found: T = site.cache.instances.setdefault(level, task)
    return found


def _call_init(site: _Site, cls: type, task: object, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    if len(site.levels) % _LEVELS == 0:
        _in_new_thread(site, lambda: cls.__init__(task, *args, **kwargs))  # type: ignore[misc]
    else:
        cls.__init__(task, *args, **kwargs)  # type: ignore[misc]  # the class is given, not the instance


def _refuse_foreign(cls: type, arguments: Mapping[str, object], cache: Cache) -> None:
    """Refuse a task of another cache: its twin in this cache has the same key, so an instance must not hold it."""
    for name, value in arguments.items():
        for task in upstreams(value).values():
            other = task._taskproc.cache
            if other is not None and other.store.root != cache.store.root:
                raise BuildError(
                    f"argument {name!r} of {cls.__qualname__} holds {brief(task)} of cache {other.store.root!r}, "
                    f"but the current cache is {cache.store.root!r}: build both in one cache"
                )


def _enter(site: _Site, level: tuple[type, str], task: object) -> None:
    if level in site.levels:
        start = list(site.levels).index(level)
        path = [brief(each) for each in (*list(site.levels.values())[start:], task)]
        if len(path) > 12:
            path = [*path[:6], "…", *path[-5:]]
        raise CycleError(f"{level[0].__qualname__} needs itself: {' -> '.join(path)}")
    if len(site.levels) >= _DEEPEST:
        first = brief(next(iter(site.levels.values())))
        raise RecursionError(f"the definition of {first} is more than {_DEEPEST} tasks deep: is it endless?")
    site.levels[level] = task


def _in_new_thread(site: _Site, call: Callable[[], object]) -> None:
    """Run `call` on a fresh stack, in a copy of this context; its exception is raised here."""
    raised: list[BaseException] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            context.run(call)
        except BaseException as error:  # noqa: BLE001  # it is raised in the waiting thread
            raised.append(error)

    thread = threading.Thread(target=run, name="taskproc-build", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        site.abandoned = True
        raise
    if raised:
        raise raised[0]


def _tell(error: Exception, site: _Site, shown: str, depth: int) -> None:
    """Note once on the exception what was being built, and which of the `depth` tasks begun before needed it."""
    if getattr(error, "_taskproc_told", False):
        return
    count = depth if depth <= _SHOWN + 1 else _SHOWN
    callers = [brief(task) for task in list(site.levels.values())[depth - count : depth][::-1]]
    more = [f"… ({depth - count} more)"] if count < depth else []
    text = ", needed by ".join([f"while building {shown}", *callers, *more])
    try:
        error._taskproc_told = True  # type: ignore[attr-defined]
    except AttributeError:
        return  # an exception with slots is raised without a note
    _add_note(error, text)


def _add_note(error: Any, text: str) -> None:
    if sys.version_info >= (3, 11):
        error.add_note(text)
        return
    # Python 3.10 shows causes but no notes
    error.__notes__ = [*getattr(error, "__notes__", []), text]
    if error.__cause__ is None:
        error.__cause__ = BuildError(text)
