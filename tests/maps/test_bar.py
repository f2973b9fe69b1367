"""A map with a bar: options of the pool, options of the bar, and unknown ones."""
from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from workers import add, odd_fails, square

from taskproc import OptionError, is_exception
from taskproc.maps.map_pool import MapResults
from taskproc.processes import pqdm as pqdm_processes
from taskproc.threads import pqdm as pqdm_threads

Bars = Callable[..., MapResults]


class Bar:
    """A bar that counts."""

    def __init__(self, iterable: Any, desc: str = "", total: int | None = None, disable: bool = False):
        self.iterable, self.desc, self.disable, self.count = iterable, desc, disable, 0
        self.total = len(iterable) if total is None and hasattr(iterable, "__len__") else total
        self.closed = False

    def __iter__(self) -> Iterator[Any]:
        for value in self.iterable:
            self.count += 1
            yield value

    def set_description(self, desc: str) -> None:
        self.desc = desc

    def close(self) -> None:
        self.closed = True


@pytest.fixture(params=["threads", pytest.param("processes", marks=pytest.mark.slow)])
def pqdm(request: pytest.FixtureRequest) -> Bars:
    """Either of them, with a bar that counts."""
    found = pqdm_threads if request.param == "threads" else pqdm_processes
    return lambda *args, **kwargs: found(*args, **{"tqdm_class": Bar, **kwargs})


def test_values_behind_a_bar(pqdm: Bars) -> None:
    """Lazily, in order, with a length if the input has one; `with` returns the same object."""
    with pqdm([1, 2, 3], square, 2) as sized, pqdm(iter([1, 2, 3]), square, n_jobs=2) as unsized:
        assert (3, False) == (len(sized), hasattr(unsized, "__len__"))  # type: ignore[arg-type]
        assert [1, 4, 9] == list(sized) == list(unsized)
        assert (3, 3) == (sized.bar.total, sized.bar.count)  # type: ignore[attr-defined]
        assert (None, 3) == (unsized.bar.total, unsized.bar.count)  # type: ignore[attr-defined]
    assert sized.bar.closed  # type: ignore[attr-defined]


def test_arguments_find_their_way(pqdm: Bars) -> None:
    """Those of the pool to the pool, all others to the bar."""
    items = [{"a": 1}, {"a": 2}]

    shown: Any = pqdm(items, add, 2, "kwargs", chunk_size=1, is_unordered=True, desc="adds", disable=True)

    assert [11, 12] == sorted(shown)
    assert ("adds", True) == (shown.desc, shown.disable)
    shown.set_description("done")
    assert "done" == shown.bar.desc


def test_exceptions_are_ignored_unless_told_otherwise(pqdm: Bars) -> None:
    """The default is that of pqdm, not that of Pool; both spellings are supported."""
    assert [False, True] == [is_exception(value) for value in pqdm([0, 1], odd_fails, 2)]
    for name in ("exception_behaviour", "exception_behavior"):
        with pytest.raises(ValueError, match="odd: 1"):
            list(pqdm([0, 1], odd_fails, 2, **{name: "immediate"}))


def test_what_nobody_knows_is_refused(pqdm: Bars) -> None:
    """By its name, with the names that there are."""
    words = r"no argument 'chunksize'\. A pool takes chunk_size,.* the bar takes desc, disable"
    with pytest.raises(OptionError, match=words):
        pqdm([1], square, 1, chunksize=3)


def test_leaving_early_ends_the_map(pqdm: Bars) -> None:
    """Also without a block."""
    numbers = itertools.count()
    shown = pqdm(numbers, square, 2)
    results = shown._results  # type: ignore[attr-defined]

    assert 0 == next(shown)
    del shown

    assert [] == list(results)
    assert next(numbers) < 10_000


def test_without_tqdm_the_remedy_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra, which is imported when it is used."""
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)

    with pytest.raises(ImportError, match=r"pip install 'taskproc\[tqdm\]'"):
        pqdm_threads([1], square, 1)


def test_the_bar_is_that_of_tqdm() -> None:
    """Unless another class is passed; its options are read from its signature."""
    auto = pytest.importorskip("tqdm.auto", reason="needs tqdm")
    file = io.StringIO()

    shown = pqdm_threads([1, 2], square, 1, file=file, desc="squares", ascii=True)

    assert [1, 4] == list(shown)
    assert isinstance(shown.bar, auto.tqdm)  # type: ignore[attr-defined]
    assert "squares: 100%" in file.getvalue()
    with pytest.raises(OptionError, match="no argument 'descr'"):
        pqdm_threads([1], square, 1, descr="x")
