"""Hosts on this machine that share a folder through a real network file system. Linux, and as root.

The folder is served by an sshd of our own on the loopback device, and each host has a mount of its own (sshfs). A host
is a process with a host name, process numbers and a boot id of its own, which sees of the others what the mount shows.
"""
from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from taskproc import Cache
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.layout import result_numbers
from tests.fault import many
from tests.fault.many import Whole, expected, note
from tests.fault.rows import ROOT
from tests.pace import limit

# Options of sshfs. Its caches keep attributes and listings for 20 s, the kernel's what they are answered for one more
WITHOUT_CACHES = ("dir_cache=no", "attr_timeout=0", "entry_timeout=0")
WITH_CACHES = ()
SECONDS = limit(60)  # after which something does not start, or does not end, that takes a second or some
_UNSHARE = ("unshare", "--uts", "--pid", "--fork", "--kill-child=SIGKILL", "--mount", "--mount-proc")
_BE = 'hostname "$1" && mount --bind "$2" /proc/sys/kernel/random/boot_id && exec "$3" -c "$4"'


def refusal() -> str:
    """Why there can be no such hosts here; empty if there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux may mount and be another host"
    missing = [name for name in ("sshfs", "sshd", "ssh-keygen", "fusermount3", "unshare") if not _program(name)]
    if missing:
        return f"not installed: {', '.join(missing)} (apt-get install sshfs openssh-server)"
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse here"
    done = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True, check=False)
    return f"no namespaces here: {done.stderr.strip()}" if done.returncode else ""


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Return when something holds; AssertionError if that takes too long."""
    until = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.02)


class Server:
    """An sshd that serves files, with a configuration, a port and keys of its own in `folder`."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self.folder = folder
        for name in ("host", "user"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = {
            "ListenAddress": "127.0.0.1", "Port": self.port, "PidFile": "none", "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "user.pub", "StrictModes": "no", "PermitRootLogin": "prohibit-password",
            "UsePAM": "yes", "Subsystem": "sftp internal-sftp",
        }  # fmt: skip
        (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        Path("/run/sshd").mkdir(exist_ok=True)
        self.log = (folder / "log").open("wb")
        words = [str(_program("sshd")), "-D", "-e", "-f", str(folder / "config")]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until(self._answers, "sshd does not answer")

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    @contextmanager
    def mounted(self, served: Path, at: Path, options: tuple[str, ...]) -> Iterator[None]:
        """Mount the folder `served` there, with `options` of sshfs."""
        at.mkdir()
        own = (f"IdentityFile={self.folder / 'user'}", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
        words = ["sshfs", "-f", "-p", str(self.port), f"root@127.0.0.1:{served}", str(at)]
        words += [word for option in (*own, "LogLevel=ERROR", *options) for word in ("-o", option)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            wait_until(lambda: os.path.ismount(at) or process.poll() is not None, "sshfs does not mount")
            assert process.poll() is None, (self.folder / "log").read_text()
            yield
        finally:
            subprocess.run(["fusermount3", "-u", "-z", str(at)], check=False)
            process.kill()
            process.wait()


class Begun:
    """A process on a host; `journal` is what it has noted, `log` what it has said."""

    def __init__(self, process: subprocess.Popen[bytes], journal: Path, log: Path):
        self.process, self.journal, self.log = process, journal, log

    def begins(self) -> int:
        """How many tasks it has begun."""
        return sum(line[0] == "start" for line in lines_of(self.journal))

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def end(self) -> int:
        """Wait for it; its exit code."""
        try:
            return self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it with all that runs on its host, as if the power failed; others see of it what is in the folder."""
        if not self.has_ended():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Shared:
    """One folder and the mounts of it, one a host; journals and logs lie beside it, on a local disk."""

    def __init__(self, folder: Path, options: tuple[str, ...], hosts: int = 2):
        self.folder = folder
        self.served = folder / "served"
        self.served.mkdir(parents=True)
        (folder / "journals").mkdir()
        self.mounts = [folder / f"mount{number}" for number in range(hosts)]
        self.boots = [folder / f"boot{number}" for number in range(hosts)]
        for boot in self.boots:
            boot.write_text(f"{uuid.uuid4()}\n")
        self.begun = 0
        self._stack = ExitStack()
        server = Server(folder / "sshd")
        self._stack.callback(server.close)
        for mount in self.mounts:
            self._stack.enter_context(server.mounted(self.served, mount, options))

    def close(self) -> None:
        self._stack.close()

    def start(self, number: int, call: str, *arguments: object, apart: bool = True) -> Begun:
        """Call a function of this module or of `many` with the cache as host `number` sees it, and `arguments`.

        Not `apart`: here, and not on a host of its own.
        """
        self.begun += 1
        code = f"from tests.fault import hosts, many; {call}({str(self.mounts[number] / 'cache')!r}, *{arguments!r})"
        journal, log = self.folder / "journals" / str(self.begun), self.folder / f"log{self.begun}"
        environ = {**os.environ, many.JOURNAL: str(journal), "PYTHONPATH": _paths()}
        host = [*_UNSHARE, "sh", "-c", _BE, "sh", f"host{number}", str(self.boots[number]), sys.executable, code]
        with log.open("wb") as output:
            streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            words = host if apart else [sys.executable, "-c", code]
            process = subprocess.Popen(words, env=environ, start_new_session=True, **streams)  # type: ignore[call-overload]
        return Begun(process, journal, log)

    def lines(self, *start: str) -> list[list[str]]:
        """The lines of all journals that begin so, in no order."""
        found = [line for path in (self.folder / "journals").iterdir() for line in lines_of(path)]
        return [line for line in found if tuple(line[: len(start)]) == start]

    def twice(self) -> list[str]:
        """What was begun, or published, more than once."""
        begun = Counter(line[1] for line in self.lines("start"))
        folders = (self.served / "cache").glob("*/results/*")
        places = {place: len(result_numbers(os.listdir(place))) for place in folders}
        found = [f"{name} was begun {count} times" for name, count in begun.items() if count > 1]
        return found + [f"{place} has {count} versions" for place, count in places.items() if count != 1]

    def faults(self) -> list[str]:
        """What is damaged, seen from where it lies."""
        return [str(fault) for fault in check(DiskStore(str(self.served / "cache"))) if fault.kind == "damaged"]


def lines_of(journal: Path) -> list[list[str]]:
    """The lines of one; none if nothing was noted."""
    return [line.split(" ") for line in journal.read_text().splitlines()] if journal.exists() else []


def _paths() -> str:
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def deaths(shared: Shared, batch: int, pieces: int, luck: random.Random) -> list[str]:
    """Two hosts run a graph, and one of them is killed and begins again; what is wrong with that."""
    runs = [shared.start(number, "hosts.work", batch, pieces, 0.03) for number in (0, 1)]
    number, least = luck.randrange(2), luck.randrange(1, pieces // 3)
    victim = runs.pop(number)
    wait_until(lambda: victim.begins() >= least or victim.has_ended(), "nothing was begun")
    victim.kill()
    runs.append(shared.start(number, "hosts.work", batch, pieces, 0.03))
    ends = [run.end() for run in runs]
    faults = [] if ends == [0, 0] else [f"they ended with {ends}: {''.join(run.log.read_text() for run in runs)}"]
    wrong = [line for line in shared.lines("answer", str(batch)) if line[2] != "right"]
    # What each of its workers had begun last was not published, or that was not noted
    last = {line[2]: line[1] for line in lines_of(victim.journal) if line[0] == "start"}
    twice = [text for text in shared.twice() if text.split(" ")[0] not in last.values()]
    return faults + [f"a wrong answer: {line}" for line in wrong] + [text for text in twice if f"{batch}." in text]


def work(cache: str, batch: int, pieces: int, seconds: float) -> None:
    """Run a graph with two workers; note the answer, and what it took."""
    with Cache(cache):
        task = Whole(batch, pieces, seconds)
    value, _ = task.run_graph(max_workers=2)
    note("answer", batch, "right" if value == expected(batch, pieces) else f"wrong:{value}")


def wait_for_it(cache: Path, gate: str) -> None:
    """Wait for somebody else's task, and let it go on at the second look."""

    def deed(kind: str, name: str, count: int) -> None:
        if (kind, count) == ("elsewhere", 2):
            Path(gate).touch()

    many.run_piece(cache, gate, deed=deed)
