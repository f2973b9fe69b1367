"""Savers by themselves: what they write, refuse and load."""
from __future__ import annotations

import errno
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from taskproc.batch import FileSaver, JSONLinesSaver, NpySaver, NpzSaver, SaveError
from tests.batch.kills import FORMATS, NEEDS, rows_in, saver_of
from tests.fault.points import Failure, Points, hooked

np = pytest.importorskip("numpy", reason="needs NumPy")

Make = Callable[[], FileSaver]


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    if found in NEEDS:
        module = pytest.importorskip(NEEDS[found], reason=f"needs {NEEDS[found]}")
        if found == "ZarrSaver" and not hasattr(module, "create_array"):
            pytest.skip("needs zarr 3, which needs Python 3.11")
    return found


@pytest.fixture
def make(kind: str, tmp_path: Path) -> Make:
    return lambda: saver_of(kind, tmp_path)


def loaded(saver: FileSaver) -> list[Any]:
    return [row for rows in saver.load() for row in rows]


def plain(rows: list[Any]) -> list[list[float]]:
    return [[float(x) for x in row] for row in rows]


ROWS = [[1.5, 2.0], [3.0, 4.5], [5.0, 6.0], [7.0, 8.5], [9.0, 10.0]]


def test_each_save_can_be_read_at_once(kind: str, make: Make, tmp_path: Path) -> None:
    """By who knows the format only; and the next one follows it."""
    saver = make()
    for count in range(1, len(ROWS) + 1):
        saver.save(ROWS[count - 1 : count])

        assert ROWS[:count] == rows_in(kind, tmp_path / "results")
    assert len(ROWS) == saver.saved().results


def test_another_object_goes_on(kind: str, make: Make, tmp_path: Path) -> None:
    """With what is there; nothing is the same as before."""
    make().save(ROWS[:2])
    make().save([])
    make().save(ROWS[2:])

    assert ROWS == rows_in(kind, tmp_path / "results") == plain(loaded(make()))
    assert (5, 5) == (make().saved().items, make().saved().results)


def test_nothing_is_there_at_first(make: Make) -> None:
    """And nothing is made by looking."""
    saver = make()

    assert [] == loaded(saver)
    assert 0 == saver.saved().results
    assert [] == list(saver.path.parent.iterdir())


def test_who_removes_the_results_begins_anew(kind: str, make: Make, tmp_path: Path) -> None:
    """What lies beside them counts for nothing then."""
    from taskproc.batch.savers.file_saver import remove

    make().save(ROWS)
    remove(tmp_path / "results")

    make().save(ROWS[3:])

    assert ROWS[3:] == rows_in(kind, tmp_path / "results")
    assert 2 == make().saved().results


def test_results_of_others_are_not_touched(make: Make, tmp_path: Path) -> None:
    """A file without a note is refused."""
    make().save(ROWS)
    make().note_path.unlink()

    with pytest.raises(SaveError, match=r"its progress is unknown.*Remove it, or save elsewhere"):
        make().saved()


def test_a_damaged_note_is_reported(make: Make) -> None:
    """It is not guessed."""
    make().save(ROWS)
    make().note_path.write_text("{")

    with pytest.raises(SaveError, match="cannot be read"):
        make().saved()


def test_results_that_were_changed_are_not_gone_on_with(kind: str, make: Make, tmp_path: Path) -> None:
    """If they are fewer than were saved."""
    make().save(ROWS[:2])
    if (tmp_path / "results").is_dir():
        meta = tmp_path / "results" / "zarr.json"
        meta.write_text(json.dumps({**json.loads(meta.read_text()), "shape": [1, 2]}))
    elif kind in ("NpySaver", "JSONLinesSaver"):
        with (tmp_path / "results").open("r+b") as file:
            file.truncate(10 if kind == "JSONLinesSaver" else 130)
    else:
        note = json.loads(make().note_path.read_text())
        make().note_path.write_text(json.dumps({**note, "results": 3, "base": 3}))

    with pytest.raises(ValueError, match="it was changed. Remove it"):
        make().saved()


@pytest.mark.slow
def test_a_failed_operation_loses_nothing_that_was_saved(kind: str, make: Make, tmp_path: Path) -> None:
    """The disk is full at any point of a save: the same saver, or a new one, continues after the saved results."""
    make().save(ROWS[:1])
    probe = saver_of(kind, tmp_path)
    with hooked(Points()) as points:
        probe.save(ROWS[1:2])

    failures = 0
    for at in range(1, len(points.names) + 1):
        saver, before = make(), make().saved().results
        with suppress(OSError), hooked(Failure(at, errno.ENOSPC)):  # Zarr does without some operations
            saver.save(ROWS[1:2])
            failures -= 1
        failures += 1

        now = saver.saved().results
        assert before <= now <= before + 1
        saver.save(ROWS[1:2])
        assert [ROWS[0]] + [ROWS[1]] * now == rows_in(kind, tmp_path / "results") == plain(loaded(make()))
    assert failures > 5


def test_no_folder(tmp_path: Path) -> None:
    """It is reported when the saver is created, not after the first hundred results."""
    with pytest.raises(SaveError, match="there is no folder"):
        NpySaver(tmp_path / "nowhere" / "results.npy")


def test_two_writers_are_noticed(kind: str, make: Make, tmp_path: Path) -> None:
    """Of one file; before anything is mixed."""
    one, other = make(), make()
    one.save(ROWS[:1])
    other.save(ROWS[1:2])

    with pytest.raises(SaveError, match="another saver writes to"):
        one.save(ROWS[3:])
    assert ROWS[:2] == rows_in(kind, tmp_path / "results") == plain(loaded(make()))


def test_json_lines_of_anything(tmp_path: Path) -> None:
    """What JSON can say, and numbers and arrays of NumPy; all else is refused and leaves nothing."""
    saver = JSONLinesSaver(tmp_path / "x.jsonl")
    saver.save([{"a": (1, 2)}, None, "ä\n", np.float32(0.5), np.arange(3)])

    assert [{"a": [1, 2]}, None, "ä\n", 0.5, [0, 1, 2]] == loaded(saver)
    with pytest.raises(TypeError, match="no JSON form"):
        saver.save([1, {1, 2}])
    with pytest.raises(ValueError, match="indent"):
        saver.save([[1, 2]], indent=2)
    assert 5 == len((tmp_path / "x.jsonl").read_text().splitlines()) == saver.saved().results


@pytest.mark.parametrize("rows", [[1, 2], [True, False], [1 + 2j], ["ab", "c"], [np.ones((2, 3), "f4")], [b"xy"]])
def test_types_of_npy(tmp_path: Path, rows: list[Any]) -> None:
    """Numbers, texts and arrays come back with type and shape."""
    saver = NpySaver(tmp_path / "x.npy")
    for row in rows:
        saver.save([row], dtype=np.asarray(rows).dtype)

    assert np.asarray(rows).dtype == np.load(tmp_path / "x.npy").dtype
    assert np.array_equal(rows, np.load(tmp_path / "x.npy"))


def test_a_long_npy_grows_in_place(tmp_path: Path) -> None:
    """Its header has room for the number of rows."""
    saver = NpySaver(tmp_path / "x.npy", dtype="int64")
    for first in range(0, 3000, 300):
        saver.save(range(first, first + 300))

    assert list(range(3000)) == np.load(tmp_path / "x.npy").tolist() == loaded(saver)
    assert [1000, 1000, 1000] == [len(rows) for rows in saver.load()]


@pytest.mark.parametrize(
    ("rows", "words"),
    [([0.5], "dtype int64, the next ones have float64. Pass dtype="), ([[1, 2]], "shape"), ([{}], "not numbers"),
     ([[1], [1, 2]], "shape")],
)
def test_npy_refuses_what_does_not_fit(tmp_path: Path, rows: list[Any], words: str) -> None:
    """Before anything is written."""
    saver = NpySaver(tmp_path / "x.npy")
    saver.save([1, 2])

    with pytest.raises(ValueError, match=words):
        saver.save(rows)
    assert [1, 2] == np.load(tmp_path / "x.npy").tolist()


def test_npz_of_dicts(tmp_path: Path) -> None:
    """An array for each key; numbers become wider and texts longer, but no number becomes a text."""
    saver = NpzSaver(tmp_path / "x.npz", compressed=True)
    saver.save([{"a": 1, "name": "x"}])
    saver.save([{"a": 0.5, "name": "longer"}])

    with np.load(tmp_path / "x.npz") as arrays:
        assert {"a": [1.0, 0.5], "name": ["x", "longer"]} == {name: arrays[name].tolist() for name in arrays}
    assert [{"a": 1.0, "name": "x"}, {"a": 0.5, "name": "longer"}] == loaded(saver)
    with pytest.raises(ValueError, match="had the dtype int64, the next ones have <U1"):
        saver.save([{"a": "b", "name": "c"}])
    with pytest.raises(ValueError, match="names"):
        saver.save([{"a": 1}])
    with pytest.raises(ValueError, match="alike"):
        saver.save([{"a": 1, "name": "c"}, 2])
    assert 2 == saver.saved().results


def test_hdf5_with_other_datasets(tmp_path: Path) -> None:
    """Two savers share a file; options count, texts and groups of dicts are loaded, and other datasets stay."""
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    from taskproc.batch import HDF5Saver

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["mine"] = [1, 2, 3]
    one, other = HDF5Saver(tmp_path / "x.h5", "deep/one"), HDF5Saver(tmp_path / "x.h5", dataset_name="other")
    for number in range(3):
        one.save([number], compression="gzip", append=True, dtype="float32")
        other.save([{"text": "ä" * number, "row": [number, 1]}])

    with h5py.File(tmp_path / "x.h5") as file:
        assert [1, 2, 3] == file["mine"][:].tolist()
        assert ([0, 1, 2], "gzip", "float32") == (
            file["deep/one"][:].tolist(), file["deep/one"].compression, file["deep/one"].dtype)
        assert (3, 2) == file["other/row"].shape
    assert ["", "ä", "ää"] == [row["text"] for row in loaded(HDF5Saver(tmp_path / "x.h5", "other"))]
    assert [0.0, 1.0, 2.0] == loaded(HDF5Saver(tmp_path / "x.h5", "deep/one"))


def test_parquet_of_dicts(tmp_path: Path) -> None:
    """Columns; one that the first results did not have is refused, not dropped."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    from taskproc.batch import ParquetSaver

    saver = ParquetSaver(tmp_path / "x.parquet")
    saver.save([{"a": 1, "b": "x"}], compression="gzip")
    saver.save([{"a": 2, "b": None}, {"a": 3, "b": "y"}])

    assert {"a": [1, 2, 3], "b": ["x", None, "y"]} == parquet.read_table(tmp_path / "x.parquet").to_pydict()
    assert [{"a": 1, "b": "x"}, {"a": 2, "b": None}, {"a": 3, "b": "y"}] == loaded(saver)
    with pytest.raises(ValueError, match=r"the next ones have \['c'\]"):
        ParquetSaver(tmp_path / "x.parquet").save([{"a": 1, "c": 2}])
    with pytest.raises(ValueError, match="alike"):
        saver.save([4])
    with pytest.raises(ValueError, match="0.5"):
        saver.save([{"a": 0.5, "b": "z"}])


def test_zarr_chunks_and_options(tmp_path: Path) -> None:
    """As many rows as the first results have by default; a part of a chunk grows."""
    zarr = pytest.importorskip("zarr", minversion="3", reason="needs zarr 3")
    from taskproc.batch import ZarrSaver

    saver = ZarrSaver(tmp_path / "x.zarr")
    saver.save([0, 0, 0], dtype="int32", chunks=(4,))
    for number in range(1, 9):
        saver.save([number])

    found = zarr.open_array(tmp_path / "x.zarr", mode="r")
    assert ([0, 0, 0, *range(1, 9)], (4,), "int32") == (found[:].tolist(), found.chunks, found.dtype)


class CountingMerges(NpzSaver):
    """Counts how often the file is replaced."""

    merges = 0

    def _merge(self, *arguments: Any) -> None:
        self.merges += 1
        super()._merge(*arguments)


def test_the_journal_keeps_rewriting_rare(tmp_path: Path) -> None:
    """In a batch the file is replaced as often as its results double, not with each save."""
    saver = CountingMerges(tmp_path / "x.npz")
    saver.in_batch = True
    for number in range(65):
        saver.save([number])
    saver.finish()

    assert list(range(65)) == np.load(tmp_path / "x.npz")["results"].tolist()
    assert 8 == saver.merges


@pytest.mark.parametrize("name", ["NpySaver", "NpzSaver", "HDF5Saver", "ZarrSaver", "ParquetSaver"])
def test_what_is_not_installed_is_reported(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With its extra, when the saver is made."""
    import sys

    from taskproc import batch

    for module in ("h5py", "zarr", "pyarrow", "pyarrow.parquet", "numpy"):
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ImportError, match=r"pip install 'taskproc\[(numpy|hdf5|zarr|parquet)\]'"):
        getattr(batch, name)(tmp_path / "x")
