"""Facts about this machine: when its processes were started, where process ids are valid, its processors and mounts."""
from __future__ import annotations

import functools
import math
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
THREADS_OF_BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
NETWORK = frozenset(
    "nfs nfs3 nfs4 cifs smb3 smbfs smb2 lustre gpfs beegfs ceph glusterfs afs ncpfs 9p pvfs2 orangefs gfs2 panfs "
    "wekafs fuse.sshfs fuse.glusterfs fuse.ceph fuse.s3fs fuse.rclone fuse.gcsfuse fuse.juicefs fuse.mfs".split()
)


def birth_of(pid: int, *, dead: bool = False) -> str | None:
    """When a process was started, as the kernel counts; "" if it does not exist, None if that cannot be found out.

    A process id is used again after its process has ended; the pair of id and birth is not. `dead`: zombies count, too.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" and not dead else fields[19]
    except FileNotFoundError:
        return "" if os.path.isdir("/proc/self") or is_unused(pid) else None
    except (OSError, IndexError):
        return None


def is_unused(pid: int) -> bool:
    """Whether no process has this id."""
    try:
        if sys.platform != "win32":  # where it would end the process
            os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # a process of another user
    return False


def boot() -> str:
    """An id of this machine since it was booted; outside Linux, of the machine only."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import uuid  # here: 2 ms, and not needed on Linux

        return f"{socket.gethostname()}-{uuid.getnode():x}"


@functools.cache
def host_name() -> str:
    """The name of this machine; empty if it has none."""
    return socket.gethostname()


@functools.cache
def user_name() -> str | None:
    """The login name of the user of this process; None if the system has no name for it."""
    import getpass  # here: 0.3 ms, and only needed to write

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None


def namespace() -> str:
    """The namespace in which the id of this process is valid; empty on systems without namespaces."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


@functools.cache
def realm() -> str:
    """Where a process id is valid: this boot of this machine, and the namespace. Empty outside Linux."""
    inner = namespace()
    return f"{boot()} {inner}" if inner else ""


def available_cpus() -> int:
    """Processors that this process may use, at least 1: by affinity, and by the quota of its container, rounded up."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1  # macOS has no affinity
    try:
        groups = Path("/proc/self/cgroup").read_text("utf-8")
    except OSError:
        return count
    return max(1, min([count, *(math.ceil(quota) for quota in quotas(groups, CGROUPS))]))


def quotas(groups: str, root: Path) -> Iterator[float]:
    """The processors that each limited control group of this process may use.

    Args:
        groups: the text of /proc/self/cgroup.
        root: where the control groups are mounted, in version 2 or 1.
    """
    for line in groups.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        unified = not controllers
        if unified or "cpu" in controllers.split(","):
            base = root if unified else root / "cpu"
            inner = base / path.lstrip("/")
            # In a container the path may be that of the host, which is not visible here: then the root counts
            for folder in [inner, *(above for above in inner.parents if above.is_relative_to(base))]:
                yield from _quota(folder, unified)


def _quota(folder: Path, unified: bool) -> Iterator[float]:
    try:
        if unified:
            granted, period = (folder / "cpu.max").read_text("utf-8").split()
        else:
            granted = (folder / "cpu.cfs_quota_us").read_text("utf-8").strip()
            period = (folder / "cpu.cfs_period_us").read_text("utf-8")
        if granted not in {"max", "-1"}:
            yield int(granted) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass  # missing, or not as documented: no known limit


def share_of_threads(workers: int, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with a limit for the threads of BLAS libraries: all workers together have one thread per processor."""
    share = str(max(1, available_cpus() // workers))
    return {**dict.fromkeys(THREADS_OF_BLAS, share), **environ}


def is_network(folder: Path) -> bool:
    """Whether `folder` is on a network file system; False where /proc does not list mounts."""
    try:
        table = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return False
    return file_system(os.path.realpath(folder), table) in NETWORK


def file_system(path: str, table: str) -> str:
    """The type of the file system of the absolute `path`, by the text of /proc/self/mountinfo; empty if not listed."""
    kind, longest = "", -1
    for line in table.splitlines():
        mount, _, rest = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) < 5 or not rest:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        # Of two mounts on one point, the later one hides the other
        if len(point) >= longest and (path == point or path.startswith(point.rstrip("/") + "/")):
            kind, longest = rest.split(" ")[0], len(point)
    return kind
