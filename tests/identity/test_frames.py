"""Laws of frames of pandas and polars: they differ by values, dtypes, labels and names, and are decoded."""
from __future__ import annotations

import datetime as dt
import decimal
import typing

import pytest

from taskproc.errors import UnnamableValue
from taskproc.values.encode import key_form
from tests.identity.samples import WHERE, Model, full_text, key, there_and_back


def test_frames_are_told_apart() -> None:
    """Values, dtypes, index, columns and names count."""
    pandas = pytest.importorskip("pandas")
    different = [
        pandas.DataFrame({"a": [1, 2]}), pandas.DataFrame({"b": [1, 2]}), pandas.DataFrame({"a": [1, 3]}),
        pandas.DataFrame({"a": [1.0, 2.0]}), pandas.DataFrame({"a": [1, 2]}, index=[0, 1]),
        pandas.DataFrame({"a": [1, 2]}, index=pandas.RangeIndex(2, name="n")), pandas.Series([1, 2]),
        pandas.Series([1, 2], name="a"), pandas.Series([1, 2], dtype="Int64"), pandas.Series([1, None], dtype="Int64"),
        pandas.Series([1, 0], dtype="Int64"), pandas.Series(["a", "b"], dtype="category"),
        pandas.Series(["a", "b"], dtype=object), pandas.Series(["a", "b"], dtype="string"), pandas.Index([1, 2]),
        pandas.RangeIndex(1, 3), pandas.DataFrame(), pandas.DataFrame(index=[0]), pandas.DataFrame({1: [1, 2]}),
        pandas.DataFrame({"1": [1, 2]}), pandas.NaT, pandas.NA, pandas.Timestamp(0), pandas.Timestamp(0, tz="UTC"),
        pandas.Timedelta(0), pandas.Series([pandas.Timestamp(0)]), pandas.Series([pandas.Timestamp(0, tz="UTC")]),
        pandas.MultiIndex.from_tuples([(1, 2)]), pandas.MultiIndex.from_tuples([(1, "2")]),
    ]  # fmt: skip

    assert len(different) == len({key(value) for value in different})
    with pytest.raises(UnnamableValue, match=r"^argument 'x\['b'\]\[1\]' of Train has no canonical form"):
        key_form(pandas.DataFrame({"a": [1, 2], "b": [1, Model()]}), WHERE)
    with pytest.raises(UnnamableValue, match="convert the column of dtype"):
        key_form(pandas.Series(pandas.period_range("2020", periods=2)), WHERE)


def test_polars_frames_are_told_apart() -> None:
    """Values, dtypes and names count."""
    polars = pytest.importorskip("polars")
    different = [
        polars.DataFrame({"a": [1, 2]}), polars.DataFrame({"b": [1, 2]}), polars.DataFrame({"a": [1, None]}),
        polars.DataFrame({"a": [1.0, 2.0]}), polars.Series("a", [1, 2]), polars.Series("a", [1, 2], polars.Int8),
        polars.Series("a", ["x"]), polars.Series("a", ["x"], polars.Categorical), polars.Series("a", [[1]]),
        polars.Series("a", ["x"], polars.Enum(["x"])), polars.Series("a", ["x"], polars.Enum(["x", "y"])),
        polars.Series("a", [5]).cast(polars.Datetime("ns")), polars.Series("a", [6]).cast(polars.Datetime("ns")),
        polars.Series("a", [float("nan")]), polars.Series("a", [None], polars.Float64), polars.DataFrame(),
    ]  # fmt: skip

    assert len(different) == len({key(value) for value in different})
    with pytest.raises(UnnamableValue, match="LazyFrame"):
        key_form(polars.DataFrame({"a": [1]}).lazy(), WHERE)
    with pytest.raises(UnnamableValue, match=r"^argument 'x\['o'\]' of Train"):
        key_form(polars.DataFrame({"o": polars.Series([Model()], dtype=polars.Object)}), WHERE)


def test_pandas() -> None:
    """Frames, series, indexes and scalars are decoded with dtypes, index and names."""
    pandas = pytest.importorskip("pandas")
    hours = pandas.date_range("2020-10-25", periods=3, freq="h", tz="Europe/Berlin", name="when")
    frame = pandas.DataFrame(
        {
            "i": [1, 2, 3], "o": pandas.Series([(1,), None, "c"], dtype=object), "t": hours.tz_localize(None),
            "z": hours, "c": pandas.Categorical(["b", "a", None], ["b", "a"], ordered=True),
            "n": pandas.array([1, None, 3], dtype="Int64"), "f": pandas.array([1.5, None, 0], dtype="Float32"),
            "b": pandas.array([True, None, False], dtype="boolean"), "s": pandas.array(["x", None, ""], dtype="string"),
            7: ["p", "q", "r"],
        }
    )  # fmt: skip
    frame.attrs["unit"] = ("m",)
    many = pandas.MultiIndex.from_tuples([(1, "a"), (2, "b"), (2, "c")], names=["n", None])
    twice = pandas.DataFrame([[1, "a"], [2, "b"]], columns=["x", "x"])
    empty = [pandas.DataFrame(), pandas.DataFrame(index=[5])]
    for value in (frame, frame.set_index(many), frame.set_index("z"), twice, *empty):
        back = typing.cast("typing.Any", there_and_back(value))

        pandas.testing.assert_frame_equal(value, back, check_freq=True, check_column_type="exact")
        assert value.attrs == back.attrs
        assert full_text(value) == full_text(back)
    for column in frame.columns:
        pandas.testing.assert_series_equal(frame[column], there_and_back(frame[column]))
    for index in (hours, many, pandas.RangeIndex(1, 9, 2), pandas.Index(["a", 1]), pandas.CategoricalIndex(["a", "b"])):
        back = there_and_back(index)

        pandas.testing.assert_index_equal(index, back, exact=True)
        assert getattr(index, "freqstr", None) == getattr(back, "freqstr", None)
        assert full_text(index) == full_text(back)
    moments = [hours[1], pandas.Timestamp("2020-01-01 00:00:00.000000001"), pandas.Timedelta("1ns")]
    for scalar in (*moments, pandas.NaT, pandas.NA):
        back = there_and_back(scalar)

        assert type(scalar) is type(back)
        assert full_text(scalar) == full_text(back)
        assert str(scalar) == str(back)


def test_polars() -> None:
    """Frames and series are decoded with their dtypes and names."""
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {
            "i": [1, None], "f": [float("nan"), None], "s": ["a", None], "b": [b"x", b""], "l": [[1], [2, None]],
            "n": polars.Series([5, None]).cast(polars.Datetime("ns", "Europe/Berlin")),
            "d": [decimal.Decimal("1.10"), None], "t": [dt.time(1, 2), None], "day": [dt.date(2020, 1, 1), None],
            "u": [dt.timedelta(1), None], "r": [{"x": 1, "y": dt.datetime(2020, 1, 1)}, {"x": 2, "y": None}],
            "c": polars.Series(["v", "u"], dtype=polars.Categorical), "z": [None, None],
            "e": polars.Series(["v", None], dtype=polars.Enum(["u", "v"])),
            "a": polars.Series([[1, 2], [3, 4]], dtype=polars.Array(polars.Int8, 2)),
        }
    )  # fmt: skip
    for value in (frame, polars.DataFrame(), frame.clear()):
        back = typing.cast("typing.Any", there_and_back(value))

        assert value.schema == back.schema
        assert value.equals(back)
        assert full_text(value) == full_text(back)
    assert frame["l"].equals(there_and_back(frame["l"]), check_names=True, check_dtypes=True)


def test_long_columns_are_digests() -> None:
    """A column that is too long for JSON is refused by `decode`."""
    pandas = pytest.importorskip("pandas")
    value = pandas.DataFrame({"a": ["text"] * 20_000})

    assert len(full_text(value)) < 1000
    with pytest.raises(UnnamableValue, match="only a digest"):
        there_and_back(value)
