"""What a call touches in this process, noted as it does: code of the user's that starts, files that are opened.

Code is seen by sys.monitoring, see monitoring.py; files by an audit hook, which cannot be removed and so does nothing
but look at a list while nobody observes. Neither ever raises. What a thread does that has no context of a call counts
for all calls that are observed at that moment, and so does code: more is safe. Children that were forked tell through a
file that they inherit; what other processes do is not seen.

Not seen either: files that a library opens without Python (HDF5, Parquet, SQLite), and what was asked of a file without
opening it.
"""
from __future__ import annotations

import marshal
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

from taskproc.run.monitoring import NO_MONITORING, Known, Started, Starts

_MOST = 100_000   # paths that are noted
_OPENS = frozenset({"open"})
_OWN = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink"})
_LINKS = frozenset({"os.link", "os.symlink"})
_LISTS = frozenset({"os.listdir", "os.scandir"})
_FORKS = frozenset({"os.fork", "os.forkpty"})
_CHILDREN = frozenset({"subprocess.Popen", "os.posix_spawn", "os.system", "os.exec", "os.spawn"})
_EVENTS = _OPENS | _OWN | _LISTS | _FORKS | _CHILDREN
_NOT_FOR_WRITING = os.O_RDONLY
_ACCESS = getattr(os, "O_ACCMODE", 3)
_READERS = ("<frozen importlib",)  # which import, or show lines of a traceback
_SHOWERS = frozenset({"tokenize", "linecache", "tracemalloc", "inspect"})
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

Signs = tuple[int, int, int, int]


class Read(NamedTuple):
    """A file that was opened for reading, or a folder that was listed.

    Attributes:
        path: absolute.
        folder: the working directory, if it was named from there; else empty.
        signs: of the file at that moment; None: there was none.
    """

    path: str
    folder: str
    signs: Signs | None
    is_folder: bool = False


def signs_at(path: str) -> Signs | None:
    """What tells that a file or folder is another one, or was changed; None if there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


class _Channel(NamedTuple):
    """A file without a name: what a child appends stays also if it is killed, or ends past all that would tell.

    Attributes:
        number: of its descriptor; inode: which tells that it is still this file.
        process: the one that reads it.
    """

    number: int
    inode: int
    process: int

    def send(self, kind: str, values: tuple[Any, ...]) -> None:
        """Tell the process that reads."""
        if kind == "code":
            values = tuple(values[1])
        # A child may have closed all that it inherited, and opened something of its own under this number
        if os.fstat(self.number).st_ino == self.inode:
            os.write(self.number, marshal.dumps((kind, values)))


class Noted:
    """What one call touches: a block that notes it. Code that is `known` is not noted.

    Args:
        sees_code: whether code counts.
        is_users: whether code of a file is the user's; the same for all of a process.

    Attributes:
        is_filled: whether there is anything to say of it; always where code could be seen by this Python, and is not.
        started: code, by its id; modules: names of those that were asked for by a computed name.
        reads: (path, whether it was listed) → the first time.
        own: paths that it wrote, renamed or removed.
        begun: when, in nanoseconds of the clock of the system.
        has_children: whether it started other programs, which may have written what it reads.
        is_cut: whether there was more than is noted.
    """

    # Each is replaced by one of the instance with the first entry: most calls touch nothing of all this
    is_filled = has_children = is_cut = False
    started: Mapping[int, Started] = MappingProxyType({})
    modules: Mapping[str, None] = MappingProxyType({})
    reads: Mapping[tuple[str, bool], Read] = MappingProxyType({})
    own: AbstractSet[str] = frozenset()
    _channel: _Channel | None = None  # there is one from the first fork on

    def __init__(self, known: Known, sees_code: bool, is_users: Callable[[str], bool]):
        self.known, self._sees_code, self._is_users = known, sees_code, is_users
        self.begun = time.time_ns()

    def __enter__(self) -> Noted:
        if not _is_hooked:
            _begin(self._is_users)
        self.outer = _here.get()
        self._token = _here.set(self)
        if self._sees_code and _starts is not None and not _starts.refusal:
            _starts.listen(self.known)
        _active.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _here.reset(self._token)
        _active.remove(self)
        if self._channel is not None:
            self._collect(self._channel)

    def note(self, kind: str, *values: Any) -> None:
        """Note something; in a child that was forked from here, tell it to the parent."""
        channel = self._channel
        if channel is None or os.getpid() == channel.process:
            self._take(kind, values)
        else:
            channel.send(kind, values)

    def _take(self, kind: str, values: tuple[Any, ...]) -> None:
        if kind == "read":
            read = Read(*values)
            if len(self.reads) < _MOST:
                self._first("reads", {}).setdefault((read.path, read.is_folder), read)
                self.is_filled = True
            else:
                self.is_cut = True
        elif kind == "own":
            self._first("own", set()).update(values)
        elif kind == "code":
            number, started = values
            if not self.known.has(number, started):
                self._first("started", {})[number] = started
                self.is_filled = True
        elif kind == "module":
            self._first("modules", {})[values[0]] = None
            self.is_filled = True
        elif kind == "fork":
            self._open_channel()
        elif kind == "child":
            self.has_children = self.is_filled = True

    def _first(self, name: str, empty: Any) -> Any:
        """The container of this name; `empty` if there is none yet. In one step, since threads may note at once."""
        return vars(self).setdefault(name, empty)

    def _open_channel(self) -> None:
        if self._channel is None:
            with suppress(OSError):
                number = _nameless()
                self._channel = _Channel(number, os.fstat(number).st_ino, os.getpid())

    def _collect(self, channel: _Channel) -> None:
        """Take what children have reported, and stop listening to them; a child does not."""
        if os.getpid() != channel.process:
            return
        with os.fdopen(channel.number, "rb") as told:
            told.seek(0)
            for kind, values in _messages(told):
                if kind == "code":
                    started = Started(*values)  # its code is a copy, of which `known` knows nothing
                    self._first("started", {})[id(started.code)] = started
                    self.is_filled = True
                else:
                    self._take(kind, values)
        self._channel = None  # not before: a child that forked says so, too


def _messages(file: BinaryIO) -> Iterator[tuple[str, tuple[Any, ...]]]:
    while True:
        try:
            yield marshal.load(file)  # noqa: S302  # written by children of this process, into a file without a name
        except (EOFError, ValueError, TypeError):
            return  # the end, or what a child was killed in writing


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return _appending(os.memfd_create("taskproc"))
    import tempfile  # here: only where tasks fork, on systems without

    with tempfile.TemporaryFile() as file:
        return _appending(os.dup(file.fileno()))


def _appending(number: int) -> int:
    import fcntl

    fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | os.O_APPEND)
    return number


_active: list[Noted] = []
_here: ContextVar[Noted | None] = ContextVar("taskproc_noted", default=None)
_starts: Starts | None = None
_is_hooked = False
_lock = threading.Lock()


def _begin(is_users: Callable[[str], bool]) -> None:
    global _starts, _is_hooked
    with _lock:
        if not _is_hooked:
            _starts = Starts(is_users, _note_code, _note_module)
            Noted.is_filled = is_hindered()
            sys.addaudithook(_hook)
            _is_hooked = True


def is_hindered() -> bool:
    """Whether code could be seen by this Python, and is not."""
    return _starts is not None and _starts.refusal not in ("", NO_MONITORING)


def why_no_code() -> str:
    """Why code is not seen in this process, where one has asked for it; empty if it is."""
    return "" if _starts is None else _starts.refusal


def _note_code(number: int, started: Started) -> None:
    # Of all: what was switched off for one would not be reported to another
    for noted in _active:
        with suppress(Exception):
            noted.note("code", number, started)


def _note_module(name: str) -> None:
    for noted in _active:
        with suppress(Exception):
            noted.note("module", name)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _active or event not in _EVENTS:
        return
    try:
        _heard(event, args)
    except Exception:  # noqa: BLE001  # whatever is wrong with it, what the user does goes on
        pass


def _heard(event: str, args: tuple[Any, ...]) -> None:
    if event in _FORKS:
        return _tell("fork")
    if event in _CHILDREN:
        return _tell("child")
    caller = sys._getframe(2)
    path = caller.f_code.co_filename
    if path.startswith(_OURS) or path.startswith(_READERS):
        return None
    if event in _OWN:
        named = [os.fsdecode(some) for some in args[:2] if isinstance(some, (str, bytes, os.PathLike))]
        if event in _LINKS:
            _linked(event, *named)
        return _tell("own", *map(os.path.abspath, named[event in _LINKS :]))
    if event in _LISTS:
        return _listed(args[0])
    if caller.f_globals.get("__name__") in _SHOWERS:
        return None
    return _opened(*args)


def _opened(given: object, mode: object, flags: object) -> None:
    if not isinstance(given, (str, bytes, os.PathLike)) or not isinstance(flags, int):
        return  # a descriptor
    name = os.fsdecode(given)
    path = os.path.abspath(name)
    if flags & _ACCESS != _NOT_FOR_WRITING:
        _tell("own", path)
    elif path.startswith(("/proc/", "/dev/", "/sys/")):
        return
    else:
        signs = signs_at(path)
        # os.open may start from another folder, which is not reported
        if signs is not None or mode is not None:
            _tell("read", path, "" if os.path.isabs(name) else os.getcwd(), signs)


def _linked(event: str, target: str, link: str) -> None:
    """Through a link that it makes, a call reads what another has written: the name of the link is its own, no more."""
    name = os.path.join(os.path.dirname(link), target) if event == "os.symlink" else target
    _opened(name, None, _NOT_FOR_WRITING)


def _listed(given: object) -> None:
    name = "." if given is None else os.fsdecode(given) if isinstance(given, (str, bytes, os.PathLike)) else ""
    if name:
        path = os.path.abspath(name)
        _tell("read", path, "" if os.path.isabs(name) else os.getcwd(), signs_at(path), True)


def _tell(kind: str, *values: Any) -> None:
    noted = _here.get()
    if noted is None:
        for other in _active:
            other.note(kind, *values)
    while noted is not None:
        noted.note(kind, *values)
        noted = noted.outer
