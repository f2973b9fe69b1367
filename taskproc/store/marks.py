"""Which runs are at work on a cache: one file per run in `run/`, which beats while the run lives.

A claim names its run by token. If the run is on this machine, in the same pid namespace, its process decides whether it
lives; else its beat does, a counter that must change within the lease. A lock counts only where the system does not
know when a process was started, and only if it is held: a free lock proves nothing, since each mount of a network
folder may have its own locks. Correctness never depends on the answer: a wrong one costs a second computation, never a
second result.
"""
from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from taskproc import machine
from taskproc.errors import CacheError
from taskproc.machine import birth_of
from taskproc.store.files import Files, exists_error

if sys.platform != "win32":
    import fcntl

BEAT_EVERY = 2.0   # seconds between two beats
LEASE = 10.0       # seconds without a beat after which a run on another machine counts as dead
_WIDTH = 12        # digits of the beat counter, at the head of the file
_LONGEST = 4096    # bytes of the file that are read
_REACH = "reach.json"
_TOKEN = re.compile(r"[0-9A-Za-z_-]{1,64}")


class Mark:
    """The registration of a run, until `close`. Its token is in every claim of the run.

    Its folder holds what the run sends to its own workers, which unpickle it, so only its user has access. In a cache
    that is not shared, other users cannot replace it either.
    """

    def __init__(self, root: str, *, shared: bool = False):
        self.token = os.urandom(16).hex()
        self.path = os.path.join(root, "run", self.token)
        self.folder = Path(folder_of(root, self.token))
        self._files = Files()
        self._count = 0
        try:
            try:
                self._files.mkdir(root, "run", 0o777 if shared else 0o755)
            except FileNotFoundError:
                os.makedirs(root, exist_ok=True)
                self._files.mkdir(root, "run", 0o777 if shared else 0o755)
            self._handle = self._register()
        except OSError as error:
            self._remove()
            raise CacheError(f"cache {root!r} is not writable: {error}") from error
        self._ended = threading.Event()
        try:
            threading.Thread(target=self._beat, name="taskproc-beat", daemon=True).start()
        except RuntimeError:
            pass  # no more threads: without a beat, runs on other machines may take over, which costs only time

    def _register(self) -> int:
        # Under another name until it is locked: a process that checks the lock holds it for a moment
        runs = self._files.open_folder(os.path.dirname(self.path))
        temporary = f"{self.token}.new"
        try:
            if not self._files.mkdir(runs, self.folder.name, 0o700):
                raise exists_error(str(self.folder))
            handle = self._files.make(runs, temporary)
            try:
                about = json.dumps({**_here(), "token": self.token})
                self._files.append(handle, f"{0:0{_WIDTH}d}\n{about}".encode())
                _hand_over(handle)
                _lock(handle)
                self._files.rename(runs, temporary, self.token, True)
            except OSError:
                os.close(handle)
                raise
            return handle
        finally:
            self._files.close_folder(runs)

    def declare_reach(self, tasks: Iterable[tuple[str, int]]) -> None:
        """Write down which tasks the run may read, by folder of the class and id, so that others can be deleted.

        Nothing happens if the file cannot be written: then the run may read every task.
        """
        reach: dict[str, list[int]] = {}
        for name, number in tasks:
            reach.setdefault(name, []).append(number)
        try:
            handle = self._files.make(str(self.folder), _REACH)
            try:
                self._files.append(handle, json.dumps(reach).encode("ascii"))
            finally:
                self._files.close(handle)
        except OSError:
            pass  # a full disk

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_EVERY):
            try:
                self.beat()
            except OSError:
                pass  # a full disk may have room again; without a beat, others may take over, which costs only time

    def beat(self) -> None:
        """Increase the counter, which shows that the run lives."""
        self._count += 1
        os.lseek(self._handle, 0, os.SEEK_SET)
        os.write(self._handle, f"{self._count:0{_WIDTH}d}".encode())
        _hand_over(self._handle)

    def close(self) -> None:
        """Unregister the run. Its remaining claims count as dead from now on. Idempotent."""
        if self._ended.is_set():
            return
        self._ended.set()
        try:
            os.close(self._handle)
        except OSError:
            pass  # the last beat found no room, which does not matter any more
        self._remove()

    def _remove(self) -> None:
        try:
            runs = self._files.open_folder(os.path.dirname(self.path))
        except OSError:
            return  # the cache was removed during the run
        try:
            # The mark first: without it others take over the claims. A clear removes what cannot be removed here
            for name in (self.token, f"{self.token}.new", self.folder.name):
                self._files.remove_tree(runs, name)
        finally:
            self._files.close_folder(runs)


def folder_of(root: str, token: str) -> str:
    """The folder of the run with this token; see Mark."""
    return os.path.join(root, "run", f"{token}.d")


class Witness:
    """Finds out whether runs are alive. `clock` gives seconds, to measure since when a beat has not changed."""

    def __init__(self, root: str, clock: Callable[[], float] = time.monotonic):
        self._folder = os.path.join(root, "run")
        self._clock = clock
        self._files = Files()

    def _opened(self, token: str) -> int:
        folder = self._files.open_folder(self._folder)
        try:
            return self._files.read_only(folder, token)
        finally:
            self._files.close_folder(folder)

    def lives(self, token: str) -> bool:
        """Whether the run `token` may still be at work. Costs one read of a small file."""
        if not _TOKEN.fullmatch(token):
            return False
        beat = b""
        try:
            handle = self._opened(token)
            try:
                beat, _, text = self._files.read(handle, _LONGEST, 0).partition(b"\n")
                about = json.loads(text)
                is_running = _is_running(token, about, handle)
                if is_running is not None:
                    return is_running
            finally:
                self._files.close(handle)
        except FileNotFoundError:
            return False
        except (OSError, ValueError, AttributeError):
            pass  # torn or not readable: the run lives while the file changes
        return self._beats(token, beat.decode("ascii", "replace"))

    def reach(self, token: str) -> Collection[tuple[str, int]] | None:
        """The tasks that a living run may read, by folder of the class and id; None: it may read all."""
        try:
            folder = self._files.open_folder(self._folder, (f"{token}.d",))
            try:
                handle = self._files.read_only(folder, _REACH)
                try:
                    content = json.loads(self._files.read(handle, self._files.size_and_owner(handle)[0], 0))
                finally:
                    self._files.close(handle)
            finally:
                self._files.close_folder(folder)
            return {(str(name), int(number)) for name, numbers in content.items() for number in numbers}
        except (OSError, ValueError, TypeError, AttributeError):
            return None  # of an older version, of another user, or not yet complete

    def about(self, token: str) -> Mapping[str, Any]:
        """What a run has registered: its `host`, `pid` and more; empty if it is not registered."""
        try:
            handle = self._opened(token)
            try:
                about = json.loads(self._files.read(handle, _LONGEST, 0).partition(b"\n")[2])
            finally:
                self._files.close(handle)
        except (OSError, ValueError):
            return {}
        return about if isinstance(about, dict) else {}

    def _beats(self, token: str, beat: str) -> bool:
        return self.unchanged(os.path.join(self._folder, token), beat) < LEASE

    def unchanged(self, path: str, content: str | bytes) -> float:
        """For how many seconds this process has seen `content` at `path`; 0.0 when it is new."""
        now = self._clock()
        last, since = _seen.get(path, (None, now))
        if last != content:
            _seen[path] = (content, now)
            return 0.0
        return now - since

    def others(self, own: str = "") -> list[str]:
        """Tokens of living runs, except `own`."""
        try:
            folder = self._files.open_folder(self._folder)
        except OSError:
            return []
        try:
            names = self._files.listdir(folder)
        finally:
            self._files.close_folder(folder)
        return [name for name in names if name != own and self.lives(name)]


# Of the process, not of a witness: each job has its own store, and lasts less than a lease
_seen: dict[str, tuple[str | bytes, float]] = {}


def _hand_over(handle: int) -> None:
    os.close(os.dup(handle))  # NFS sends written bytes when a descriptor of the file is closed


def _lock(handle: int) -> None:
    if sys.platform != "win32":
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass  # a folder without locks: the process and the beat decide


def _is_locked(handle: int) -> bool:
    if sys.platform != "win32":
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False  # no locks here
        fcntl.flock(handle, fcntl.LOCK_UN)
    return False


def _is_running(token: str, about: dict[str, Any], handle: int) -> bool | None:
    """Whether the process that a mark names is running; None if this machine cannot know. `handle` is the open mark."""
    here, pid = _here(), about.get("pid")
    if (about.get("boot"), about.get("namespace")) != (here["boot"], here["namespace"]) or not isinstance(pid, int):
        return None
    if about.get("token", token) != token:
        return False  # a copy of a mark
    started = birth_of(pid)
    if started is not None:
        return started == about.get("start")
    return True if _is_locked(handle) else None


def _here() -> dict[str, Any]:
    """What identifies this process among those of all machines."""
    if _known.get("pid") != os.getpid():
        _known.update(
            host=socket.gethostname(),
            boot=machine.boot(),
            namespace=machine.namespace(),
            pid=os.getpid(),
            start=birth_of(os.getpid()),
        )
    return _known


_known: dict[str, Any] = {}
