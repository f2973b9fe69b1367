"""A result whose code was read in an older way is distinguished from one of other code, and stays fresh if possible."""
from __future__ import annotations

import importlib.util
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from taskproc.cli.main import main
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.store.rules import make_key_file
from taskproc.tasks.explaining import accept
from taskproc.tasks.task import Task
from taskproc.tasks.task_code import fingerprint
from tests.tasks.attempts import Leaf, Tens, job_of

GOLDEN = Path(__file__).parent.parent / "store" / "golden"
OLD = "0" * 32
LOOKED_AT = "taskproc has changed the way it reads code"


def make_as_before(task: Any, edit: tuple[str, str] = ("", ""), **more: str) -> None:
    """Store a result of `task` in an older format, made by code without `edit`."""
    job_of(task, code=OLD, rules=task._taskproc.cache.store.rules)()
    found = fingerprint(type(task))
    items = {item: value[::-1] for item, value in found.items.items()}
    texts = {item: text.replace(*edit) for item, text in found.texts.items()}
    place = task._taskproc.place
    content = {"items": {**items, **more}, "texts": {**texts, **more}, "untracked": []}
    task._taskproc.cache.store.keep_code(place.name, OLD, content)


def run(task: Any, caplog: pytest.LogCaptureFixture) -> tuple[int, list[str]]:
    """How many tasks ran, and what was logged."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="taskproc"):
        _, stats = task.run_graph(executor=LocalExecutor())
    return sum(stats["stats"].values()), [record.getMessage() for record in caplog.records]


def test_what_has_not_changed_is_kept(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    """Automatically and permanently; the run reports it in one line, however many results there are."""
    for number in range(3):
        make_as_before(Leaf(number))
    make_as_before(Tens(Leaf(0)))

    count, lines = run(Tens(Leaf(0)), caplog)

    assert (count, len(lines)) == (0, 1)
    assert lines[0].startswith(LOOKED_AT)
    assert "taskproc accept" in lines[0]
    assert run(Tens(Leaf(0)), caplog) == (0, [])


@pytest.mark.parametrize("change", [{"edit": ("return", "return 1 or")}, {"gone:f": "def f(): pass\n"}])
def test_the_rest_runs_for_a_reason_of_its_own(
    cache: Cache, caplog: pytest.LogCaptureFixture, change: dict[str, Any]
) -> None:
    """After an edit, or if the old code is not found any more, the reason is not a changed source. Reported once."""
    make_as_before(Leaf(), **change)

    explained = str(Leaf().explain())
    count, lines = run(Leaf(), caplog)

    assert f"would run: {LOOKED_AT}\n" in explained
    assert "taskproc accept" in explained
    assert (count, [line.startswith(LOOKED_AT) for line in lines]) == (1, [True])
    assert run(Leaf(), caplog) == (0, [])


@pytest.mark.parametrize("edit", [("", ""), ("return", "return 1 or")])
def test_accepting_keeps_all(cache: Cache, caplog: pytest.LogCaptureFixture, edit: tuple[str, str]) -> None:
    """Whether changed since or not; the next run reports nothing."""
    make_as_before(Leaf(), edit)

    assert accept(Leaf()) == {Leaf.task_name: 1}
    assert run(Leaf(), caplog) == (0, [])


def test_to_look_keeps_nothing(cache: Cache) -> None:
    """`explain()` and a dry run write no file."""
    make_as_before(Leaf())
    before = sorted(Path(cache.store.root).rglob("*"))

    explained = Leaf().explain()

    assert explained.fresh
    assert LOOKED_AT in str(explained)
    assert Leaf().task_is_done()
    assert not Leaf().run_graph(dry_run=True)[1]["stats"]
    assert sorted(Path(cache.store.root).rglob("*")) == before


def test_a_later_edit_is_named(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    """It is compared with the code for which the result stayed fresh."""
    class Late(Task):
        size = 1

        def run_task(self) -> int:
            return 1

    make_as_before(Late())
    run(Late(), caplog)
    Late.size = 2

    assert f"source of {__name__}:" in str(Late().explain())
    assert LOOKED_AT not in str(Late().explain())


def test_with_a_key_the_user_says_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The files in `code/` are not signed, so they cannot make a result good."""
    make_key_file(str(tmp_path / "key"))
    with Cache(tmp_path / "cache", key_file=tmp_path / "key"):
        make_as_before(Leaf())

        assert not Leaf().explain().fresh
        assert accept(Leaf()) == {Leaf.task_name: 1}
        assert run(Leaf(), caplog) == (0, [])


def test_a_cache_of_an_earlier_release_stays_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing in it runs again."""
    shutil.copytree(GOLDEN / "format-1" / "cache", tmp_path / "cache")
    spec = importlib.util.spec_from_file_location("make", GOLDEN / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "make", module)
    spec.loader.exec_module(module)

    with Cache(tmp_path / "cache"):
        count, _ = run(module.Written("numbers"), caplog)

    assert count == 0


def test_the_command_accept_is_enough(tmp_path: Path, restored: None, capsys: pytest.CaptureFixture[str]) -> None:
    """It accepts all that an update has made stale, and the next run is silent."""
    script = tmp_path / "job.py"
    script.write_text("from taskproc import Task\nclass Main(Task):\n    def run_task(self):\n        return 1\n")
    words = [str(script), "-o", str(tmp_path / "cache")]
    assert main([*words, "-t", "local"]) == 0
    (kept,) = (tmp_path / "cache").glob("job.Main/code/*.json")
    kept.write_text('{"items": {"job:gone": "1"}, "texts": {"job:gone": "x"}, "untracked": []}')
    script.write_text(script.read_text("utf-8").replace("return 1", "return 2"))
    capsys.readouterr()

    assert main(["why", *words]) == 0
    assert f"would run: {LOOKED_AT}\n" in capsys.readouterr().out
    assert main(["accept", *words]) == 0
    assert "accepted job.Main: 1 result\n" == capsys.readouterr().out
    assert main([*words, "-t", "local", "--dont-force-entrypoint"]) == 0
    assert "0 done, 1 fresh" in capsys.readouterr().err
