"""Laws of NumPy values: they differ by dtype, shape and content, and are decoded."""
from __future__ import annotations

import typing

import pytest

from taskproc.errors import UnnamableValue
from taskproc.values.encode import key_form
from tests.identity.samples import WHERE, Model, full_text, key, there_and_back


def test_numpy_values_are_told_apart() -> None:
    """dtype, shape, bytes and being an array count; memory order does not."""
    numpy = pytest.importorskip("numpy")
    one = numpy.float64(1)
    grid = numpy.arange(6).reshape(2, 3)
    different = [
        1.0, one, numpy.float32(1), numpy.int64(1), numpy.array(1.0), numpy.array([1.0]), numpy.array([[1.0]]),
        [1.0], numpy.bool_(True), numpy.str_("1"), "1", numpy.array([1.0], ">f8"), numpy.array([1.0], object),
        numpy.array([1], object), numpy.array([True], object), numpy.array(["a"] * 99, object),
        numpy.array(["a"] * 98 + ["b"], object),
        numpy.dtype("f8"), numpy.dtype("f4"), numpy.float64,
        numpy.zeros(1000), numpy.zeros(1001), numpy.zeros(1000, "i8"), numpy.str_("1\0"), numpy.bytes_(b"1"), b"1",
        numpy.datetime64(1, "s"), numpy.datetime64(1, "ms"), numpy.timedelta64(1, "s"), numpy.array(["1"]), numpy.mean,
        numpy.sin, numpy.zeros(1, [("a", "i4")]), numpy.zeros(1, [("b", "i4")]), grid, grid.T, grid.ravel(),
    ]  # fmt: skip

    assert len(different) == len({key(value) for value in different})
    assert key(grid) == key(numpy.asfortranarray(grid)) == key(numpy.arange(12).reshape(2, 6)[:, ::2] // 2)


def test_padding_is_no_part_of_an_array() -> None:
    """Padding between fields, and in a long double, is not part of a key."""
    numpy = pytest.importorskip("numpy")
    dtype = numpy.dtype([("a", "i1"), ("b", "f8")], align=True)
    long = numpy.array([1, 2], "g")
    clean, dirty = (numpy.full(dtype.itemsize * 2, fill, "u1").view(dtype) for fill in (0, 255))
    for array in (clean, dirty):
        array["a"], array["b"] = 1, 2.0
    scribbled = long.copy().view("u1").reshape(2, -1)
    if numpy.finfo("g").nmant == 63:
        scribbled[:, 10:] = 7

    assert clean.tobytes() != dirty.tobytes()
    assert key(clean) == key(dirty)
    assert key(clean[0]) == key(dirty[0])
    assert key(long) == key(scribbled.reshape(-1).view("g"))


def test_other_arrays_are_refused() -> None:
    """A subclass of ndarray is refused, because it may have more than its bytes."""
    numpy = pytest.importorskip("numpy")
    for value in (numpy.ma.masked_array([1, 2], [0, 1]), numpy.zeros(2, [("a", "i4")]).view(numpy.recarray)):
        with pytest.raises(UnnamableValue, match=r"a subclass of numpy\.ndarray"):
            key_form(value, WHERE)
    if hasattr(numpy.dtypes, "StringDType"):  # its bytes are pointers
        with pytest.raises(UnnamableValue, match="fixed-width dtype"):
            key_form(numpy.array(["a"], numpy.dtypes.StringDType()), WHERE)
    with pytest.raises(UnnamableValue, match=r"^argument 'x\[1, 0\]' of Train"):
        key_form(numpy.array([[1], [Model()]], object), WHERE)


def test_numpy() -> None:
    """Arrays of any plain dtype are decoded with it, writable; so are scalars and dtypes."""
    numpy = pytest.importorskip("numpy")
    record = numpy.dtype([("a", "i1"), ("b", "f8", (2,)), ("c", "O"), ("d", [("e", "U3")])], align=True)
    arrays = [numpy.arange(6).reshape(2, 3).T, numpy.array(1.5), numpy.zeros((0, 3), "f4"), numpy.array(["a", "bcd"])]
    arrays += [numpy.array([1, "a", None, (1,)], object), numpy.array([(1, [2, 3], "c", ("x",))], record)]
    arrays += [numpy.array(["2020", "NaT"], "M8[ns]"), numpy.array([1], ">i4"), numpy.array([1j], "c8")]
    arrays += [numpy.array([numpy.nan, -0.0]), numpy.zeros((2, 0), "U0"), numpy.array(1, object)]
    arrays += [numpy.ones(3, "g") / 3, numpy.zeros(2, "V3"), numpy.eye(2) > 0]
    for array in arrays:
        back = typing.cast("typing.Any", there_and_back(array))

        assert (numpy.ndarray, array.dtype, array.shape) == (type(back), back.dtype, back.shape)
        assert repr(array.tolist()) == repr(back.tolist())
        assert back.flags.writeable
    scalars = [numpy.float32(1.5), numpy.int8(-1), numpy.bool_(True), numpy.str_("a\0"), numpy.bytes_(b"a\0"), record]
    scalars += [numpy.datetime64("2020-01-01"), numpy.longdouble(1) / 3, arrays[5][0], numpy.dtype(("i4", 2))]
    for scalar in scalars:
        back = there_and_back(scalar)

        assert scalar == back
        assert type(scalar) is type(back)
        assert full_text(scalar) == full_text(back)
