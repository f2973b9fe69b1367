"""What this machine is: since when its processes run, where their numbers hold, its processors, and its mounts."""
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
    """When a process was started, in the kernel's own count; "" if there is none, None if that cannot be found out.

    The number of a process is used again after its end; number and birth are not. `dead`: also of a zombie.
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
    """Whether no process has that number."""
    try:
        if sys.platform != "win32":  # there it would end the process
            os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # somebody else's
    return False


def boot() -> str:
    """Tells this machine since it was started from all others; without Linux only the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import uuid  # here: 2 ms, and Linux does without

        return f"{socket.gethostname()}-{uuid.getnode():x}"


def namespace() -> str:
    """The namespace of process numbers that this process is in; empty where there are none."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


@functools.cache
def realm() -> str:
    """Where the number of a process holds: this boot of this machine, and the namespace. Empty if not on Linux."""
    inner = namespace()
    return f"{boot()} {inner}" if inner else ""


def available_cpus() -> int:
    """At least 1. A container with half a processor counts as one."""
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
    """Processors granted to each control group that holds us, where one is limited.

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
            # inside a container the path may be that of the host, which is not to be seen: the root counts then
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
        pass  # not there, or not as documented: no limit that we know of


def share_of_threads(workers: int, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with a bound for the threads of BLAS libraries, so that all workers together have one per processor."""
    share = str(max(1, available_cpus() // workers))
    return {**dict.fromkeys(THREADS_OF_BLAS, share), **environ}


def is_network(folder: Path) -> bool:
    """False where mounts are not listed in /proc."""
    try:
        table = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return False
    return file_system(os.path.realpath(folder), table) in NETWORK


def file_system(path: str, table: str) -> str:
    """The type of the file system that holds the absolute `path`, by the text of /proc/self/mountinfo; else empty."""
    found, longest = "", -1
    for line in table.splitlines():
        mount, _, rest = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) < 5 or not rest:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        # of two mounts on one point the later lies above
        if len(point) >= longest and (path == point or path.startswith(point.rstrip("/") + "/")):
            found, longest = rest.split(" ")[0], len(point)
    return found
