"""Claims on a bad day: disks that fail, processes that are killed, files that are not ours."""
from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import (
    ARGUMENTS,
    PLACE,
    WRITES,
    Failing,
    Runs,
    arguments,
    claimed,
    die_everywhere,
    facts,
    failure,
    names,
    newest,
    nothing,
    outwait,
    place_of,
    processes,
    publish,
    values,
)

from taskproc.errors import CacheError
from taskproc.store import payload
from taskproc.store.check import check
from taskproc.store.claims import DiskAttempt
from taskproc.store.layout import Place
from taskproc.store.rules import CacheRules
from tests.pace import limit


class TestFailingWrites:
    """A full or a broken disk fails the task, and nothing else."""

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO])
    @pytest.mark.parametrize(("value", "blocks"), [("half", 0), (bytes(400), 7)])
    def test_of_a_commit(
        self, runs: Runs, number: int, value: object, blocks: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is visible, the attempt can be failed, and a later claim of anybody succeeds at once."""
        monkeypatch.setattr(payload, "BLOCK", 64)
        at, failed = 0, []
        while True:
            at += 1
            place = Place("module.Task", at, f"{at:032d}")
            files = Failing(number, at, frozenset({"append", "sync", "close", "rename"}))
            files.on = False
            store = runs.begin(files)
            attempt = claimed(store, place)
            files.on = True
            if failure(lambda attempt=attempt: attempt.commit(value, facts(seconds=1.0)), OSError) is None:
                break
            failed.append(files.failed)
            files.on = False

            assert [] == list(store.look(place))
            attempt.fail({"error": "no space left"})
            assert {"failed.1"} == names(store, place)
            if files.failed in ("append", "sync"):
                assert {"error": "no space left"} == store.failure(place)
            publish(runs.begin(), "whole", place)
            assert ["whole"] == values(store, place)

        assert ["append"] * (blocks + 1) + ["sync", "close", "rename"] == failed

    def test_of_everything_after_a_commit_failed(self, runs: Runs) -> None:
        """If not even the rename works the claim stays; it is taken over when its run has ended."""
        files = Failing(errno.EIO, 0)
        files.on = False
        store = runs.begin(files)
        attempt = claimed(store)
        files.on = True
        with pytest.raises(OSError, match="Input/output"):
            attempt.commit("half", facts())
        attempt.fail({})
        runs.end(store)

        assert publish(runs.begin(), "whole").record.number == 2

    def test_of_a_claim(self, runs: Runs) -> None:
        """CacheError names the folder and the cause, and the next claim succeeds at once."""
        at, failed = 0, []
        while True:
            at += 1
            place = Place(f"module{at}.Task", at, f"{at:032d}")
            files = Failing(errno.ENOSPC, at)
            store = runs.begin(files)
            store.rules = CacheRules("full")
            error = failure(lambda store=store, place=place: store.claim(place, arguments, nothing), CacheError)
            if error is None:
                break
            assert runs.root in str(error)
            assert os.strerror(errno.ENOSPC) in str(error)
            failed.append(files.failed)
            publish(runs.begin(), "whole", place)
            assert ["whole"] == values(store, place)

        assert {"mkdir", "sync_folder", "write_text", "make", "append"} == set(failed)

    @pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors cannot be counted")
    def test_leaves_no_descriptor_open(self, runs: Runs) -> None:
        """However a claim or a commit fails, all that was opened is closed when the attempt has failed."""
        at, kinds = 0, WRITES | {"close"}
        while True:
            at += 1
            files = Failing(errno.EIO, at, kinds)
            store = runs.begin(files)
            store.rules = CacheRules("full")
            before = len(os.listdir("/proc/self/fd"))
            try:
                attempt = claimed(store, Place("module.Task", at, f"{at:032d}"))
                try:
                    attempt.commit(1, facts(seconds=1.0))
                except OSError:
                    attempt.fail({})
            except CacheError:
                pass
            assert before == len(os.listdir("/proc/self/fd")), files.failed
            if not files.failed:
                break
        assert at > 8


@pytest.mark.slow
@pytest.mark.parametrize("value", ["first", "first" * 60])
def test_killed_at_every_operation(tmp_path: Path, value: str) -> None:
    """Whoever is killed before, in or after any operation: the next one claims, commits and reads what is right."""
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=die_everywhere, args=(str(tmp_path), sender, value, 64))
    process.start()
    assert receiver.poll(limit(60)), "it hangs"
    codes = receiver.recv()
    process.join(limit(60))

    assert [-signal.SIGKILL] * (len(codes) - 1) + [0] == codes
    assert len(codes) > 15
    outcomes = [outlive(tmp_path / str(number)) for number in range(1, len(codes) + 1)]
    assert {value, "second"} == set(outcomes)
    assert sorted(outcomes, key=str, reverse=True) == outcomes, "once it is published it stays"


def outlive(root: Path) -> object:
    """The value that the next run has, by whomever it was made."""
    runs = Runs(root)
    store = runs.begin()
    outwait(store)

    answer = store.claim(PLACE, arguments, newest)
    if isinstance(answer, DiskAttempt):
        assert [] == list(answer.directory.iterdir())
        assert answer.commit("second", facts()) is not None
    (value,) = values(store)
    assert json.loads(ARGUMENTS) == json.loads((place_of(store) / "args.json").read_text())
    runs.close()
    assert [] == [found for found in check(store) if found.kind == "damaged"]
    return value


FOREIGN: dict[str, Callable[[Path], object]] = {
    "a directory": lambda path: path.mkdir(),
    "a full directory": lambda path: (path / "inside").mkdir(parents=True),
    "a fifo": lambda path: os.mkfifo(path),
    "a link to a file": lambda path: path.symlink_to(__file__),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "an empty file": lambda path: path.touch(),
    "garbage": lambda path: path.write_bytes(b"\x1f\x8b\x08\x10" + b"[" * 9000),
    "text": lambda path: path.write_text("hello"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize(
    "name",
    "result.1.pkl.gz claim.1 failed.1 bad.1 claim.1.pkl.gz result.01.pkl.gz result.x data.1 args.txt".split(),
)
def test_what_is_not_ours_is_no_version_and_no_obstacle(runs: Runs, name: str, kind: str) -> None:
    """A stranger's file in a place, of whatever name and kind, is not read and does not hinder an attempt."""
    store = runs.begin()
    place_of(store).mkdir(parents=True)
    FOREIGN[kind](place_of(store) / name)
    outwait(store)
    runs.expects_damage = name == "result.1.pkl.gz" or "link" in kind

    assert [] == list(store.look(PLACE))
    attempt = claimed(store)
    (attempt.directory / "file").write_text("mine")
    assert attempt.commit("value", facts()) is not None
    assert ["value"] == values(store)
