"""Tests of the number of processors."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskproc.run.cpus import available_cpus, quotas


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
