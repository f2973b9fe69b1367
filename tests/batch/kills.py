"""Batches that are killed at one point of saving, and their files afterwards. In children of a warm process."""
from __future__ import annotations

import itertools
import json
import mmap
import signal
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from taskproc.batch import FileSaver, ListResultHandler, Task, TaskManager
from tests.fault.forks import forked
from tests.fault.points import Death, Points, hooked

ITEMS, CHUNK, INTERVAL = 7, 3, 2  # so that pieces end within chunks
EXPECTED = [[x * 1.5, x] for x in range(ITEMS)]
FORMATS = ("NpySaver", "NpzSaver", "HDF5Saver", "ZarrSaver", "ParquetSaver", "JSONLinesSaver")
NEEDS = {"HDF5Saver": "h5py", "ZarrSaver": "zarr", "ParquetSaver": "pyarrow"}


class Pair(Task[int, Any]):
    """Gives two numbers for one."""

    def process_item(self, item: int, **kwargs: Any) -> list[float]:
        return [item * 1.5, item]


def saver_of(kind: str, folder: Path) -> FileSaver:
    from taskproc import batch

    made: FileSaver = getattr(batch, kind)(folder / "results")
    return made


def rows_in(kind: str, path: Path) -> list[list[float]]:
    """What anybody reads there, who knows the format only; of a text, the whole lines."""
    if not path.exists():
        return []
    return [[float(x) for x in row] for row in _READERS[kind](path)]


def _hdf5(path: Path) -> Any:
    import h5py

    with h5py.File(path, "r") as file:
        return file["results"][:]


def _npz(path: Path) -> Any:
    import numpy as np

    with np.load(path) as arrays:
        return arrays["results"]


def _npy(path: Path) -> Any:
    import numpy as np

    return np.load(path)


def _zarr(path: Path) -> Any:
    import zarr

    return zarr.open_array(path, mode="r")[:]


def _parquet(path: Path) -> Any:
    import pyarrow.parquet as parquet

    return parquet.read_table(path)["result"].to_pylist()


def _lines(path: Path) -> Any:
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


_READERS: dict[str, Callable[[Path], Any]] = {
    "NpySaver": _npy, "NpzSaver": _npz, "HDF5Saver": _hdf5, "ZarrSaver": _zarr, "ParquetSaver": _parquet,
    "JSONLinesSaver": _lines,
}


class Counting(ListResultHandler):
    """Counts what is saved where another process sees it."""

    def __init__(self, counter: mmap.mmap):
        super().__init__()
        self.counter = counter

    def add_chunk(self, results: Sequence[Any]) -> None:
        super().add_chunk(results)
        self.counter[0] += len(results)


def run(kind: str, folder: Path, points: Points, counter: mmap.mmap) -> list[str]:
    """The batch; the operations that it met."""
    manager = TaskManager(Pair, Counting(counter))
    with hooked(points):
        manager.submit_tasks(range(ITEMS), CHUNK, saver_of(kind, folder), save_interval=INTERVAL)
    return points.names


def judge(kind: str, folder: Path, promised: int) -> list[str]:
    """Faults in the files of a killed batch, of which `promised` results were reported as saved."""
    wrong: list[str] = []
    seen = rows_in(kind, folder / "results")
    if seen != EXPECTED[: len(seen)]:
        wrong.append(f"what can be read is no beginning of the results: {seen}")
    saver = saver_of(kind, folder)
    saved = saver.saved()
    kept = list(itertools.chain.from_iterable(saver.load()))
    if saved.results < promised:
        wrong.append(f"{promised} results were said to be saved, {saved} are there")
    if [[float(x) for x in row] for row in kept] != EXPECTED[: saved.results]:
        wrong.append(f"{saved} is told, {kept} is loaded")
    if rows_in(kind, folder / "results") != EXPECTED[: saved.results]:
        wrong.append(f"{saved} is told, the file has {rows_in(kind, folder / 'results')}")
    manager = TaskManager(Pair)
    manager.submit_tasks(range(ITEMS), CHUNK, saver_of(kind, folder), save_interval=INTERVAL, resume=True)
    if [[float(x) for x in row] for row in manager.get_results()] != EXPECTED:
        wrong.append(f"the handler has {manager.get_results()}")
    if rows_in(kind, folder / "results") != EXPECTED:
        wrong.append(f"the file has {rows_in(kind, folder / 'results')}")
    left = {path.name for path in folder.iterdir()}
    if not left <= {"results", saver.note_path.name}:
        wrong.append(f"left behind: {sorted(left)}")
    return wrong


def killed_everywhere(kind: str, folder: Path, part: int, parts: int) -> tuple[int, list[str]]:
    """Kill before each operation of a batch, and half way through each write; how many kills, and all faults.

    Only each `parts`-th of them, from the one with the number `part`.
    """
    (folder / "whole").mkdir()
    saver_of(kind, folder)  # so that all children have its modules
    if kind == "ParquetSaver" and find_spec("pandas"):
        import pandas  # noqa: F401  # which Arrow asks for
    counter = mmap.mmap(-1, mmap.PAGESIZE)
    names = forked(run, kind, folder / "whole", Points(), counter).value()
    deaths = [(at, "before") for at in range(1, len(names) + 1)]
    deaths += [(at, "half") for at, name in enumerate(names, 1) if name == "write"]
    faults: list[str] = []
    for at, when in deaths[part::parts]:
        place = folder / f"{at}-{when}"
        place.mkdir()
        counter[0] = 0
        ended = forked(run, kind, place, Death(at, when), counter)
        title = f"{kind}, killed {when} operation {at}, {names[at - 1]}: "
        if ended.code != -signal.SIGKILL:
            faults.append(f"{title}exit code {ended.code}: {ended.answer}")
            continue
        faults += [title + fault for fault in forked(judge, kind, place, counter[0]).value()]
    return len(deaths[part::parts]), faults
