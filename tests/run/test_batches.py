"""Small jobs of a kind travel many in one message, but fail one by one."""
from __future__ import annotations

import os
import pickle
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs import Does, Unloadable, call, endings, fifo, note_and_perhaps_exit, problem, read_fifo, same, ticket, value

from taskproc.kernel.model import Outcome, Returned
from taskproc.run.inbox import Inbox
from taskproc.run.kinds import MOST, QUICK, WINDOW, Kind, KindJob, Pace
from taskproc.run.process import Worker
from taskproc.run.resident import ResidentRunner
from taskproc.run.runner import Ending
from taskproc.run.worker import Marks
from taskproc.run.worker_protocol import BOUND, MARK, UNBOUND

SAME, READ = Does(same), Does(read_fifo)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let every job of a kind count as quick. The list has the bytes of each message to a worker."""
    found: list[int] = []
    give = Worker.give

    def note(self: Worker, content: bytes) -> None:
        found.append(len(content))
        give(self, content)

    monkeypatch.setattr(Worker, "give", note)
    monkeypatch.setattr(Pace, "expect", lambda self, kind: WINDOW / 1000)
    return found


@pytest.fixture
def inbox() -> Iterator[Inbox[Ending[str, Outcome[str]]]]:
    made: Inbox[Ending[str, Outcome[str]]] = Inbox()
    yield made
    made.close()


@pytest.fixture
def runner(inbox: Inbox[Ending[str, Outcome[str]]], sent: list[int]) -> Iterator[ResidentRunner[str, Outcome[str]]]:
    """With one worker."""
    made: ResidentRunner[str, Outcome[str]] = ResidentRunner(inbox, 1)
    yield made
    made.stop()


@pytest.fixture
def pair(inbox: Inbox[Ending[str, Outcome[str]]], sent: list[int]) -> Iterator[ResidentRunner[str, Outcome[str]]]:
    """With two workers, both ready."""
    made: ResidentRunner[str, Outcome[str]] = ResidentRunner(inbox, 2)
    for number in (1000, 1001):
        made.start(ticket(number), SAME.job(0))
    endings(made, 2)
    sent.clear()
    yield made
    made.stop()


def test_many_jobs_are_one_message(runner: ResidentRunner[str, Outcome[str]], sent: list[int]) -> None:
    """The first job goes at once and the others together; each gets its own answer."""
    for number in range(MOST):
        runner.start(ticket(number), SAME.job(number))

    found = endings(runner, MOST)

    assert [str(number) for number in range(MOST)] == [value(found[number]) for number in range(MOST)]
    assert len(sent) == 2


def test_a_kind_is_sent_once(runner: ResidentRunner[str, Outcome[str]], sent: list[int]) -> None:
    """A kind is sent once; a job is only its own bytes."""
    for number in range(3):
        runner.start(ticket(number), SAME.job(number))
        endings(runner, 1)

    assert sent[1] == sent[2] < len(SAME.job(0).kind.content) < sent[0]


def test_a_kind_that_cannot_be_unpickled_fails_its_jobs_only(runner: ResidentRunner[str, Outcome[str]]) -> None:
    """A kind that cannot be unpickled fails each of its jobs with the reason, and no others."""
    kind = Kind(pickle.dumps(Unloadable()))
    for number, job in enumerate([SAME.job(0), KindJob(kind, b""), KindJob(kind, b""), SAME.job(3)]):
        runner.start(ticket(number), job)

    found = endings(runner, 4)

    assert ["0", "3"] == [value(found[number]) for number in (0, 3)]
    assert all("could not be unpickled" in problem(found[number]).text for number in (1, 2))


def test_of_many_the_one_that_dies_is_blamed(runner: ResidentRunner[str, Outcome[str]], tmp_path: Path) -> None:
    """Jobs before the one that dies are done, those behind it run in another process, and each runs once."""
    notes = Does(note_and_perhaps_exit)
    for number in range(10):
        runner.start(ticket(number), notes.job(str(tmp_path / "notes"), number, 4))

    found = endings(runner, 10)

    assert problem(found.pop(4)).exit_code == 3
    assert {number: value(outcome) for number, outcome in found.items()} == {number: str(number) for number in found}
    assert (tmp_path / "notes").read_text().split() == [str(number) for number in range(10)]


def test_what_waits_behind_a_long_job_is_done_by_another(
    pair: ResidentRunner[str, Outcome[str]], tmp_path: Path
) -> None:
    """Jobs behind a slow one are called back when another worker is idle."""
    pipe = fifo(tmp_path / "pipe")
    pair.start(ticket(0), READ.job(pipe))
    for number in range(1, 20):
        pair.start(ticket(number), SAME.job(number))

    found = endings(pair, 19)
    assert set(found) == set(range(1, 20))

    Path(pipe).write_text("read")
    assert value(endings(pair, 1)[0]) == "read"
    pair.start(ticket(20), SAME.job(20))
    pair.start(ticket(21), SAME.job(21))
    assert set(endings(pair, 2)) == {20, 21}


def test_what_has_not_begun_is_given_back(runner: ResidentRunner[str, Outcome[str]], tmp_path: Path) -> None:
    """`recall` gives back jobs that have not begun; the running job continues, and so does the runner."""
    pipe = fifo(tmp_path / "pipe")
    runner.start(ticket(0), READ.job(pipe))
    for number in range(1, 9):
        runner.start(ticket(number), SAME.job(number))
    runner.start(ticket(9), call(same, 9))
    with open(pipe, "w") as writer:  # opened as soon as the job reads
        runner.wait(0)
        runner.recall()

        found = endings(runner, 9)

        assert all(isinstance(found[number], Returned) for number in range(1, 10))
        runner.start(ticket(10), SAME.job(10))
        writer.write("read")
    found = endings(runner, 2)
    assert ("read", "10") == (value(found[0]), value(found[10]))


def test_a_worker_may_refuse_the_job_that_it_was_about_to_begin(runner: ResidentRunner[str, Outcome[str]]) -> None:
    """A job that was called back at the moment of its turn is refused and given back."""
    runner.start(ticket(0), Does(os.getpid).job())
    pid = int(value(endings(runner, 1)[0]))
    os.kill(pid, signal.SIGSTOP)
    for number in range(1, 4):
        runner.start(ticket(number), SAME.job(number))
    runner.wait(0)
    runner.recall()
    os.kill(pid, signal.SIGCONT)

    found = endings(runner, 3)

    assert [Returned()] * 3 == [found[number] for number in (1, 2, 3)]


def test_a_job_begins_unless_it_was_called_back() -> None:
    """A worker first writes that a job begins and then reads whether it may."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(MARK.pack(0) * 2 + UNBOUND)
        marks = Marks(file.fileno())
        assert marks.begin()
        os.pwrite(file.fileno(), MARK.pack(2), BOUND)

        assert [True, False, False] == [marks.begin() for _ in range(3)]
        assert marks.number == MARK.pack(4) == os.pread(file.fileno(), MARK.size, 0)


def test_what_does_not_fit_into_the_channel_is_not_sent_ahead(
    pair: ResidentRunner[str, Outcome[str]], tmp_path: Path
) -> None:
    """Jobs that do not fit into the channel are not sent ahead: the main process would block."""
    pipes = [fifo(tmp_path / f"pipe {number}") for number in range(2)]
    for number, pipe in enumerate(pipes):
        pair.start(ticket(number), READ.job(pipe))
    for number in range(2, 12):
        pair.start(ticket(number), SAME.job("x" * 300_000))

    assert [] == list(pair.wait(0))
    for pipe in pipes:
        Path(pipe).write_text("read")
    assert set(endings(pair, 12)) == set(range(12))


def test_the_pace_is_that_of_the_last_ones() -> None:
    """The pace follows the last jobs slowly up and down, and a slow job fills a worker."""
    pace = Pace()
    assert pace.expect(b"a") == WINDOW
    pace.learn(b"a", QUICK / 2)
    assert pace.expect(b"a") == QUICK / 2
    pace.learn(b"a", 1.0)
    assert pace.expect(b"a") == WINDOW
    for _ in range(100):
        pace.learn(b"a", 0.0)
    assert 0 < pace.expect(b"a") < QUICK / 100
