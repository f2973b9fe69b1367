"""Who may write a cache folder besides its user: what others put there, they run as us.

The owner of a file cannot be faked, so the owner of each result is looked at when it is opened; what is looked at here,
once, is the folder, since the files of a run are reached through it by name.
"""
from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from taskproc.errors import CacheError
from taskproc.store.files import kind_of
from taskproc.store.inside import TOP, link_refused
from taskproc.store.layout import MARKER
from taskproc.store.rules import Rules, own_uid


def refuse_links(path: Path) -> None:
    """LinkInCache if something that belongs to the cache as a whole is a link.

    Where it is used no link is followed either; but that would be found late, or by nobody who could be told.
    """
    for name in (MARKER, *TOP):
        link = os.path.join(path, name)
        if kind_of(link) == "link":
            raise link_refused(link)


def refuse_exposed(path: Path, rules: Rules) -> None:
    """CacheError if others than its user and root can put things into the cache folder `path`, and have no leave."""
    if rules.shared or sys.platform == "win32":
        return
    for folder in (path, path / "run"):
        try:
            status = folder.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CacheError(f"cache {str(path)!r} cannot be read: {error}") from error
        if why := _exposure(status, rules):
            raise CacheError(
                f"cache folder {str(folder)!r} {why}, and loading a result can run any code. "
                f"{_remedy(folder, status)}, or say Cache(..., shared=True) if you trust them all"
            )


def _exposure(status: os.stat_result, rules: Rules) -> str:
    if not rules.trusts(status.st_uid):
        return f"belongs to another user ({_user(status.st_uid)})"
    if status.st_mode & stat.S_ISVTX:
        return ""  # others may add to it, and move nothing of ours; what they add is theirs, and is seen to be
    if status.st_mode & stat.S_IWOTH:
        return "can be written by everybody"
    if status.st_mode & stat.S_IWGRP and not is_private(status.st_gid, rules):
        return f"can be written by the group {_group(status.st_gid)}"
    return ""


def _remedy(folder: Path, status: os.stat_result) -> str:
    return f"chmod go-w {str(folder)!r}" if status.st_uid == own_uid() else "Use a folder of your own"


def is_private(group: int, rules: Rules) -> bool:
    """Whether a group has no member but the users whose files count anyway.

    Many systems give each user a group of his own name, and a umask of 002: what he makes is then writable by a group
    that is himself. A group without a name, as in many containers, is taken for one if it has the user's number.
    """
    if sys.platform == "win32":
        return True
    import grp
    import pwd

    users = rules.owners | {0, own_uid()}
    try:
        found = grp.getgrgid(group)
    except KeyError:
        return group in users
    names = set()
    for user in users:
        try:
            names.add(pwd.getpwuid(user).pw_name)
        except KeyError:
            continue  # a user without a name, as in many containers
    return found.gr_name in names and names.issuperset(found.gr_mem)


def _user(number: int) -> str:
    if sys.platform != "win32":
        import pwd

        try:
            return f"{pwd.getpwuid(number).pw_name}, uid {number}"
        except KeyError:
            pass  # it has no name here
    return f"uid {number}"


def _group(number: int) -> str:
    if sys.platform != "win32":
        import grp

        try:
            return repr(grp.getgrgid(number).gr_name)
        except KeyError:
            pass  # it has no name here
    return str(number)
