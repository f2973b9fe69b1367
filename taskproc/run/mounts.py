"""Whether a folder lies on a network file system, which may show a file later than its writer has ended."""
from __future__ import annotations

import os
import re
from pathlib import Path

NETWORK = frozenset(
    "nfs nfs3 nfs4 cifs smb3 smbfs smb2 lustre gpfs beegfs ceph glusterfs afs ncpfs 9p pvfs2 orangefs gfs2 panfs "
    "wekafs fuse.sshfs fuse.glusterfs fuse.ceph fuse.s3fs fuse.rclone fuse.gcsfuse fuse.juicefs fuse.mfs".split()
)


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
