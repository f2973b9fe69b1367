"""The code of a task class: what a result depends on besides arguments and inputs."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from taskproc.kernel.model import Stamp
from taskproc.modules import find_object, object_name
from taskproc.source.project import is_users_class, is_users_code
from taskproc.tasks.binding import pinned_name
from taskproc.tasks.future import Upstream
from taskproc.tasks.task_attributes import ATTRIBUTE_NAMES

if TYPE_CHECKING:
    from taskproc.source.fingerprint import Fingerprint

def fingerprint(cls: type, given: Iterable[object] = ()) -> Fingerprint:
    """The code that a task class reaches: its own, that of its bases below Task and of mixins, `task_includes`.

    Other task classes are not followed, because they have their own fingerprints. With a `task_version`, none of it
    counts.

    Args:
        given: functions and classes among its arguments. Of task classes, attributes that are read of any object count.
    """
    version = getattr(cls, "task_version", None)
    bases = [base for base in cls.__mro__ if is_users_class(base)] if version is None else []
    includes = getattr(cls, "task_includes", ()) if version is None else ()
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

    return fingerprint_of(things, ends=ends, settings=ATTRIBUTE_NAMES, near=near)


def _is_users(thing: Any) -> bool:
    return is_users_class(thing) if isinstance(thing, type) else is_users_code(thing.__code__, thing.__globals__)


def _is_task(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, Upstream)
