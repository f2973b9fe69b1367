"""Tests of what the machine is: processes, processors, mounts."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskproc.machine import NETWORK, available_cpus, birth_of, file_system, is_network, is_unused, quotas, realm

TABLE = r"""
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /home rw shared:5 - nfs4 server:/home rw,vers=4.2
31 30 8:2 / /home/local rw - xfs /dev/sdb1 rw
32 22 0:41 / /with\040space rw - fuse.sshfs me@host: rw
33 22 0:42 / /twice rw - ext4 /dev/sdc1 rw
34 22 0:43 / /twice rw - cifs //server/share rw
broken line
"""


def test_a_process_is_born_once() -> None:
    """The birth of a living process stays the same, and no other child of ours has it with the same number."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        births = [birth_of(child.pid), birth_of(child.pid)]

    assert births[0] == births[1]
    assert births[0]
    assert birth_of(os.getpid())
    assert not is_unused(os.getpid())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says when a process was started")
def test_a_zombie_is_dead() -> None:
    """It has a birth only for those who ask for the dead; once reaped it has none for anybody."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    zombie = birth_of(child.pid), bool(birth_of(child.pid, dead=True))
    child.wait()

    assert ("", True) == zombie
    assert "" == birth_of(child.pid, dead=True)
    assert is_unused(child.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="there are no namespaces")
def test_processes_of_one_namespace_share_a_realm() -> None:
    """So one can ask for another by its number."""
    code = "from taskproc.machine import realm; print(realm())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert realm() == child.stdout.strip()


def test_never_more_than_the_affinity() -> None:
    """What the scheduler does not give us does not count."""
    assert 1 <= available_cpus() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, [1.5]),
        ("0::/", {"cpu.max": "max 100000"}, []),
        ("0::/a/b", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "50000 100000"}, [0.5, 2.0]),
        ("0::/host/path", {"cpu.max": "300000 100000"}, [3.0]),
        ("0::/", {"cpu.max": "nonsense"}, []),
        ("3:cpu,cpuacct:/x", {"cpu/x/cpu.cfs_quota_us": "100000\n", "cpu/x/cpu.cfs_period_us": "50000\n"}, [2.0]),
        ("3:cpu:/", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "50000\n"}, []),
        ("4:memory:/", {"cpu.max": "100000 100000"}, []),
        ("", {}, []),
    ],
)
def test_quota_of_the_control_group(tmp_path: Path, groups: str, files: dict[str, str], expected: list[float]) -> None:
    """Each group above ours may set a bound, in either version of control groups."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert expected == list(quotas(groups, tmp_path))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "ext4"),
        ("/tmp/x", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/cache", "nfs4"),
        ("/home/local/cache", "xfs"),
        ("/homely", "ext4"),
        ("/with space/x", "fuse.sshfs"),
        ("/twice/x", "cifs"),
    ],
)
def test_the_nearest_mount_counts(path: str, expected: str) -> None:
    """A folder lies on the innermost mount above it, by whole names; of two on one point on the later."""
    assert expected == file_system(path, TABLE)


def test_network_types() -> None:
    """Those of the table that show files late are known, the others are not."""
    assert {"nfs4", "cifs", "fuse.sshfs"} <= NETWORK
    assert not NETWORK & {"ext4", "xfs", "tmpfs", "overlay"}


def test_the_process_table_is_on_no_network() -> None:
    """The real list of mounts is read."""
    assert not is_network(Path("/proc/self"))
