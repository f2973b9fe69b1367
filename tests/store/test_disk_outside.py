"""Results outside the process and the folder they were made in: read by hand, moved, loaded by other programs."""
from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faults import (
    PLACE,
    Runs,
    claimed,
    facts,
    publish,
)

from taskproc.store.disk import DiskStore
from taskproc.store.version import Version


@pytest.fixture
def result(runs: Runs) -> Version:
    """A small result, beside files and with a need."""
    return publish(runs.begin(), {"answer": 42})


def test_a_result_can_be_read_by_hand(result: Version) -> None:
    """`gzip -dc FILE` is the pickle and nothing else, and so is what Python's gzip reads."""
    plain = subprocess.run(["gzip", "-dc", result.path], check=True, capture_output=True).stdout

    assert {"answer": 42} == pickle.loads(plain)
    with gzip.open(result.path) as file:
        assert {"answer": 42} == pickle.load(file)
    with gzip.open(result.path) as file:
        assert plain == file.read()


def test_a_result_can_be_verified_by_hand(result: Version) -> None:
    """The record has the digest of the payload; the value half of the stamp is that of the pickle."""
    payload = Path(result.path).read_bytes()[result.head : result.size]
    plain = subprocess.run(["gzip", "-dc", result.path], check=True, capture_output=True).stdout

    assert hashlib.sha256(payload).hexdigest() == result.digest
    assert hashlib.sha256(plain).hexdigest() == result.record.stamp.value


def test_the_level_decides_about_size_only(runs: Runs) -> None:
    """0 stores, 9 makes small; the value is the same."""
    store = runs.begin()
    sizes = []
    for level in (0, 9):
        attempt = claimed(store)
        version = attempt.commit(b"a" * 10_000, type(facts())("", {}, level=level))
        assert version is not None
        assert b"a" * 10_000 == store.load(version)
        sizes.append(os.path.getsize(version.path))

    assert sizes[0] > 10_000 > 2_000 > sizes[1]


def test_paths_move_with_the_cache(runs: Runs, tmp_path: Path) -> None:
    """A path below the cache is loaded as one below wherever the cache is now; others stay as they are."""
    store = runs.begin()
    attempt = claimed(store)
    file = attempt.directory / "file.txt"
    file.write_text("content")
    attempt.commit({"in": [file], "out": Path("/elsewhere/x"), "near": Path(store.root + "-2")}, facts())
    runs.close()
    shutil.move(store.root, tmp_path / "moved")

    moved = DiskStore(str(tmp_path / "moved"))
    (version,) = moved.look(PLACE)
    value: Any = moved.load(version)

    assert "content" == value["in"][0].read_text()
    assert tmp_path / "moved" in value["in"][0].parents
    assert [Path("/elsewhere/x"), Path(store.root + "-2")] == [value["out"], value["near"]]


SCRIPT = """
import sys
from taskproc.store.version import Facts
from taskproc.store.layout import Place
from taskproc.store.disk import DiskStore

class Point:
    def __init__(self, x):
        self.x = x

def double(x):
    return 2 * x

if __name__ == "__main__":
    store, place = DiskStore(sys.argv[1], "token"), Place("script.Task", 1, "key")
    found = next(store.look(place), None)
    if found is None:
        attempt = store.claim(place, lambda: "{}", lambda versions: None)
        attempt.commit([Point(7), double, Point, lambda x: x + 1], Facts("", {}))
    else:
        point, function, cls, local = store.load(found)
        assert isinstance(point, Point) and cls is Point and function is double and local(point.x) == 8
        print("loaded")
"""

READER = """
import sys
from taskproc.store.layout import Place
from taskproc.store.disk import DiskStore

store, place = DiskStore(sys.argv[1]), Place("script.Task", 1, "key")
point, function, cls, local = store.load(next(store.look(place)))
import script
assert type(point) is script.Point is cls and function is script.double and local(point.x) == 8
print("loaded")
"""


@pytest.mark.slow
def test_what_a_script_stored_is_found_by_its_real_name(tmp_path: Path) -> None:
    """Objects of `__main__` are the script's own classes in the next run, and the module's where it is imported."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "reader.py").write_text(READER)

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments, str(tmp_path / "cache")]
        paths = [str(tmp_path), *filter(None, sys.path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    assert ["", "loaded\n", "loaded\n", "loaded\n"] == [
        run(str(tmp_path / "script.py")),
        run(str(tmp_path / "script.py")),
        run("-m", "script"),
        run(str(tmp_path / "reader.py")),
    ]


def test_what_the_documents_show_works(result: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ways to read a result by hand, as docs/storage.md has them."""
    text = (Path(__file__).parents[2] / "docs" / "storage.md").read_text("utf-8")
    monkeypatch.chdir(Path(result.path).parent)
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(block, names)

    assert {"answer": 42} == names["value"]
    assert (PLACE.key, 1) == (names["record"]["key"], names["record"]["n"])
