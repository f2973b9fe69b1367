"""The output of a resident worker goes into spools: files that become logs if a job writes to them.

Descriptors 1 and 2 point to two files in a folder of the run, opened to append, from job to job. A job that prints
nothing leaves them empty for the next one. A spool that was written to is renamed to the log of its job, and a new one
replaces it after the job. Descriptors follow a renamed file, also those of child processes, so nothing is copied, lost
or reordered. The renaming happens when Python code first writes, when the job has run for a moment (so that a user can
follow what a child process prints), and when it ends. A third file says whose output it is, for those who find the
spools of a dead worker.

Processes that a job leaves behind print where they did before. So a job that had child processes keeps its spools,
written to or not. Output of a thread that outlives its job cannot be separated from that of the next job. While C code
holds the interpreter, nobody sees how long the job has run; its output is in the log when the code returns.
"""
from __future__ import annotations

import errno
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from taskproc.run.group import has_children

if sys.platform != "win32":
    import resource

LOOK_EVERY = 0.05  # seconds; the logs of a job that runs longer than one to two of these have their names
SUFFIXES = (".out", ".err")
_OWNER = ".job"
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)  # to a log, never to a link's target


class Spools:
    """The two spools of this process. Raises OSError if the folder takes no files; descriptors 0 to 2 must be open.

    Args:
        folder: of the run; if it is not on the file system of the logs, output is copied.
        sleep: how the thread that looks for long jobs waits.
    """

    def __init__(self, folder: str, *, sleep: Callable[[float], None] = time.sleep):
        self.folder = folder
        self._pid = os.getpid()
        stem = os.path.join(folder, f"{self._pid}-{os.urandom(4).hex()}")
        self._lock = threading.Lock()
        self._sleep = sleep
        self._count = 0  # odd while a job runs
        self._idle = self._closed = False
        self._awake = threading.Event()
        self._silent = os.open(os.devnull, os.O_RDWR)
        self._owner = os.open(stem + _OWNER, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._both = _Spool(stem + SUFFIXES[0], 1), _Spool(stem + SUFFIXES[1], 2)
        self._children = _children()
        try:
            threading.Thread(target=self._watch, name="taskproc-spools", daemon=True).start()
        except RuntimeError:
            pass  # no more threads are possible: output of C code is in the log when the job has ended

    def begin(self, stdout: str, stderr: str, folder: int | None = None) -> None:
        """Let output belong to these two logs from now on; the paths are absolute.

        Args:
            folder: descriptor of the folder that contains them. With it, they follow the folder if it is moved.
        """
        try:
            os.pwrite(self._owner, _owner(stdout, stderr), 0)
        except OSError:
            pass  # the disk is full: if the worker dies in this job, its last words stay in the spools
        out, err = self._both
        out.begin(stdout, folder)
        err.begin(stderr, folder)
        with self._lock:
            self._count += 1
            if self._idle:
                self._idle = False
                self._awake.set()

    def end(self) -> None:
        """Return to two empty spools, whatever the job did to descriptors 0 to 2. Raises OSError if that fails."""
        out, err = self._both
        with self._lock:
            self._count += 1
            os.dup2(self._silent, 0)
            out.lead()
            err.lead()
            children = has_children() or _children() != self._children
            if children or out.is_used() or err.is_used():
                self._settle(children)

    def _settle(self, children: bool) -> None:
        for spool in self._both:
            if children or spool.is_used():
                spool.settle()
        for spool in self._both:
            spool.renew()
        if children:
            self._children = _children()

    def give(self, index: int) -> int:
        """Rename stdout (0) or stderr (1) of the job to its log. Return a descriptor of it, which must stay open."""
        spool = self._both[index]
        if os.getpid() == self._pid:  # a fork leaves it to its parent: its copy of the lock may be locked
            with self._lock:
                spool.give()
        return spool.descriptor

    def close(self) -> None:
        """Point the descriptors nowhere, and close the files."""
        with self._lock:
            self._closed = True
        self._awake.set()
        for number in (1, 2):
            os.dup2(self._silent, number)
        for descriptor in (self._silent, self._owner, *(spool.descriptor for spool in self._both)):
            os.close(descriptor)

    def _watch(self) -> None:
        """Rename the spools of a job that still runs at the second look. While no job runs, wait without looking."""
        while not self._closed:
            seen = self._count
            self._sleep(LOOK_EVERY)
            if not self._look(seen):
                self._awake.wait()
                self._awake.clear()

    def _look(self, seen: int) -> bool:
        """Return whether a job has begun or ended since, so that it pays to look again."""
        with self._lock:
            if seen != self._count or self._closed:
                return True
            if seen % 2:
                for spool in self._both:
                    spool.give()
            self._idle = True
            return False


def take_over(spools: str, stdout: str, stderr: str, folder: int | None = None) -> None:
    """Move the last output of a job whose worker died into its two logs, if there is any.

    Raises OSError if a log cannot be written.

    Args:
        spools: the folder of the run. The other arguments are those of `Spools.begin`.
    """
    for owner in Path(spools).glob(f"*{_OWNER}"):
        if owner.read_bytes().startswith(_owner(stdout, stderr)):
            for suffix, log in zip(SUFFIXES, (stdout, stderr)):
                _take(str(owner.with_suffix(suffix)), log, folder)


def _take(spool: str, log: str, folder: int | None) -> None:
    if not _size(spool):
        return
    try:
        is_renamed = _rename(spool, log, folder)
    except OSError:
        is_renamed = False  # on another file system
    if not is_renamed:
        _copy(spool, log, folder)
        os.unlink(spool)


class _Spool:
    """One spool. `give` makes it the log, if the file can be renamed; if not, its content is copied at the end.

    Attributes:
        descriptor: of the file, besides 1 or 2, which the job may close.
    """

    def __init__(self, path: str, number: int):
        self._path, self._number = path, number
        self._log = ""
        self._folder: int | None = None
        self._is_log = self._tried = False
        self._is_near = True  # whether a file can be renamed to the logs
        self.descriptor = _make(path)
        self.lead()

    def lead(self) -> None:
        """Point descriptor 1 or 2 here."""
        os.dup2(self.descriptor, self._number)

    def begin(self, log: str, folder: int | None) -> None:
        self._log, self._folder = log, folder
        if os.lseek(self.descriptor, 0, os.SEEK_END):
            os.ftruncate(self.descriptor, 0)  # printed since the last job ended, so by no job
        # Open the log directly if it exists, since a user may follow it already, or if spools cannot be renamed to it
        if not self._is_near or os.access(log, os.F_OK):
            self._open_log()

    def give(self) -> None:
        if not self._tried:
            self._tried = True
            self._is_log = self._rename()

    def is_used(self) -> bool:
        """Return whether the next job needs a new one."""
        return self._tried or os.lseek(self.descriptor, 0, os.SEEK_END) > 0

    def settle(self) -> None:
        """Leave it to the job. Afterwards the log has its content."""
        self.give()
        if not self._is_log:
            self._keep()

    def renew(self) -> None:
        """Make an empty one for the next job."""
        if self._tried:
            self._replace(_make(self._path))
            self._is_log = self._tried = False

    def _open_log(self) -> None:
        try:
            name, at = _at(self._log, self._folder)
            self._replace(os.open(name, APPEND, 0o666, dir_fd=at))
        except OSError:
            return  # it belongs to another user, or is not a file: `settle` tries again
        self._is_log = self._tried = True

    def _rename(self) -> bool:
        try:
            return _rename(self._path, self._log, self._folder)
        except OSError as error:
            self._is_near = error.errno != errno.EXDEV
            return False

    def _keep(self) -> None:
        try:
            _copy(self._path, self._log, self._folder)
        except OSError:
            pass  # the folder of the log is gone, a run that thinks us dead took the spool, or the disk is full

    def _replace(self, descriptor: int) -> None:
        os.close(self.descriptor)
        self.descriptor = descriptor
        self.lead()


def _owner(stdout: str, stderr: str) -> bytes:
    """Return the content of the third file. The rest of a longer one may follow it there."""
    return os.fsencode(f"{stdout}\0{stderr}\0")


def _make(path: str) -> int:
    """Make a new file, even if an older one has its name: a process that was left behind may still print into that."""
    flags = APPEND | os.O_EXCL
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags, 0o666)


def _rename(spool: str, log: str, folder: int | None) -> bool:
    """Rename the spool to the log. Return False if the log has content, which must not be lost."""
    name, at = _at(log, folder)
    if _size(name, at):
        return False
    os.rename(spool, name, dst_dir_fd=at)
    return True


def _copy(spool: str, log: str, folder: int | None) -> None:
    name, at = _at(log, folder)
    with open(spool, "rb") as source, open(os.open(name, APPEND, 0o666, dir_fd=at), "ab") as target:
        while part := source.read(1 << 20):
            target.write(part)


def _size(path: str, folder: int | None = None) -> int:
    """Return the bytes of a file. Those of a link are 0: it may be replaced, and is not followed."""
    try:
        status = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return 0
    return 0 if stat.S_ISLNK(status.st_mode) else status.st_size


def _at(log: str, folder: int | None) -> tuple[str, int | None]:
    return (log, None) if folder is None else (os.path.basename(log), folder)


def _children() -> object:
    """Return a value that changes with each child process that was waited for, since each uses resources."""
    return resource.getrusage(resource.RUSAGE_CHILDREN)
