"""The code of a task class: what a result depends on besides arguments and inputs."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from taskproc.errors import BuildError
from taskproc.kernel.model import Stamp
from taskproc.modules import find_object, object_name
from taskproc.source.project import is_users_class, is_users_code
from taskproc.tasks.binding import pinned_name
from taskproc.tasks.future import Upstream

if TYPE_CHECKING:
    from taskproc.source.fingerprint import Fingerprint

# Where and how a task runs, not what it computes
SETTINGS = frozenset(
    "task_label task_compress_level task_timeout task_own_process task_version task_includes task_packages "
    "task_environment task_ignored_args task_default_since task_pinned_name "
    "task_unwatched_ok task_observes".split()
)


def fingerprint(cls: type, given: Iterable[object] = ()) -> Fingerprint:
    """The code that a task class reaches: its own, that of its bases below Task and of mixins, `task_includes`.

    Other task classes are not followed, because they have their own fingerprints. With a `task_version`, none of it
    counts.

    Args:
        given: functions and classes among its arguments. Of task classes, attributes that are read of any object count.
    """
    version = _attribute(cls, "task_version")
    bases = [base for base in cls.__mro__ if is_users_class(base)] if version is None else []
    includes = _attribute(cls, "task_includes") or () if version is None else ()
    upstream = [some for some in given if isinstance(some, type) and _is_task(some)]
    things = [*bases, *includes, *(some for some in given if not _is_task(some))]
    if not things:
        return _fingerprint_of(())
    known = set(map(id, things))
    found = _fingerprint_of(things, lambda some: _is_task(some) and id(some) not in known, upstream)
    pinned = pinned_name(cls)
    if pinned is None:
        return found
    # So that a class that was only moved keeps its code
    module, _, name = pinned.rpartition(".")
    return found.called(object_name(cls), f"{module}:{name}")


def mark_of(things: Iterable[object]) -> str:
    """`~` and a digest of the code of those that are the user's and not task classes; empty if there are none."""
    users = [some for some in things if _is_users(some) and not _is_task(some)]
    if not users:
        return ""
    users.sort(key=object_name)
    return f"~{_fingerprint_of(users, _is_task).digest}"


def lasting_mark_of(things: Iterable[object]) -> str:
    """`mark_of`, followed by the names, so that it can be computed again when their code has changed.

    For a task with a `task_version`: an edit does not run it again, but tasks that read its result call these methods.
    """
    users = {object_name(some) for some in things if _is_users(some) and not _is_task(some)}
    return f"{mark_of(things)}({','.join(sorted(users))})" if users else ""


def renewed(stamp: Stamp) -> Stamp:
    """The stamp with the present code of the classes that are named in it."""
    match = _LASTING.search(stamp.value)
    if match is None:
        return stamp
    try:
        things = [find_object(name) for name in match[1].split(",")]
    except Exception:  # noqa: BLE001  # the user's module may raise anything, and then loading the result reports it
        return stamp
    now = lasting_mark_of(things)
    return Stamp(stamp.order, stamp.value.replace(match[0], now)) if now else stamp


_LASTING = re.compile(r"~[0-9a-f]{32}\(([^()]*)\)")


def _fingerprint_of(
    things: Sequence[object], ends: Callable[[object], bool] = lambda some: False, near: Sequence[type] = ()
) -> Fingerprint:
    from taskproc.source.fingerprint import fingerprint_of  # here: 3 ms, and not needed to build tasks

    return fingerprint_of(things, ends=ends, settings=SETTINGS, near=near)


def _is_users(thing: Any) -> bool:
    return is_users_class(thing) if isinstance(thing, type) else is_users_code(thing.__code__, thing.__globals__)


def check_includes(cls: type) -> None:
    """Raise BuildError unless `task_includes` of a class is a list of functions, classes and modules."""
    includes: Any = _attribute(cls, "task_includes", ())
    listed = includes if type(includes) in (list, tuple) else [includes]
    wrong = [some for some in listed if not isinstance(some, (FunctionType, type, ModuleType))]
    wrong += [includes] if listed is not includes else []
    if wrong:
        raise BuildError(
            f"task_includes of {cls.__qualname__} must be a list of functions, classes or modules, got {wrong[0]!r}"
        )


def check_unwatched_ok(cls: type) -> None:
    """Raise BuildError unless `task_unwatched_ok` of a class is a list of strings."""
    patterns: Any = getattr(cls, "task_unwatched_ok", ())
    if type(patterns) not in (list, tuple) or not all(isinstance(pattern, str) for pattern in patterns):
        raise BuildError(
            f"task_unwatched_ok of {cls.__qualname__} must be a list of strings, each a pattern for what `why` lists "
            f"as not watched, got {patterns!r}"
        )


def _attribute(cls: type, name: str, default: object = None) -> Any:
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), default)


def _is_task(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, Upstream)
