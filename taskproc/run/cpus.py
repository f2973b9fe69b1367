"""How many processors this process may use, by its affinity and the quota of its control group; and each worker."""
from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
THREADS_OF_BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
