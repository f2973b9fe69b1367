"""Laws of reporting: each watcher gets every event, and none can affect the run."""
from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskproc.kernel.model import Event
from taskproc.watch.stream import Outline, Stream
from tests.pace import limit

DONE = Event("done", "a", {"seconds": 1.0})


class Listener:
    """Stores the events that it gets; raises where it is asked to."""

    def __init__(self, *raises: str):
        self.heard: list[str] = []
        self._raises = raises

    def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
        self.heard.append(f"{event.kind} {name} {text()}")
        if "tell" in self._raises:
            raise ValueError("no ears")

    def close(self) -> None:
        self.heard.append("close")
        if "close" in self._raises:
            raise ValueError("no door")


def test_it_is_known_whether_anybody_is_told() -> None:
    """`is_watched` is false when all watchers were dropped."""
    stream = Stream([Listener("tell")])
    assert (stream.is_watched, Stream([]).is_watched) == (True, False)

    stream.tell(DONE, "m.A", lambda: "A(1)")

    assert not stream.is_watched


def test_each_watcher_hears_everything() -> None:
    """All watchers get the same events, and are closed once."""
    one, other = Listener(), Listener()
    stream = Stream([one, other])

    stream.tell(DONE, "m.A", lambda: "A(1)")
    stream.close()
    stream.close()

    assert ["done m.A A(1)", "close"] == one.heard == other.heard


def test_a_watcher_that_raises_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """A watcher that raises is closed with one warning and gets no more events; the others go on."""
    broken, other = Listener("tell", "close"), Listener()
    stream = Stream([broken, other])

    with caplog.at_level(logging.WARNING, "taskproc"):
        stream.tell(DONE, "m.A", lambda: "A(1)")
        stream.tell(DONE, "m.A", lambda: "A(2)")
        stream.close()

    assert ["done m.A A(1)", "close"] == broken.heard
    assert ["done m.A A(1)", "done m.A A(2)", "close"] == other.heard
    assert ["Listener raised ValueError: no ears; it gets no more events, the run goes on"] == caplog.messages


def test_all_are_closed_though_one_raises(caplog: pytest.LogCaptureFixture) -> None:
    """All watchers are closed, also if closing one raises."""
    broken, other = Listener("close"), Listener()

    with caplog.at_level(logging.WARNING, "taskproc"):
        Stream([broken, other]).close()

    assert ["close"] == other.heard
    assert ["Listener raised ValueError at the end: no door"] == caplog.messages


def test_an_interrupt_is_not_a_watchers_fault() -> None:
    """Ctrl-C in a watcher ends the run, as anywhere else."""

    class Interrupted(Listener):
        def tell(self, event: Event[Any], name: str, text: Callable[[], str]) -> None:
            raise KeyboardInterrupt

    stream = Stream([Interrupted()])

    with pytest.raises(KeyboardInterrupt):
        stream.tell(DONE, "m.A", lambda: "A(1)")


def test_who_wants_it_gets_the_outline() -> None:
    """Watchers with a `begin` get the outline before any event; the others need none."""

    class Beginner(Listener):
        def begin(self, outline: Outline) -> None:
            self.heard.append(f"begin {outline.totals}")

    one, other = Beginner(), Listener()
    stream = Stream([one, other])

    stream.begin(Outline({"m.A": 1}, dict))
    stream.close()

    assert (["begin {'m.A': 1}", "close"], ["close"]) == (one.heard, other.heard)


def test_who_raises_at_the_beginning_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """A watcher whose `begin` raises is dropped."""

    class Broken(Listener):
        def begin(self, outline: Outline) -> None:
            raise ValueError("no")

    stream = Stream([Broken()])
    with caplog.at_level(logging.WARNING, "taskproc"):
        stream.begin(Outline({}, dict))

    assert not stream.is_watched
    assert ["Broken raised ValueError: no; it gets no more events, the run goes on"] == caplog.messages


def test_the_examples_of_the_document_run(tmp_path: Path) -> None:
    """The examples of docs/watching.md run in their order."""
    root = Path(__file__).resolve().parents[2]
    text = (root / "docs" / "watching.md").read_text("utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    environ = {**os.environ, "PYTHONPATH": str(root)}
    (tmp_path / "script.py").write_text(code, "utf-8")

    words = [sys.executable, "script.py"]
    done = subprocess.run(
        words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=limit(100), check=False
    )

    assert ("0 left, 0 failed\n", "") == (done.stdout, done.stderr)
    kinds = [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert ["begin", "stale", "started", "done", "end"] == kinds
