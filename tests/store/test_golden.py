"""A cache of each format that was released loads for ever."""
from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from faults import Failing

from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.layout import FORMAT

GOLDEN = Path(__file__).parent / "golden"
FORMATS = [f"format-{number}" for number in range(1, FORMAT + 1)]


@pytest.fixture(scope="module")
def maker() -> Any:
    """The script that writes them, and says what a golden cache should give."""
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", FORMATS)
def test_a_golden_cache_loads(name: str, tmp_path: Path, maker: Any) -> None:
    """From a copy that cannot be written: each version, its stamps, its value, its files; nothing is damaged."""
    source = GOLDEN / name
    if not source.is_dir():
        pytest.skip(f"{source} was not written yet: python {GOLDEN / 'make.py'}")
    folder = tmp_path / "cache"
    shutil.copytree(source / "cache", folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)

    found = maker.expected(folder)

    assert json.loads((source / "expected.json").read_text("utf-8")) == found
    assert [] == list(check(DiskStore(str(folder), files=Failing(errno.EROFS, 0))))
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)


def test_what_the_script_writes_loads(tmp_path: Path, maker: Any) -> None:
    """It has what it should: values, an older version, data, a failure, an acceptance, code."""
    maker.make(tmp_path / "cache")

    found = maker.expected(tmp_path / "cache")

    by_name: dict[str, list[Any]] = {}
    for each in found.values():
        by_name.setdefault(each["name"].rpartition(".")[2], []).append(each["versions"])
    values = {version["value"] for versions in by_name["Plain"] for version in versions}
    assert {ascii(value) for value in maker.VALUES.values()} == values
    assert [[2, 1]] == [[version["number"] for version in versions] for versions in by_name["Written"]]
    accepted = [version["accepted"] for versions in by_name["Plain"] for version in versions]
    assert [[]] * (len(accepted) - 1) + [[maker.CODE]] == sorted(accepted)
    assert [[]] == by_name["Failing"]
    names = {path.name for path in (tmp_path / "cache").rglob("*")}
    assert {"failed.1", "accept.1.json", "data.1", "data.2", f"{maker.CODE}.json"} <= names
    assert not {"run", ".gitignore"} & set(os.listdir(tmp_path / "cache"))
    assert [] == list(check(DiskStore(str(tmp_path / "cache"))))
