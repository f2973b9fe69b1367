"""The state of a process that a job may change, put back after the job; if that fails, the process must be replaced.

So a job gives the same result whether it runs first or after others. Changes that modules make when they are imported
stay: they are imported once, and later jobs rely on them (`adopt`). Modules that are not loaded are not looked at,
because no job has changed them. Nearly everything is compared by identity, which takes a few microseconds per job.

Random generators (library_state.py) are not put back, or two jobs would draw the same numbers. What depends on the
context (decimals, NumPy's errors, context variables) needs no comparison: see `in_own_context`.
"""
from __future__ import annotations

import contextvars
import faulthandler
import gc
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar

from taskproc.folders import working_folder
from taskproc.run.far_end import set_environ, this_process
from taskproc.run.library_state import Libraries, Randomness

if sys.platform != "win32":
    import resource

# Signals whose handlers jobs change. Read through the module below `signal`, which makes an enum of each: 3 µs.
SIGNALS = tuple(
    int(getattr(signal, name))
    for name in (
        "SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGCHLD",
        "SIGVTALRM", "SIGPROF", "SIGXCPU", "SIGXFSZ", "SIGCONT", "SIGWINCH",
    )
    if hasattr(signal, name)
)  # fmt: skip
LIMITS = ("AS", "CORE", "CPU", "DATA", "FSIZE", "NOFILE", "NPROC", "STACK")
_low: Any = sys.modules.get("_signal", signal)

R = TypeVar("R")

_MISSING: Any = object()

# Module → its variables that jobs set, with their values right after the import: a job may import it and set them at
# once. _MISSING: the module is imported from the beginning.
_VARIABLES: Mapping[str, Mapping[str, Any]] = {
    "sys": dict.fromkeys(
        "path meta_path path_hooks argv modules stdin stdout stderr __stdout__ __stderr__ excepthook displayhook "
        "unraisablehook breakpointhook tracebacklimit dont_write_bytecode".split(), _MISSING,
    ),
    "threading": dict.fromkeys(("excepthook", "_trace_hook", "_profile_hook"), _MISSING),
    "warnings": dict.fromkeys(("filters", "showwarning", "formatwarning"), _MISSING),
    "builtins": dict.fromkeys(("__import__", "open", "print", "input"), _MISSING),
    "os": dict.fromkeys(("environ",), _MISSING),
    "tempfile": {"tempdir": None},
    "asyncio.events": {"_event_loop_policy": None},
}  # fmt: skip

# Lists that jobs change in place
_LISTS = (("sys", "path"), ("sys", "argv"), ("sys", "meta_path"), ("sys", "path_hooks"), ("warnings", "filters"))

Read = Callable[[], Any]
Put = Callable[[Any], Any]


def _calls() -> list[tuple[Read, Put]]:
    """Return the settings that are read and set by calls."""
    settings: list[tuple[Read, Put]] = [
        (sys.getrecursionlimit, sys.setrecursionlimit),
        (sys.getswitchinterval, sys.setswitchinterval),
        (sys.gettrace, sys.settrace),
        (sys.getprofile, sys.setprofile),
        (gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
        (gc.get_threshold, lambda threshold: gc.set_threshold(*threshold)),
        (gc.get_debug, gc.set_debug),
        (threading.stack_size, threading.stack_size),
        (faulthandler.is_enabled, lambda on: faulthandler.enable(2) if on else faulthandler.disable()),
        (partial(getattr, time, "tzname"), lambda _: time.tzset()),
    ]
    if hasattr(sys, "get_int_max_str_digits"):
        settings.append((sys.get_int_max_str_digits, sys.set_int_max_str_digits))
    if (sockets := sys.modules.get("_socket")) is not None:
        settings.append((sockets.getdefaulttimeout, sockets.setdefaulttimeout))
    return [*settings, *_of_system()]


def _of_system() -> Iterator[tuple[Read, Put]]:
    """Yield settings of the kernel and the C library. If one cannot be set back, the process ends."""
    import _locale  # not `locale`: that takes milliseconds to import

    yield partial(_locale.setlocale, _locale.LC_ALL, None), partial(_locale.setlocale, _locale.LC_ALL)
    if hasattr(signal, "pthread_sigmask"):
        change = _low.pthread_sigmask
        yield partial(change, int(signal.SIG_BLOCK), ()), partial(change, int(signal.SIG_SETMASK))
    if hasattr(os, "sched_getaffinity"):
        yield partial(os.sched_getaffinity, 0), partial(os.sched_setaffinity, 0)
    if hasattr(os, "getpriority"):
        which = os.PRIO_PROCESS, 0
        yield partial(os.getpriority, *which), partial(os.setpriority, *which)
    yield os.geteuid, os.seteuid
    yield os.getegid, os.setegid


class Baseline:
    """The state of this process. It is taken, and put back, in the main thread."""

    def __init__(self) -> None:
        self._folder: int | None = None
        self._take()

    def _take(self) -> None:
        self.close()
        self._folder, self._name = _here(), working_folder()
        self._umask = own_umask()
        # `dict(os.environ)` decodes each variable: 60 µs per job. To compare the raw dictionary below it takes 1 µs.
        self._raw: Mapping[Any, Any] = getattr(os.environ, "_data", os.environ)
        self._raw_kept = dict(self._raw)
        self._environ = dict(os.environ)
        self._handlers = list(map(_low.getsignal, SIGNALS))
        limits = [getattr(resource, f"RLIMIT_{name}") for name in LIMITS if hasattr(resource, f"RLIMIT_{name}")]
        self._limits, self._bounds = limits, list(map(resource.getrlimit, limits))
        self._reads, self._puts = map(list, zip(*_calls()))
        self._numbers = [read() for read in self._reads]
        self._variables = [_Variables(name, defaults) for name, defaults in _VARIABLES.items()]
        loaded = [variables for variables in self._variables if variables.module in sys.modules]
        self._late = [variables for variables in self._variables if variables not in loaded]
        self._looks = [(variables.get, vars(sys.modules[variables.module])) for variables in loaded]
        self._seen = [variables.saved for variables in loaded]
        self._lists = [(module, name, list(getattr(sys.modules[module], name))) for module, name in _LISTS]
        self._libraries = Libraries()
        self._modules = dict(sys.modules)
        self._random = Randomness()

    def adopt(self) -> None:
        """Take the present state as the baseline if modules were imported since. Call this before a job runs."""
        if len(sys.modules) != len(self._modules):
            self._take()

    def close(self) -> None:
        """Close the descriptor of the folder."""
        folder, self._folder = self._folder, None
        if folder is not None:
            os.close(folder)

    def restore(self) -> bool:
        """Put everything back; cheap if nothing has changed. Return False if that failed: the process must end."""
        _low.setitimer(int(signal.ITIMER_REAL), 0)  # first, or an alarm of the last job would go off here
        try:
            good = self._restore()
        except (OSError, ValueError, TypeError, RuntimeError, AttributeError, RecursionError):
            return False  # the job has changed it for good
        self._random.begin_afresh()
        return good

    def _restore(self) -> bool:
        os.umask(self._umask)
        good = self._restore_imports()
        self._restore_variables()
        for module, name, saved in self._lists:
            if (current := getattr(sys.modules[module], name)) != saved:
                self._restore_list(current, name, saved)
        if self._raw != self._raw_kept:
            set_environ(self._environ)
        if list(map(_low.getsignal, SIGNALS)) != self._handlers:
            self._restore_handlers()
        self._restore_numbers()
        self._libraries.restore()
        return self._restore_folder() and good

    def _restore_variables(self) -> None:
        try:
            same = [get(module) for get, module in self._looks] == self._seen and "tracebacklimit" not in vars(sys)
        except KeyError:
            same = False  # a variable was deleted
        for variables in self._late if same else self._variables:
            variables.restore()

    def _restore_numbers(self) -> None:
        # Read all first: this takes a third of the time, and usually nothing has changed
        if (current := [read() for read in self._reads]) != self._numbers:
            for put, number, saved in zip(self._puts, current, self._numbers):
                if number != saved:
                    put(saved)
        if list(map(resource.getrlimit, self._limits)) != self._bounds:
            for limit, bounds in zip(self._limits, self._bounds):
                resource.setrlimit(limit, bounds)

    def _restore_folder(self) -> bool:
        """Go back to the folder. Return False if it was removed meanwhile: a new process knows that it is gone."""
        if (name := working_folder()) == self._name is not None:
            return True
        if self._folder is None or (self._name is not None and not os.stat(self._folder).st_nlink):
            return name is None and self._name is None
        os.fchdir(self._folder)
        self._name = working_folder()
        return True

    def _restore_handlers(self) -> None:
        for number, handler in zip(SIGNALS, self._handlers):
            if handler is not None and _low.getsignal(number) != handler:
                signal.signal(number, handler)
        for timer in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)

    def _restore_list(self, current: list[Any], name: str, saved: list[Any]) -> None:
        if name in ("meta_path", "path_hooks"):
            # Libraries that are imported later bring finders, and need them while they are loaded
            saved += [finder for finder in current if finder not in saved and _module_of(finder) not in self._imported]
        if name == "filters":
            warnings.resetwarnings()  # this also tells the interpreter that the filters have changed
        current[:] = saved

    def _restore_imports(self) -> bool:
        """Put removed modules back. Return False if some came from a folder that other jobs do not search."""
        self._imported = self._modules.keys()
        if len(sys.modules) == len(self._modules):
            return True
        sys.modules.update({name: module for name, module in self._modules.items() if name not in sys.modules})
        new = [module for name, module in sys.modules.items() if name not in self._modules]
        folders = [os.path.join(os.path.abspath(entry), "") for entry in sys.path if entry not in self._lists[0][2]]
        files = [str(getattr(module, "__file__", "")) for module in new]
        self._modules = dict(sys.modules)
        return not any(file.startswith(folder) for file in files for folder in folders)


class _Variables:
    """Variables of a module: their values now, or right after the import if it is not loaded yet."""

    __slots__ = ("_defaults", "_names", "get", "saved", "module")

    def __init__(self, module: str, defaults: Mapping[str, Any]):
        self.module, self._defaults = module, defaults
        loaded = sys.modules.get(module)
        namespace = defaults if loaded is None else vars(loaded)
        self._names = [name for name in defaults if name in namespace]
        # One name twice: so `get` always returns a tuple, whose elements are compared by identity first
        self.get: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(*self._names, self._names[0])
        self.saved = self.get(namespace)

    def restore(self) -> None:
        module = sys.modules.get(self.module)
        if module is None:
            return
        for name, saved in zip(self._names, self.saved):
            if vars(module).get(name, _MISSING) is not saved:
                setattr(module, name, saved)
        for name in self._defaults.keys() - self._names:
            vars(module).pop(name, None)


def _module_of(finder: Any) -> str:
    return str(getattr(finder, "__module__", None) or type(finder).__module__)


def _here() -> int | None:
    """Return a descriptor of the working directory. It stays valid if the folder is renamed or removed."""
    try:
        return os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)
    except OSError:
        return None


# ---------------------------------------------------------------- the baseline of this process

def begin_baseline() -> Baseline:
    """Take the present state of this process as the baseline, to which it returns after each job."""
    baseline = Baseline()
    this_process.adopt_imports = baseline.adopt
    return baseline


def adopt_imports() -> None:
    """Declare that imports up to now are not changes made by a job; see Baseline.adopt."""
    if this_process.adopt_imports is not None:
        this_process.adopt_imports()


@contextmanager
def put_back() -> Iterator[None]:
    """Put changes within the block back after it, in a process of another executor, which cannot be replaced."""
    is_main_thread = threading.current_thread() is threading.main_thread()
    if this_process.adopt_imports is not None or sys.platform == "win32" or not is_main_thread:
        yield
        return
    baseline = begin_baseline()
    try:
        yield
    finally:
        this_process.adopt_imports = None
        baseline.restore()
        baseline.close()


# ---------------------------------------------------------------- around a single call, in any process


def in_own_context(function: Callable[[], R]) -> R:
    """Call `function`. Decimals, NumPy's errors and context variables that it sets are afterwards as before."""
    return contextvars.copy_context().run(_with_own_settings, function)


def _with_own_settings(function: Callable[[], R]) -> R:
    if (decimal := sys.modules.get("decimal")) is not None:
        # The context variable is our copy, but the object in it would be changed in place
        decimal.setcontext(decimal.getcontext().copy())
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "geterrobj"):
        return function()
    # NumPy 1 stores it per thread, not in the context
    before = numpy.geterrobj()
    try:
        return function()
    finally:
        numpy.seterrobj(before)


def own_umask() -> int:
    """Return the umask of this process. Call this while no other thread makes files."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


class umask_put_back:
    """Set the umask after the block."""

    # Not a generator, which would cost each task two microseconds more
    __slots__ = ("_umask",)

    def __init__(self, umask: int):
        self._umask = umask

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        os.umask(self._umask)


@contextmanager
def folder_put_back() -> Iterator[None]:
    """Return to the working directory after the block, if it still exists."""
    folder = working_folder()
    try:
        yield
    finally:
        if folder is not None and working_folder() != folder:
            with suppress(FileNotFoundError):
                os.chdir(folder)
