"""Changes that a job makes in its process do not reach the next job, wherever they are made."""
from __future__ import annotations

import ast
import asyncio
import builtins
import contextvars
import importlib
import sys
from collections.abc import Iterator

import pytest
from jobs import call, endings, in_child, ticket, value

from taskproc.run.baseline import Baseline, in_own_context
from taskproc.run.inbox import Inbox
from taskproc.run.resident import ResidentRunner
from taskproc.run.runner import Ending

# What a job does → what another one then finds as it was. Text, for each has its own imports in its worker.
CHANGES = {
    "umask": ("os.umask(0o777)", "oct(os.umask(0o22))"),
    "folder": ("os.chdir('/')", "os.getcwd()"),
    "import path": ("sys.path.insert(0, '/nowhere')", "sys.path"),
    "another import path": ("sys.path = ['/nowhere']", "sys.path"),
    "finder": ("sys.meta_path.insert(0, type('F', (), {'find_spec': lambda *a: None})())", "len(sys.meta_path)"),
    "hook of paths": ("sys.path_hooks.insert(0, lambda path: 1 / 0)", "len(sys.path_hooks)"),
    "arguments": ("sys.argv.append('x')", "sys.argv"),
    "a module taken away": ("del sys.modules['bisect']", "'bisect' in sys.modules"),
    "locale": ("locale.setlocale(locale.LC_ALL, 'C')", "locale.setlocale(locale.LC_ALL)"),
    "one category": ("locale.setlocale(locale.LC_CTYPE, 'C')", "locale.setlocale(locale.LC_ALL)"),
    "precision": ("decimal.getcontext().prec = 2", "str(decimal.Decimal(1) / 3)"),
    "decimals": ("decimal.setcontext(decimal.ExtendedContext)", "str(decimal.getcontext())"),
    "decimals of threads": ("decimal.DefaultContext.prec = 2", "decimal.Context().prec"),
    "traps of decimals": ("decimal.DefaultContext.traps[decimal.Inexact] = True", "decimal.Context().traps"),
    "context variable": ("jobs_context.set(1)", "jobs_context.get(0)"),
    "NumPy's errors": ("numpy.seterr(all='raise')", "numpy.geterr()"),
    "NumPy's call": ("numpy.seterrcall(print)", "numpy.geterrcall()"),
    "NumPy's printing": ("numpy.set_printoptions(precision=2)", "numpy.get_printoptions()"),
    "recursion limit": ("sys.setrecursionlimit(5000)", "sys.getrecursionlimit()"),
    "digits": ("sys.set_int_max_str_digits(0)", "sys.get_int_max_str_digits()"),
    "switches": ("sys.setswitchinterval(1)", "round(sys.getswitchinterval(), 4)"),
    "signal mask": ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
                    "signal.pthread_sigmask(signal.SIG_BLOCK, [])"),
    "handler": ("signal.signal(signal.SIGWINCH, print)", "signal.getsignal(signal.SIGWINCH)"),
    "timer": ("signal.signal(signal.SIGPROF, print); signal.setitimer(signal.ITIMER_PROF, 1000)",
              "signal.getitimer(signal.ITIMER_PROF)"),
    "hook of threads": ("threading.excepthook = print", "threading.excepthook is print"),
    "trace of threads": ("threading.settrace(print)", "threading._trace_hook"),
    "size of stacks": ("threading.stack_size(1 << 20)", "threading.stack_size()"),
    "hook of exceptions": ("sys.excepthook = print", "sys.excepthook is print"),
    "hook of what cannot be raised": ("sys.unraisablehook = print", "sys.unraisablehook is print"),
    "hook of shown values": ("sys.displayhook = print", "sys.displayhook is print"),
    "length of tracebacks": ("sys.tracebacklimit = 0", "hasattr(sys, 'tracebacklimit')"),
    "output": ("sys.stdout = sys.__stdout__ = io.StringIO()", "type(sys.stdout), type(sys.__stdout__)"),
    "errors": ("sys.stderr = sys.__stderr__ = None", "type(sys.stderr), type(sys.__stderr__)"),
    "input": ("sys.stdin = None", "type(sys.stdin)"),
    "trace": ("sys.settrace(lambda *a: None)", "sys.gettrace()"),
    "profile": ("sys.setprofile(lambda *a: None)", "sys.getprofile()"),
    "collector": ("gc.disable(); gc.set_threshold(5)", "gc.isenabled(), gc.get_threshold()"),
    "warnings": ("warnings.simplefilter('error')", "warnings.filters"),
    "all warnings": ("warnings.filters = []", "warnings.filters"),
    "shown warnings": ("warnings.showwarning = print", "warnings.showwarning is print"),
    "logging": ("logging.basicConfig(level=1); logging.disable(50)",
                "(logging.root.handlers, logging.root.level, logging.root.isEnabledFor(30))"),
    "waiting of sockets": ("socket.setdefaulttimeout(1)", "socket.getdefaulttimeout()"),
    "time zone": ("os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()", "time.tzname, time.localtime(0).tm_hour"),
    "start of processes": ("multiprocessing.set_start_method('spawn', force=True)",
                           "multiprocessing.get_start_method(True)"),
    "a crash's last words": ("faulthandler.disable()", "faulthandler.is_enabled()"),
    "an end to come": ("faulthandler.dump_traceback_later(0.01, exit=True)", "time.sleep(0.05)"),
    "event loop": ("asyncio.set_event_loop(asyncio.new_event_loop())", "asyncio.events._event_loop_policy"),
    "a run of a loop": ("asyncio.run(asyncio.sleep(0))", "asyncio.events._event_loop_policy"),
    "built-in function": ("builtins.open = builtins.print = None", "open is None, print is None"),
    "folder of temporary files": ("tempfile.tempdir = '/nowhere'", "tempfile.tempdir"),
    "size of fields": ("csv.field_size_limit(5)", "csv.field_size_limit()"),
    "environment": ("os.environ = {}", "sorted(os.environ)"),
    "priority": ("os.nice(1)", "os.nice(0)"),
    "processors": ("os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])", "os.sched_getaffinity(0)"),
    "another user": ("os.getuid() or os.setuid(65534)", "os.geteuid()"),
}  # fmt: skip


class Names(dict[str, object]):
    """Modules, imported at first use, and a context variable."""

    def __missing__(self, name: str) -> object:
        if name == "jobs_context":
            return vars(sys).setdefault(name, contextvars.ContextVar(name))
        if hasattr(builtins, name):
            raise KeyError(name)
        return importlib.import_module(name)


def does(change: str) -> None:
    in_own_context(lambda: exec(change, {}, Names()))


def finds(look: str) -> str:
    return repr(in_own_context(lambda: eval(look, {}, Names())))


def finds_all(changes: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {name: finds(look) for name, (_, look) in changes.items()}


def possible(changes: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The changes that this Python supports."""
    return {name: pair for name, pair in changes.items() if "digits" not in pair[0] or sys.version_info >= (3, 11)}


# Waits for a thread that pytest has, and a fork of it has not
_OF_A_THREAD = {"an end to come", "a crash's last words"}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", sorted(possible(CHANGES).keys() - _OF_A_THREAD))
def test_what_a_job_changes_is_put_back_or_ends_the_process(name: str) -> None:
    """After a restore the state is as before, unless the restore says that the process must end."""
    change, look = CHANGES[name]

    def attempt() -> bool:
        vars(asyncio.events)["_event_loop_policy"] = None  # another test may have had a loop in this process
        expected = finds(look)
        baseline = Baseline()
        does(change)
        changed = finds(look)
        good = baseline.restore()
        return (expected == finds(look) or not good) and (changed != expected or name in _BY_CONTEXT)

    assert "True" == in_child(attempt)


# These do not outlive the job's context, so nothing need be put back; others change nothing that could be looked at
_BY_CONTEXT = {
    "precision", "decimals", "context variable", "NumPy's errors", "NumPy's call", "NumPy's printing",
    "one category", "locale", "another user", "processors",
}  # fmt: skip


@pytest.fixture
def runner() -> Iterator[ResidentRunner[str]]:
    """With one worker, so that one job runs after another in the same process."""
    inbox: Inbox[Ending[str]] = Inbox()
    runner: ResidentRunner[str] = ResidentRunner(inbox, 1)
    yield runner
    runner.stop()
    inbox.close()


@pytest.mark.slow
def test_a_job_after_all_of_these_finds_what_the_first_one_found(runner: ResidentRunner[str]) -> None:
    """A job after all changes finds the first state, even of modules that a job imported and changed."""
    changes = possible(CHANGES)
    for number, (change, _) in enumerate(changes.values()):
        runner.start(ticket(number), call(does, change))
    assert {"None"} == set(map(value, endings(runner, len(changes)).values()))
    runner.start(ticket(1000), call(finds_all, changes))
    found = value(endings(runner, 1)[1000])

    inbox: Inbox[Ending[str]] = Inbox()
    other: ResidentRunner[str] = ResidentRunner(inbox, 1)
    other.start(ticket(0), call(finds_all, changes))
    expected = value(endings(other, 1)[0])
    other.stop()
    inbox.close()
    assert ast.literal_eval(expected) == ast.literal_eval(found)
