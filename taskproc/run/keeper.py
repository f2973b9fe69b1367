"""The keeper of a process: a small process above it that ends everything the kept process leaves behind.

A daemon forks twice and leads its own session, so it is in no process group of ours, and its parent is dead. Linux
gives such an orphan to the nearest process above that has asked for orphans, a *child subreaper*: here the keeper. It
reaps them, so no zombies gather, and no code of the user meets children that are not its own. When the kept process has
ended, the keeper kills all that is left. When its `owner`, the process that wanted this, is dead, it ends the kept
process. A `patience` is the number of seconds between TERM and KILL, also for what is left: a wrapper may die before
the `srun` in it has reached its cluster. On other systems only the process group is ended.

`main` keeps a command, in its own interpreter, with the arguments OWNER CHANNEL PATIENCE LOCALE WORD…. It imports next
to nothing, not even this package: it starts before each command, and takes 10 ms. Each byte that it reads from the
channel, a socket, is the number of a signal for the command. It writes a line when the command has started, has ended,
and was reaped.
"""
from __future__ import annotations

# The module below `signal`, which makes an enum of each number: 5 ms
import _signal as signal  # type: ignore[import-not-found]
import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any, NoReturn

NAME = "taskproc-keeper"
LOOK_EVERY = 0.5    # seconds between two looks for the owner, if its death has no descriptor
PERSISTENCE = 5.0   # seconds to wait for a process that KILL does not end
PERIOD = 0.005
RELEASE = 0         # instead of the number of a signal: end what is left when the command has ended
_NAMES = tuple(f"SIG{name}" for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2"))
_PASSED_ON = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_SET_DUMPABLE, _SET_NAME, _SET_PDEATHSIG, _SET_CHILD_SUBREAPER, _GET_CHILD_SUBREAPER = 4, 15, 1, 36, 37


def be_subreaper(yes: bool = True) -> bool:
    """Let orphans below this process become its children, or no longer. Return whether the system can (Linux)."""
    return _prctl(_SET_CHILD_SUBREAPER, int(yes))


def children_of(pid: int) -> list[int]:
    """Return the children of a process, also zombies; none if the system does not say."""
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                children += map(int, file.read().split())
    except OSError:
        pass  # it has ended, or this is not Linux
    return children


def kill(pid: int, number: int = 9) -> None:
    """Kill a process, unless it is a keeper: that ends by itself, and gives its command the time it needs."""
    try:
        if not _is_keeper(pid):
            os.kill(pid, number)
    except OSError:
        pass  # it has ended, or is another user's


def is_subreaper() -> bool:
    """Return whether orphans below this process become its children."""
    if sys.platform != "linux":
        return False
    import ctypes

    flag = ctypes.c_int()
    _prctl(_GET_CHILD_SUBREAPER, ctypes.byref(flag))
    return bool(flag.value)


def emigrants_of(pid: int) -> list[int]:
    """Return the children of a process that are in another session; without keepers."""
    own = _of(pid, os.getsid)
    return [child for child in children_of(pid) if _of(child, os.getsid) != own and not _is_keeper(child)]


def _of(pid: int, ask: Callable[[int], int]) -> int:
    try:
        return ask(pid)
    except OSError:
        return 0  # it has ended


def kill_emigrants(pid: int) -> None:
    """Kill the emigrants of a process, with all that is below them now."""
    for child in emigrants_of(pid):
        _kill_tree(child)


def _kill_tree(pid: int) -> None:
    for child in children_of(pid):
        _kill_tree(child)
    kill(pid)


def end_children(list_pids: Callable[[], Collection[int]] | None = None) -> bool:
    """Kill the children of this process, or those in the list, and new ones that this brings. Wait for keepers.

    Return False if a process could not be ended.
    """
    until = time.monotonic() + PERSISTENCE
    while left := [pid for pid in (list_pids() if list_pids else children_of(os.getpid())) if not _has_ended(pid)]:
        for pid in left:
            kill(pid)
        if any(map(_is_keeper, left)):
            until = time.monotonic() + PERSISTENCE
        if time.monotonic() > until:
            return False
        time.sleep(PERIOD)
    return True


def _has_ended(pid: int) -> bool:
    """Return whether a process is dead. Reap it if it was a child."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not os.path.exists(f"/proc/{pid}")


def keep_me(control: int, owner: int) -> None:
    """Put a keeper above this process, which must have one thread. Afterwards it has another pid and leads a session.

    The old process becomes the keeper and ends as the new one does, so nothing changes for `owner`, its parent. It
    passes TERM on to the group; USR1, or the end of `control` or of the owner, ends everything at once.
    """
    _Keeper(control, owner).fork()


class _Keeper:
    """The state of a keeper. `speaks`: `control` is a channel, and the owner decides when to end what is left."""

    def __init__(self, control: int, owner: int, patience: float = 0.0, *, speaks: bool = False):
        self._control, self._owner, self._patience, self._speaks = control, owner, patience, speaks
        self._wake, self._waker = os.pipe()
        self._poll = select.poll()
        self._child, self._death, self._ended = 0, -1, False
        self._released = not speaks  # whether to end what is left as soon as the child has ended
        self._asked = self._killed = False  # whether TERM or KILL was sent
        self._deadline = 0.0
        self._warned: set[int] = set()
        self._reaped: tuple[int, int, Any] | None = None

    def fork(self, errors: int = -1) -> None:
        """Fork, and return in the child only. `errors`: a pipe on which the child says why its command failed to start.
        """
        be_subreaper()
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        before = {number: signal.signal(number, _nothing) for number in (*_PASSED_ON, signal.SIGCHLD)}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)  # signals for the child must not be lost now
        self._child = os.fork() if self._speaks else _fork_in_turn()
        if self._child:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._keep(errors)
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(self._wake)
        os.close(self._waker)
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _keep(self, errors: int) -> NoReturn:
        _prctl(_SET_NAME, NAME.encode())
        os.chdir("/")
        _close_all_but(self._control, self._wake, self._waker, errors)
        if errors >= 0:
            failure = os.read(errors, 100)  # it ends when the child has become the command
            self._say(b"failed " + failure if failure else b"started %d" % self._child)
            os.close(errors)
        self._death = _death_of(self._owner)
        for descriptor in (self._wake, self._control, self._death):
            if descriptor >= 0:
                self._poll.register(descriptor, select.POLLIN)
        while not (self._ended and self._released):
            self._wait(LOOK_EVERY if self._death < 0 else 3600.0)
        if self._patience > 0:
            self._deadline = self._deadline or time.monotonic() + self._patience
            while not self._killed and self._ask_what_is_left():
                self._wait(PERIOD)
        self._end_all()

    def _wait(self, seconds: float) -> None:
        """Wait for the next event, at most `seconds`, and act on it."""
        if self._deadline:
            seconds = min(seconds, max(self._deadline - time.monotonic(), 0.0))
        ready = {descriptor for descriptor, _ in self._poll.poll(seconds * 1000 + 1)}
        if self._wake in ready:
            for number in os.read(self._wake, 1000):
                self._hear(signal.SIGKILL if number == signal.SIGUSR1 and not self._speaks else number)
        if self._control in ready:
            self._listen()
        if os.getppid() != self._owner:
            self._owner = os.getppid()
            if self._death >= 0:
                self._poll.unregister(self._death)
            self._lose_owner()
        if self._deadline and time.monotonic() >= self._deadline:
            self._hear(signal.SIGKILL)

    def _listen(self) -> None:
        try:
            content = os.read(self._control, 1000)
        except ConnectionResetError:
            content = b""
        for number in content:
            self._hear(number)
        if not content:
            self._poll.unregister(self._control)
            self._lose_owner()

    def _hear(self, number: int) -> None:
        if number == signal.SIGCHLD:
            (self._reap if hasattr(os, "waitid") else self._reap_child)()
            return
        if number in (RELEASE, signal.SIGKILL):
            self._released = True
        if number == signal.SIGKILL:
            self._killed, self._deadline = True, 0.0
        self._asked = self._asked or number == signal.SIGTERM
        if number != RELEASE and not self._ended:
            _signal_group(self._child, number)

    def _lose_owner(self) -> None:
        """End the kept process: the owner is gone."""
        if self._patience <= 0:
            self._hear(signal.SIGKILL)
        elif not self._released:
            self._released = True
            self._deadline = time.monotonic() + self._patience
            if not self._asked:
                self._hear(signal.SIGTERM)

    def _ask_what_is_left(self) -> bool:
        """Send TERM to each orphan that has not had it, KILL to one that ignores it. Return whether there are any."""
        left = [pid for pid in children_of(os.getpid()) if pid != self._child and os.waitpid(pid, os.WNOHANG)[0] == 0]
        for pid in left:
            if _ignores_term(pid):
                kill(pid)
            elif pid not in self._warned and not (self._asked and _of(pid, os.getpgid) == self._child):
                kill(pid, signal.SIGTERM)
        self._warned.update(left)
        return bool(left)

    def _reap_child(self) -> None:
        """Reap the child on macOS before Python 3.13, which has no waitid; it has no orphans either."""
        reaped = os.wait4(self._child, os.WNOHANG)
        if reaped[0]:
            self._reaped, self._ended = reaped, True
            self._say(b"ended %d" % os.waitstatus_to_exitcode(reaped[1]))

    def _reap(self) -> None:
        """Reap orphans that have ended. The child stays a zombie, so that its pid and its group are not reused."""
        while not self._ended:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if ended.si_pid == self._child:
                self._ended = True
                code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                self._say(b"ended %d" % code)
            else:
                os.waitpid(ended.si_pid, 0)

    def _end_all(self) -> NoReturn:
        _signal_group(self._child, signal.SIGKILL)
        _, status, usage = self._reaped or os.wait4(self._child, 0)
        self._say(b"forced %d" % self._killed)
        self._say(b"memory %d" % usage.ru_maxrss)
        end_children()
        _end_as(status)

    def _say(self, line: bytes) -> None:
        if self._speaks:
            try:
                os.write(self._control, line + b"\n")
            except OSError:
                pass  # nobody reads any more


def _fork_in_turn() -> int:
    """Fork. If no more processes are possible, wait for others to end.

    Several workers may have started at once, and their keepers have used up the processes that their children need. So
    they give up one after another, within two seconds.
    """
    until = time.monotonic() + 0.25 * (1 + os.getpid() % 8)
    while True:
        try:
            return os.fork()
        except OSError:
            if time.monotonic() > until:
                raise
        time.sleep(PERIOD)


def _end_as(status: int) -> NoReturn:
    """End as the process did that was waited for."""
    if os.WIFSIGNALED(status):
        _prctl(_SET_DUMPABLE, 0)  # one core is enough
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def _execute(words: list[str], keeps_locale: bool, errors: int) -> NoReturn:
    """Become the command. On failure, write the number of the error."""
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)  # the interpreter ignores them
    if not keeps_locale:
        os.environ.pop("LC_CTYPE", None)  # this interpreter has set it
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    try:
        os.execvp(words[0], words)  # noqa: S606  # without a shell, as intended
    except OSError as error:
        os.write(errors, b"%d" % (error.errno or 0))
    os._exit(127)


def _close_all_but(*open_ones: int) -> None:
    """Close all other descriptors: pipes of the kept process must end with it."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        numbers = list(range(256))
    for number in numbers:
        if number > 2 and number not in open_ones:
            try:
                os.close(number)
            except OSError:
                pass  # the one that read the list


def _death_of(pid: int) -> int:
    """Return a descriptor that becomes readable when the process is dead; -1: there is none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def _is_keeper(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n") == NAME
    except OSError:
        return False


def _ignores_term(pid: int) -> bool:
    """Return whether a process ignores TERM."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            ignored = [int(line.split()[1], 16) for line in file if line.startswith(b"SigIgn")]
    except OSError:
        return False
    return bool(ignored and ignored[0] >> (signal.SIGTERM - 1) & 1)


def _signal_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        try:
            os.kill(leader, number)  # it does not lead a group yet
        except OSError:
            pass
    except PermissionError:
        pass  # a group of zombies on macOS, or of another user


def _prctl(option: int, value: object) -> bool:
    global _address  # not a cached function: `functools` takes 2 ms to import
    if sys.platform != "linux":
        return False
    try:
        import _ctypes  # not `ctypes`: that takes 3 ms to import, before each command and in each worker
    except ImportError:
        return False  # an interpreter without libffi: as on other systems
    this_program: Any = None
    _address = _address or _ctypes.dlsym(_ctypes.dlopen(this_program, 0), "prctl")
    return bool(_ctypes.call_function(_address, (option, value, 0, 0, 0)) == 0)


_address = 0


def _nothing(*_: object) -> None:
    """Handle a signal whose number is read from a pipe."""


def main() -> NoReturn:
    """Keep a command; see the head of this file."""
    owner, channel, patience, locale, *words = sys.argv[1:]
    os.set_inheritable(int(channel), False)
    keeper = _Keeper(int(channel), int(owner), float(patience), speaks=True)
    reading, writing = os.pipe()  # only the child keeps the end for writing
    try:
        keeper.fork(reading)
    except OSError as error:  # no more processes are possible
        os.write(int(channel), b"failed %d\n" % (error.errno or 0))
        os._exit(127)
    _execute(words, bool(int(locale)), writing)
