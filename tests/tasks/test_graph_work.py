"""The answers to the five questions, for a graph of tasks."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from works import work_of

from taskproc.errors import BuildError, CycleError
from taskproc.frozen import replace
from taskproc.kernel.model import Done, Elsewhere, Failed, Fresh, Lost, Problem, Returned, Stale, Stamp, Ticket
from taskproc.kernel.plan import Plan
from taskproc.run.kinds import KindJob
from taskproc.run.pool import LocalExecutor
from taskproc.run.prefix_job import PrefixedJob
from taskproc.source.fingerprint import Fingerprint
from taskproc.store.cache import Cache
from taskproc.store.layout import FEWEST_DIGITS
from taskproc.tasks.graph_work import GraphWork
from taskproc.tasks.job import Stored, TaskJob
from taskproc.tasks.labels import Prefix
from taskproc.tasks.task import Task
from taskproc.tasks.task_graph import graph_of


class Leaf(Task):
    def __init__(self, name: Any = "a"):
        self.name = name
        self.lock: Any = None

    def run_task(self) -> Any:
        return self.name() if callable(self.name) else self.name


class Join(Task):
    def __init__(self, *ups: Any):
        self.ups = ups

    def run_task(self) -> str:
        return "".join(up.get_result() for up in self.ups)


def key(task: Any) -> str:
    return str(task._taskproc.place.key)


def run(task: Any, **options: Any) -> Any:
    return task.run_graph(executor=LocalExecutor(), **options)


@pytest.fixture
def begin(cache: Cache) -> Any:
    """Makes works; each ends with the test."""
    made: list[GraphWork] = []

    def make(task: Any, **options: Any) -> GraphWork:
        made.append(work_of(task, **options))
        return made[-1]

    yield make
    for work in made:
        work.end()


Begin = Callable[..., GraphWork]


# ---------------------------------------------------------------- the graph


def test_needs_come_first_and_each_task_once(cache: Cache) -> None:
    """However many other tasks need it."""
    a, b = Leaf("a"), Leaf("b")
    left, right = Join(a, b), Join(b, a)

    graph = graph_of(Join(left, right, a))

    assert list(graph.needs) == [key(task) for task in (a, b, left, right, Join(left, right, a))]
    assert graph.needs[key(right)] == (key(b), key(a))
    assert graph.root == key(Join(left, right, a))


def test_a_graph_deeper_than_the_stack_is_gathered(cache: Cache) -> None:
    """Also a chain that was built by hand."""
    task: Any = Leaf()
    for _ in range(1500):
        task = Join(task)

    assert len(graph_of(task).needs) == 1501


def test_a_cycle_that_was_made_later_is_told_with_its_path(cache: Cache) -> None:
    """Also through containers, and also a task that needs itself."""
    a, b = Leaf("a"), Leaf("b")
    a.lock, b.lock = {"next": [b]}, (a,)

    with pytest.raises(CycleError, match=r"^Leaf.* needs itself: Leaf#\w+\(name='a'\) -> Leaf#\w+\(name='b'\) -> Leaf"):
        graph_of(a)
    a.lock = a
    with pytest.raises(CycleError, match="its attribute 'lock' is the task"):
        graph_of(a)


def test_two_caches_in_one_graph_are_refused(cache: Cache, tmp_path: Path) -> None:
    """The error names both; two Cache objects of one folder are one cache."""
    with Cache(tmp_path / "other"):
        foreign = Leaf()
    with Cache(cache.path):
        same = Leaf()
    task = Leaf("b")
    task.lock = [foreign]

    with pytest.raises(BuildError, match=r"^Leaf.* is built in cache '.*/cache', but needs Leaf.* of cache '.*/other'"):
        graph_of(task)
    assert len(graph_of(Join(same)).needs) == 2


def test_a_task_that_left_the_graph_has_a_name(cache: Cache) -> None:
    """A record may name needs that do not exist any more."""
    graph = graph_of(Leaf())

    assert graph.name_of(key(Leaf())) == f"Leaf#{key(Leaf())[:FEWEST_DIGITS]}(name='a')"
    assert graph.name_of("0123456789abcdef") == "a task that was there before (#01234567)"
    assert graph.class_name(key(Leaf())) == Leaf.task_name


# ---------------------------------------------------------------- feed and judge


def test_feed_adds_the_graph_once(cache: Cache) -> None:
    """With the labels of the run."""
    plan: Plan[str] = Plan()
    work = work_of(Join(Leaf()), labels={key(Leaf()): ("label",)})

    work.feed(plan)
    work.feed(plan)

    assert len(plan) == 2
    assert plan.node(key(Leaf())).labels == ("label",)


def test_judging_takes_the_version_that_is_fresh(cache: Cache) -> None:
    """This run reads that version; no file is created."""
    run(Join(Leaf()))
    before = set(cache.path.rglob("*"))
    work = work_of(Join(Leaf()))

    verdicts = [work.judge(key(Leaf())), work.judge(key(Join(Leaf())))]

    assert [type(verdict) for verdict in verdicts] == [Fresh, Fresh]
    assert cache.store.load(work.known.in_use[key(Leaf())]) == "a"
    assert set(cache.path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "change", "kind"),
    [
        ({}, lambda: Join(Leaf()).clear_task(), "new"),
        ({}, lambda: run(Leaf(), force=True), "need"),
        ({}, lambda: None, None),
    ],
)
def test_the_reason_is_kept(cache: Cache, options: Any, change: Callable[[], object], kind: str | None) -> None:
    """It can be read later."""
    run(Join(Leaf()))
    change()
    work = work_of(Join(Leaf()), **options)
    for each in work.known.graph.needs:
        work.judge(each)

    reason = work.known.reasons.get(key(Join(Leaf())))

    assert (reason and reason.kind) == kind


def test_code_counts_unless_it_is_not_to(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """See `detect_source_change`."""
    run(Leaf())
    changed = Fingerprint({"m:Leaf": "changed"}, {}, (), "changed")
    monkeypatch.setattr("taskproc.tasks.conditions.fingerprint", lambda cls, given: changed)

    assert isinstance(work_of(Leaf()).judge(key(Leaf())), Stale)
    assert isinstance(work_of(Leaf(), checks_code=False).judge(key(Leaf())), Fresh)


def first() -> str:
    return "first"


def test_a_function_that_is_an_argument_counts_as_code(cache: Cache) -> None:
    """The key has only its name."""
    task = Leaf(first)
    run(task)
    record = next(cache.store.look(task._taskproc.place)).record

    code = cache.store.code(Leaf.task_name, record.code)
    assert code is not None
    assert code["items"].keys() >= {f"{__name__}:Leaf", f"{__name__}:first"}


def test_what_is_forced_is_stale_and_what_is_made_then_is_fresh(begin: Begin) -> None:
    """Only a version made after the order counts."""
    run(Leaf())
    work = begin(Leaf(), forced=frozenset([key(Leaf())]), in_process=True)
    work.feed(Plan())

    assert isinstance(work.judge(key(Leaf())), Stale)
    attempt(work, Leaf())

    assert isinstance(work.judge(key(Leaf())), Fresh)


# ---------------------------------------------------------------- claim, job, close


def attempt(work: GraphWork, task: Any) -> Any:
    """Claim, run and close one task."""
    ticket = Ticket(key(task), 1)
    claimed = work.claim(ticket)
    return claimed if claimed is not None else work.close(ticket, work.job(ticket)())


def test_a_run_is_registered_when_something_is_to_run(begin: Begin, cache: Cache) -> None:
    """Not before: a run that finds all results fresh writes nothing. It is unregistered at its end."""
    work = begin(Leaf(), in_process=True)
    work.judge(key(Leaf()))
    assert not (cache.path / "run").exists()

    attempt(work, Leaf())
    assert set(os.listdir(cache.path / "run")) == {work.jobs.mark.token, f"{work.jobs.mark.token}.d"}
    work.end()

    assert os.listdir(cache.path / "run") == []


def test_a_job_travels_only_where_it_must(begin: Begin) -> None:
    """In this process it is the job itself; for other processes it is packed."""
    for in_process, kind in ((True, TaskJob), (False, KindJob)):
        work = begin(Leaf(in_process), in_process=in_process)
        assert work.claim(Ticket(work.known.graph.root, 1)) is None
        assert type(work.job(Ticket(work.known.graph.root, 1))) is kind


def test_a_task_is_done_and_its_version_is_the_one_to_read(begin: Begin, cache: Cache) -> None:
    """Without another look."""
    work = begin(Join(Leaf("x"), Leaf("y")), in_process=True)
    for task in work.known.graph.tasks.values():
        if not isinstance(task, Join):
            attempt(work, task)

    assert isinstance(attempt(work, Join(Leaf("x"), Leaf("y"))), Stored)
    assert cache.store.load(work.known.in_use[work.known.graph.root]) == "xy"


def test_what_cannot_travel_fails_when_it_is_run(begin: Begin) -> None:
    """Only this task fails; others run."""
    task = Leaf()
    task.lock = __import__("threading").Lock()

    outcome = attempt(begin(task), task)

    assert isinstance(outcome, Failed)
    assert "attribute 'lock' (lock) cannot be sent to a worker" in outcome.problem.text


@pytest.mark.parametrize("kind", ["died", "prefix", "timeout"])
def test_a_death_after_the_commit_is_no_failure(begin: Begin, kind: str) -> None:
    """A published result counts, whatever was reported."""
    work = begin(Leaf(), in_process=True)
    ticket = Ticket(key(Leaf()), 1)
    work.claim(ticket)
    work.job(ticket)()

    outcome = work.close(ticket, Failed(Problem(kind, "killed"), 2.0))

    assert outcome == Done(work.known.in_use[key(Leaf())].record.stamp, 2.0)


def test_a_death_before_the_commit_is_a_failure_that_people_can_read(begin: Begin, cache: Cache) -> None:
    """The claim is buried, and contains the reason."""
    work = begin(Leaf(), in_process=True)
    ticket = Ticket(key(Leaf()), 1)
    work.claim(ticket)
    plain: Any = work.job(ticket)
    plain.claim()  # a worker that claims and dies
    died = Failed(Problem("died", "its worker process was killed"))

    assert work.close(ticket, died) is died
    folder = Path(cache.store.log_path(Leaf()._taskproc.place, "stdout")).parent
    assert {path.name for path in folder.iterdir()} == {"args.json", "failed.1"}
    assert b"its worker process was killed" in (folder / "failed.1").read_bytes()


def test_a_task_of_a_broken_pool_is_done_or_runs_again(begin: Begin, cache: Cache) -> None:
    """A published result counts; the claim that it left blocks no other."""
    work = begin(Leaf(), in_process=True)
    ticket = Ticket(key(Leaf()), 1)
    work.claim(ticket)
    plain: Any = work.job(ticket)
    plain.claim()

    assert work.close(ticket, Returned()) == Returned()
    assert isinstance(plain(), Stored)
    assert isinstance(work.close(ticket, Returned()), Done)


class Other(Leaf):
    """The same as Leaf, in another class."""


def test_other_code_of_a_worker_is_told_once_per_class(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    """Of a thousand tasks that ran with it, one is reported, unless something else differs."""
    tasks = [(Leaf("a"), "m.RATE"), (Leaf("b"), "m.RATE"), (Leaf("c"), "m.scale"), (Other("d"), "m.RATE")]
    work = begin(Join(*(task for task, _ in tasks)), in_process=True)
    for number, (task, differing) in enumerate(tasks, start=1):
        ticket = Ticket(key(task), number)
        work.claim(ticket)
        stored: Any = work.job(ticket)()
        work.close(ticket, replace(stored, differing=differing))

    told = [record.args for record in caplog.records if "its worker has loaded other code" in record.message]
    names = [Leaf.task_name, Leaf.task_name, Other.task_name]
    assert list(zip(names, ["m.RATE", "m.scale", "m.RATE"])) == told


def test_what_others_published_is_looked_up(begin: Begin) -> None:
    """If it has disappeared in the meantime, the task is judged again."""
    work = begin(Leaf())
    ticket = Ticket(key(Leaf()), 1)
    said = Fresh(Stamp("o", "v"))

    assert work.close(ticket, said) == Elsewhere(after=0.0)
    run(Leaf())
    assert isinstance(work.close(ticket, said), Fresh)
    assert key(Leaf()) in work.known.in_use


def test_a_lost_version_is_never_taken_again(begin: Begin) -> None:
    """Even if its record is complete; the reason says so. A version that this run made stays valid."""
    run(Leaf())
    work = begin(Join(Leaf()), in_process=True)
    work.judge(key(Leaf()))

    work.close(Ticket(work.known.graph.root, 1), Lost((key(Leaf()),)))

    verdict = work.judge(key(Leaf()))
    assert isinstance(verdict, Stale)
    assert (verdict.reason.kind, verdict.reason.text) == ("unreadable", "its result could not be read")
    attempt(work, Leaf())
    assert isinstance(work.judge(key(Leaf())), Fresh)
    assert work.known.forget(key(Leaf())) is False
    os.unlink(work.known.in_use[key(Leaf())].path)
    assert work.known.forget(key(Leaf())) is True


def test_behind_a_command_the_claim_is_made_here(begin: Begin, cache: Cache) -> None:
    """It may start hours later; the job continues the claim, and the logs are those of the attempt."""
    work = begin(Leaf(), commands={key(Leaf()): Prefix(("nice", "{task_id}"))})
    ticket = Ticket(key(Leaf()), 1)

    assert work.claim(ticket) is None
    folder = Path(cache.store.log_path(Leaf()._taskproc.place, "stdout")).parent
    assert (folder / "claim.1").exists()
    job = work.job(ticket)

    assert isinstance(job, PrefixedJob)
    assert job.command == ("nice", str(Leaf().task_id))
    assert (job.stdout.name, job.stderr.name) == ("stdout_caller.1.txt", "stderr_caller.1.txt")
    assert isinstance(work.close(ticket, job()), Stored)
    assert (folder / "result.1.pkl.gz").exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors cannot be counted")
def test_a_task_behind_a_command_leaves_no_descriptor_open(begin: Begin) -> None:
    """Nor does a running one: the claim is continued by its number, so thousands may wait at a time."""
    leaves = [Leaf(str(number)) for number in range(20)]
    work = begin(Join(*leaves), commands={key(leaf): Prefix(("nice",)) for leaf in leaves})
    work.claim(Ticket(key(leaves[0]), 1))
    jobs = [work.job(Ticket(key(leaves[0]), 1))]  # the first one opens what the run keeps open
    before = sorted(os.listdir("/proc/self/fd"))

    for number, leaf in enumerate(leaves[1:], 2):
        assert work.claim(Ticket(key(leaf), number)) is None
        jobs.append(work.job(Ticket(key(leaf), number)))

    assert all(isinstance(job, PrefixedJob) for job in jobs)
    assert before == sorted(os.listdir("/proc/self/fd"))


def test_a_claim_behind_a_command_may_find_it_done(begin: Begin) -> None:
    """Then no command starts."""
    work = begin(Leaf(), commands={key(Leaf()): Prefix(())})
    run(Leaf())

    assert work.claim(Ticket(key(Leaf()), 1)) == Fresh(work.known.in_use[key(Leaf())].record.stamp)


def test_claims_that_were_not_started_are_given_up(begin: Begin, cache: Cache) -> None:
    """When the run ends."""
    work = begin(Leaf(), commands={key(Leaf()): Prefix(())})
    work.claim(Ticket(key(Leaf()), 1))

    work.end()
    work.end()

    folder = Path(cache.store.log_path(Leaf()._taskproc.place, "stdout")).parent
    assert {path.name for path in folder.iterdir()} == {"args.json", "failed.1"}
