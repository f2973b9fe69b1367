"""Hosts that share a folder through sshfs: nothing is done twice, whatever its caches keep, and whoever dies."""
from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault import hosts
from tests.fault.hosts import WITH_CACHES, WITHOUT_CACHES, Shared

REFUSAL = hosts.refusal()

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(REFUSAL), reason=REFUSAL)]


@pytest.fixture(params=[WITHOUT_CACHES, WITH_CACHES], ids=["without caches", "with caches"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    """A folder with two mounts."""
    shared = Shared(tmp_path / "shared", request.param)
    yield shared
    shared.close()
    assert [] == shared.faults()


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_two_hosts_at_once(shared: Shared, seconds: float) -> None:
    """Each of sixty tasks is begun by one of them, and published once; both have the right answer."""
    runs = [shared.start(number, "hosts.work", 1, 60, seconds) for number in (0, 1)]

    assert [(0, ""), (0, "")] == [(run.end(), run.log.read_text()) for run in runs]
    assert ["right", "right"] == [line[2] for line in shared.lines("answer")]
    assert 61 == len(shared.lines("start"))
    assert [] == shared.twice()


def test_two_mounts_on_one_host(shared: Shared, tmp_path: Path) -> None:
    """A lock is local to its mount; the process tells that the run lives, and it is waited for."""
    gate = str(tmp_path / "gate")
    holder = shared.start(0, "many.run_piece", gate, apart=False)
    hosts.wait_until(lambda: holder.begins() > 0, "nothing was begun")
    waiter = shared.start(1, "hosts.wait_for_it", gate, apart=False)

    assert [(0, ""), (0, "")] == [(run.end(), run.log.read_text()) for run in (waiter, holder)]
    assert ["right", "right"] == [line[2] for line in shared.lines("answer")]
    assert [] == shared.twice()


def test_a_host_is_killed(shared: Shared) -> None:
    """What it had published stays; what it had in hand is done by somebody else, once."""
    assert [] == hosts.deaths(shared, 1, 30, random.Random(1))
