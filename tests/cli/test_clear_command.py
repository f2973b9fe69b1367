"""Laws of `clear` by ids alone, and for programs; test_cli_store.py has those for classes and for the trash."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from taskproc.cli.main import main
from taskproc.store.cache import Cache
from tests.cli.schema import objects
from tests.cli.terminal import on_terminal, taskproc

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def cache(script: Callable[..., str], capsys: Capture) -> str:
    """Two results of Square, and two of Main."""
    for x in (3, 4):
        assert 0 == main([script(), "-o", "cache", "-t", "local", "--x", str(x)])
    capsys.readouterr()
    return "cache"


def test_ids_of_several_classes(cache: str, environ: dict[str, str]) -> None:
    """Without their classes, as they are printed, or by the integer id; in a process, and for programs."""
    square, main_task = (Cache(cache).entries(name)[0] for name in ("Square", "Main"))

    done = taskproc(["clear", f"Square#{square.id}", str(main_task._place.id), "-o", cache, "--json"], environ)

    assert [("job.Square", square.id, 1), ("job.Main", main_task.id, 1)] == [
        (each["task"], each["id"], each["tasks"]) for each in objects(done.stdout, "clear")
    ]
    assert 2 == len(Cache(cache).entries())
    (one,) = objects(taskproc(["clear", "Main", "-o", cache, "--json"], environ).stdout, "clear")
    assert ("job.Main", None, 1) == (one["task"], one["id"], one["tasks"])


def test_an_unknown_id_clears_nothing(cache: str, capsys: Capture) -> None:
    """Not even what stands before it."""
    known = Cache(cache).entries("Square")[0].id

    assert 2 == main(["clear", known, "abcdef", "-o", cache])

    assert "the cache has no task 'abcdef'; nothing was cleared" in capsys.readouterr().err
    assert 4 == len(Cache(cache).entries())


def test_a_terminal_has_a_next_command(cache: str, environ: dict[str, str]) -> None:
    """When the trash is empty."""
    lines = on_terminal(["clear", "Main", "-o", cache], environ, 80).splitlines()

    assert "cleared job.Main: 2 tasks" == lines[0]
    assert "hint: `python -m taskproc du -o cache` shows what is left" == lines[-1]
