"""The output of a job goes to its own two files while it runs, also beside other jobs in other threads.

A job that prints nothing costs no file: the first line opens the file, and a process that runs many jobs has spools
(see spool.py).

Python code is recognized by its context: `sys.stdout` and `sys.stderr` are switches that write to the files of the job
that runs here. Not contextlib.redirect_stdout: it swaps sys.stdout for all threads. In processes that run
jobs, descriptors 1 and 2 are moved as well, to catch C code and child processes. A process has only one pair of these,
so only one job at a time can have them. In the main process they belong to the user and are never moved.

In processes that only run jobs, threads that a job starts also print into its files. When the job has ended, such
threads print nowhere, so their output is not mistaken for that of a later job. This holds for Python code: nobody can
say which thread writes to a descriptor. In the main process such threads print where they always did.

Python does not say which thread started a thread, and most versions give it an empty context. So `Thread.start` notes
it, and a call that is submitted to a pool of threads carries the job that submits it: the threads of the pool may be
older than the job.
"""
from __future__ import annotations

import functools
import io
import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from pathlib import Path
from typing import Any, TextIO

from taskproc.run.spool import APPEND, Spools
from taskproc.streams import fill_gaps, nowhere


def own_descriptors(*, for_many: bool = False) -> None:
    """Declare that descriptors 1 and 2 of this process, but not of its forks, belong to the job that runs in it.

    The streams of the process write line by line from now on: threads that a job starts print to them.

    Args:
        for_many: whether it runs one job after another, so that spools pay off.
    """
    _descriptors.owner, _descriptors.for_many = os.getpid(), for_many
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    if for_many:
        _switches.enter()  # for good: to switch for each job would cost it a microsecond


def captured(
    stdout: str | Path,
    stderr: str | Path,
    *,
    main_pid: int | None = None,
    spools: str | None = None,
    folder: int | None = None,
) -> AbstractContextManager[None]:
    """Append output within the block to the two files, line by line, as UTF-8 with backslash escapes.

    A file is made when it is first needed: by the first line, or at once if descriptors are moved without spools.

    Args:
        main_pid: the pid of the user's main process, for a job that may run in a process of another executor:
            descriptors may be moved anywhere but in the main process.
        spools: a folder of the run, for the spools of a process that runs many jobs.
        folder: descriptor of the folder that contains the two files; see Spools.begin.
    """
    return _Capture((_absolute(stdout), _absolute(stderr)), main_pid, spools, folder)


def expose() -> None:
    """Give the logs of the calling job their names now, if its output still is in spools."""
    job: _Capture | None = job_here()
    if job is not None and not job.has_ended and job.spools is not None:
        for index in (0, 1):
            job.spools.give(index)


class _Capture:
    """The capture of one job; see captured. Not a generator: a job that prints nothing should cost almost nothing."""

    __slots__ = (
        "_before", "_folder", "_logs", "_main_pid", "_moved", "_moving", "_spools_in", "_streams", "has_ended",
        "spools",
    )  # fmt: skip
    _before: Token[_Capture | None]

    def __init__(self, logs: tuple[str, str], main_pid: int | None, spools_in: str | None, folder: int | None):
        self._logs, self._folder = logs, folder
        self._main_pid, self._spools_in = main_pid, spools_in
        self._streams: dict[int, TextIO] = {}
        self._moving = self.has_ended = False
        self._moved: _Moved | None = None
        self.spools: Spools | None = None

    def __enter__(self) -> None:
        self._before = enter_job(self)
        if _descriptors.are_ours(self._main_pid):
            follow_threads()
        if not _descriptors.for_many:
            _switches.enter()
        try:
            if _descriptors.take(self._main_pid):
                self._moving = True
                self._move()
        except BaseException:
            self._leave()
            raise

    def _move(self) -> None:
        spools = _descriptors.spools(self._spools_in)
        try:
            if spools is not None:
                spools.begin(*self._logs, self._folder)
                self.spools = spools
                return
        except OSError:
            _descriptors.drop()  # a job has closed a descriptor of ours
        self._moved = _Moved(self.stream(0), self.stream(1))

    def __exit__(self, *_: object) -> None:
        try:
            if self._streams:
                self.flush()
            if self._moving:
                flush_all()
        finally:
            self._leave()

    def _leave(self) -> None:
        self.has_ended = True
        try:
            for stream in self._streams.values():
                _calmly(stream.close)  # before another job gets the spools: they may hold unwritten text
            self._move_back()
        finally:
            if _descriptors.for_many:
                _switches.put()
            else:
                _switches.leave()
            if self._moving:
                _descriptors.release()
            leave_job(self._before)

    def _move_back(self) -> None:
        if self.spools is not None:
            try:
                self.spools.end()
            except OSError:
                _descriptors.drop()  # the folder of the run is gone, or the job has closed a descriptor of ours
        elif self._moved is not None:
            self._moved.put_back()

    def stream(self, index: int) -> TextIO:
        """Return the stream for stdout (0) or stderr (1), made at the first call. After the end of the job: nowhere."""
        if self.has_ended:
            return _nowhere()
        stream = self._streams.get(index)
        return self._streams.setdefault(index, self._open(index)) if stream is None else stream

    def flush(self) -> None:
        """Flush the streams that exist."""
        if self.has_ended:
            return
        for stream in list(self._streams.values()):
            _calmly(stream.flush)

    def _open(self, index: int) -> TextIO:
        if self.spools is not None:
            raw = _Late(functools.partial(self.spools.give, index), owned=False)
        else:
            raw = _Late(functools.partial(os.open, self._logs[index], APPEND, 0o666))
        buffered = io.BufferedWriter(raw)
        return io.TextIOWrapper(buffered, encoding="utf-8", errors="backslashreplace", line_buffering=True)


@functools.cache
def _nowhere() -> TextIO:
    """Return a stream for threads whose job has ended. If one of them closes it, the others must not notice."""
    return _DroppedOutput(open(os.devnull, "wb"), encoding="utf-8", errors="backslashreplace")


class _DroppedOutput(io.TextIOWrapper):
    def write(self, text: str) -> int:
        return len(text)

    def close(self) -> None:
        """Do nothing."""


class _Descriptors:
    """Descriptors 1 and 2 of this process: who owns them, and the one job that has them now."""

    def __init__(self) -> None:
        self.owner = 0  # the process in which we may move them
        self.for_many = False
        self._lock = threading.Lock()
        self._spools: Spools | None = None

    def take(self, main_pid: int | None) -> bool:
        """Take them for a job of that main process; see captured. Return False if they are taken or not ours."""
        return self.are_ours(main_pid) and self._lock.acquire(blocking=False)

    def are_ours(self, main_pid: int | None) -> bool:
        """Return whether this process runs jobs and is not that main process."""
        pid = os.getpid()
        return self.owner == pid or main_pid not in {None, pid}

    def release(self) -> None:
        """Free them for the next job."""
        self._lock.release()

    def spools(self, folder: str | None) -> Spools | None:
        """Return the spools in that folder; None if this process must not, or cannot, have any."""
        if folder is None or not self.for_many or self.owner != os.getpid():
            return None
        if self._spools is None or self._spools.folder != folder:
            self.drop()
            fill_gaps()
            flush_all()
            try:
                self._spools = Spools(folder)
            except OSError:
                pass  # no room or no folder: logs are opened directly, or the job gets the error
        return self._spools

    def drop(self) -> None:
        """Close the spools. The next job may get new ones."""
        spools, self._spools = self._spools, None
        if spools is not None:
            _calmly(spools.close)


_descriptors = _Descriptors()


class _Late(io.RawIOBase):
    """A file to append to, opened by the first byte or by a call of `fileno`. `owned`: closed together with this."""

    def __init__(self, opener: Callable[[], int], *, owned: bool = True):
        self._opener, self._owned = opener, owned
        self._descriptor: int | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file")  # it would open a file of another job now
        if self._descriptor is None:
            self._descriptor = self._opener()
        return self._descriptor

    def write(self, content: Any) -> int:
        return os.write(self.fileno(), content)

    def close(self) -> None:
        super().close()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and self._owned:
            os.close(descriptor)


class _Switch:
    """Replaces sys.stdout or sys.stderr, and forwards everything to the file of the job that calls.

    Attributes:
        otherwise: the stream for output of no job; None if Python had none: such output goes nowhere.
    """

    def __init__(self, index: int, otherwise: TextIO | None):
        self._index = index
        self.otherwise = otherwise

    def flush(self) -> None:
        """Flush. Not by __getattr__: a stream that was never written to should not be made for this."""
        job = job_here()
        (self.otherwise or nowhere() if job is None else job).flush()

    def __getattr__(self, name: str) -> Any:
        job = job_here()
        return getattr(self.otherwise or nowhere() if job is None else job.stream(self._index), name)


class _Switches:
    """The two switches, in place while anything is captured."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._stdout, self._stderr = _Switch(0, sys.stdout), _Switch(1, sys.stderr)

    def enter(self) -> None:
        """One more capture begins."""
        with self._lock:
            if not self._count:
                self._stdout, self._stderr = _Switch(0, sys.stdout), _Switch(1, sys.stderr)
            self._count += 1
            self.put()

    def leave(self) -> None:
        """A capture ends."""
        with self._lock:
            self._count -= 1
            self.put()

    def put(self) -> None:
        """Set sys.stdout and sys.stderr, whatever they are now: a job may have replaced them and forgotten it."""
        stdout: Any = self._stdout if self._count else self._stdout.otherwise
        stderr: Any = self._stderr if self._count else self._stderr.otherwise
        sys.stdout, sys.stderr = stdout, stderr

    def forked(self) -> None:
        """Renew the lock in a fork: it may have been copied while a thread held it that does not exist there."""
        self._lock = threading.Lock()


_switches = _Switches()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_switches.forked)


class _Moved:
    """Descriptors 1 and 2 lead to the files of these two streams, until `put_back`."""

    def __init__(self, stdout: TextIO, stderr: TextIO):
        fill_gaps()
        flush_all()
        self._kept = [os.dup(1), os.dup(2)]
        try:
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
        except BaseException:
            self.put_back()
            raise

    def put_back(self) -> None:
        """Point them where they pointed before."""
        for number, copy in enumerate(self._kept, start=1):
            os.dup2(copy, number)
            os.close(copy)


def flush_all() -> None:
    """Write the buffers of Python and, if it is known to be in use, of C code to the descriptors 1 and 2."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()  # type: ignore[union-attr]  # it may be None
        except (OSError, ValueError, AttributeError):
            pass  # see _calmly
    # Loading ctypes takes milliseconds. C code that prints mostly came with NumPy, which has loaded it.
    if "ctypes" in sys.modules:
        _calmly(lambda: _c_library().fflush(None))


@functools.cache
def _c_library() -> Any:
    import ctypes

    return ctypes.CDLL(None)


def _absolute(path: str | Path) -> str:
    """Return an absolute path: the job may change the folder before it prints."""
    return os.fspath(path) if os.path.isabs(path) else os.path.abspath(path)


def _calmly(action: Any) -> None:
    """Call `action` and ignore a closed stream or a full disk: the job has got that error before."""
    try:
        action()
    except (OSError, ValueError, AttributeError):
        pass


# ---------------------------------------------------------------- to which job a thread belongs

_job: ContextVar[Any] = ContextVar("taskproc_job", default=None)
_NOTE = "_taskproc_job"


def enter_job(job: Any) -> Token[Any]:
    """Let this thread belong to `job` until `leave_job` is called with the result."""
    return _job.set(job)


def leave_job(before: Token[Any]) -> None:
    """Let this thread belong to the job of before."""
    _job.reset(before)


def job_here() -> Any:
    """Return the job to which this thread belongs; None: none, or unknown."""
    job = _job.get()
    return vars(threading.current_thread()).get(_NOTE) if job is None else job


def follow_threads() -> None:
    """Note from now on which job starts a thread in this process. Call this again for each job."""
    start: Any = threading.Thread.start
    if not hasattr(start, _NOTE):
        threading.Thread.start = _noting(start)  # type: ignore[method-assign, assignment]
    pools: Any = sys.modules.get("concurrent.futures.thread")  # if some code has imported it
    if pools is not None and not hasattr(pools.ThreadPoolExecutor.submit, _NOTE):
        pools.ThreadPoolExecutor.submit = _taking_along(pools.ThreadPoolExecutor.submit)


def _noting(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(start)
    def begin_thread(self: threading.Thread) -> None:
        vars(self)[_NOTE] = job_here()
        start(self)

    setattr(begin_thread, _NOTE, None)
    return begin_thread


def _taking_along(submit: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(submit)
    def submit_for_job(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        job = job_here()
        return submit(self, fn if job is None else functools.partial(_call_for, job, fn), *args, **kwargs)

    setattr(submit_for_job, _NOTE, None)
    return submit_for_job


def _call_for(job: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    before = enter_job(job)
    try:
        return fn(*args, **kwargs)
    finally:
        leave_job(before)
