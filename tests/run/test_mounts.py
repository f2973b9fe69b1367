"""Tests of what kind of file system a folder is on."""
from __future__ import annotations

from pathlib import Path

import pytest

from taskproc.run.mounts import NETWORK, file_system, is_network

TABLE = r"""
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:40 / /home rw shared:5 - nfs4 server:/home rw,vers=4.2
31 30 8:2 / /home/local rw - xfs /dev/sdb1 rw
32 22 0:41 / /with\040space rw - fuse.sshfs me@host: rw
33 22 0:42 / /twice rw - ext4 /dev/sdc1 rw
34 22 0:43 / /twice rw - cifs //server/share rw
broken line
"""


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
