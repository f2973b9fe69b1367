"""The forms of pandas and polars values, in both directions: the values of columns, labels, names and dtypes.

The libraries' own file formats and hashes are not used: they depend on the version, on chunks and on the storage of
text.
"""
from __future__ import annotations

import importlib
import sys
from typing import Any

from taskproc.values.forms import (
    Decoding,
    Encoding,
    Json,
    Refused,
    array_form,
    array_value,
    dtype_value,
    path_step,
    refused,
)

_MASKED = ("IntegerArray", "FloatingArray", "BooleanArray")
_INDEXES = ("Index", "RangeIndex", "MultiIndex", "DatetimeIndex", "TimedeltaIndex", "CategoricalIndex")


def pandas_form(value: Any, encoder: Encoding) -> Json:
    """A frame, series, index, or scalar of pandas."""
    pandas: Any = sys.modules["pandas"]
    kind = type(value)
    if kind is pandas.DataFrame:
        columns: list[Json] = []
        for number, label in enumerate(value.columns):
            try:
                columns.append(_column(value.iloc[:, number].array, encoder))
            except Refused as refusal:
                refusal.below(path_step(label), None)
                raise
        labels = [_index(value.columns, encoder), _index(value.index, encoder)]
        head: Json = [*labels, encoder.form(value.attrs), *_flags(value)]
        return {"__pandas__": ["DataFrame", [head, columns]]}
    if kind is pandas.Series:
        head = [encoder.form(value.name), _index(value.index, encoder), encoder.form(value.attrs), *_flags(value)]
        return {"__pandas__": ["Series", [head, _column(value.array, encoder)]]}
    if isinstance(value, pandas.Index):
        return {"__pandas__": ["Index", _index(value, encoder)]}
    if value is pandas.NaT or value is pandas.NA:
        return {"__pandas__": ["missing", "NaT" if value is pandas.NaT else "NA"]}
    if kind is pandas.Timestamp:
        return {"__pandas__": ["Timestamp", [value.unit, int(value.asm8.view("i8")), _zone(value.tz, encoder)]]}
    if kind is pandas.Timedelta:
        return {"__pandas__": ["Timedelta", [value.unit, int(value.asm8.view("i8"))]]}
    raise refused(value)


def _flags(value: Any) -> list[Json]:
    """The flags of a frame or series that are not the default."""
    return [] if value.flags.allows_duplicate_labels else [{"allows_duplicate_labels": False}]


def _index(index: Any, encoder: Encoding) -> Json:
    pandas: Any = sys.modules["pandas"]
    kind = type(index).__name__
    if kind not in _INDEXES or type(index) is not getattr(pandas, kind):
        raise refused(index, "", "use one of " + ", ".join(_INDEXES))
    names = encoder.form(list(index.names))
    if kind == "RangeIndex":
        return [kind, names, [index.start, index.stop, index.step]]
    if kind == "MultiIndex":
        columns = [_column(index.get_level_values(number).array, encoder) for number in range(index.nlevels)]
        return [kind, names, columns, *_levels(index, encoder)]
    # A frequency is not part of equality, but it determines the result of `shift`
    return [kind, names, [_column(index.array, encoder), getattr(index, "freqstr", None)]]


def _levels(index: Any, encoder: Encoding) -> list[Json]:
    """The levels, if they are not those of the values: some are unused, or order `unstack` in another way."""
    usual = type(index).from_arrays([index.get_level_values(number) for number in range(index.nlevels)])
    if all(map(_is_same_level, index.levels, usual.levels)):
        return []
    return [[_column(level.array, encoder) for level in index.levels]]


def _is_same_level(one: Any, other: Any) -> bool:
    return bool(one.dtype == other.dtype and one.equals(other))


def _column(array: Any, encoder: Encoding) -> Json:
    pandas: Any = sys.modules["pandas"]
    numpy: Any = sys.modules["numpy"]
    dtype, kind = array.dtype, type(array).__name__
    if isinstance(dtype, numpy.dtype) or type(array) is pandas.arrays.NumpyExtensionArray:
        return ["numpy", array_form(array.to_numpy(), encoder)]
    if isinstance(dtype, pandas.CategoricalDtype):
        return ["category", [_index(dtype.categories, encoder), bool(dtype.ordered), array_form(array.codes, encoder)]]
    if isinstance(dtype, pandas.DatetimeTZDtype):
        return ["zoned", [dtype.unit, _zone(dtype.tz, encoder), array_form(array.asi8, encoder)]]
    if isinstance(dtype, pandas.StringDtype):
        missing = "NA" if dtype.na_value is pandas.NA else "nan"
        texts = [None if gone else text for text, gone in zip(array.tolist(), array.isna().tolist(), strict=True)]
        # The storage of text depends on whether PyArrow is installed; a key must not
        storage: Json = None if encoder.for_key and not encoder.exact else dtype.storage
        return ["string", [missing, storage, encoder.bulk((f"[{at}]", text) for at, text in enumerate(texts))]]
    if kind in _MASKED and hasattr(dtype, "numpy_dtype"):
        values = array.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.numpy_dtype.type(0))
        return [kind, [array_form(values, encoder), array_form(array.isna(), encoder)]]
    raise refused(array, "", f"convert the column of dtype {dtype.name!r} to a dtype of NumPy")


def _zone(zone: Any, encoder: Encoding) -> Json:
    """The name of a time zone of zoneinfo or pytz (pandas 2); else the form of the object."""
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)
    return name if type(name) is str else encoder.form(zone)


def pandas_value(body: Any, decoder: Decoding) -> object:
    """The value of a form that `pandas_form` made."""
    pandas: Any = importlib.import_module("pandas")
    numpy: Any = importlib.import_module("numpy")
    kind, content = body
    if kind == "Index":
        return _to_index(content, decoder)
    if kind == "missing":
        return pandas.NaT if content == "NaT" else pandas.NA
    if kind == "Timedelta":
        return pandas.Timedelta(numpy.timedelta64(content[1], content[0]))
    if kind == "Timestamp":
        unit, count, zone = content
        moment = pandas.Timestamp(numpy.datetime64(count, unit))
        return moment if zone is None else moment.tz_localize("UTC").tz_convert(_to_zone(zone, decoder))
    (name, index, attributes, *flags), values = content
    rows = _to_index(index, decoder)
    if kind == "Series":
        made = pandas.Series(_to_column(values, decoder), index=rows, name=decoder.value(name), copy=False)
    else:
        made = pandas.DataFrame(dict(enumerate(_to_column(column, decoder) for column in values)), rows)
        made.columns = _to_index(name, decoder)
    made.attrs = decoder.value(attributes)
    return made.set_flags(**flags[0]) if flags else made


def _to_index(form: Any, decoder: Decoding) -> Any:
    pandas: Any = importlib.import_module("pandas")
    kind, names, content = form[0], decoder.value(form[1]), form[2]
    if kind not in _INDEXES:
        raise ValueError(f"unknown index {kind!r}")
    if kind == "RangeIndex":
        return pandas.RangeIndex(*content, name=names[0])
    if kind == "MultiIndex":
        made = pandas.MultiIndex.from_arrays([_to_column(column, decoder) for column in content], names=names)
        return _with_levels(made, form[3], decoder) if form[3:] else made
    values, frequency = content
    if frequency is not None:
        return getattr(pandas, kind)(_to_column(values, decoder), freq=frequency, name=names[0])
    return pandas.Index(_to_column(values, decoder), name=names[0], tupleize_cols=False)


def _with_levels(index: Any, forms: Any, decoder: Decoding) -> Any:
    """The index with the same values and other levels."""
    pandas: Any = importlib.import_module("pandas")
    levels = [pandas.Index(_to_column(form, decoder)) for form in forms]
    codes = [level.get_indexer(index.get_level_values(number)) for number, level in enumerate(levels)]
    return pandas.MultiIndex(levels, codes, names=index.names)


def _to_column(form: Any, decoder: Decoding) -> Any:
    pandas: Any = importlib.import_module("pandas")
    kind, content = form
    if kind == "numpy":  # as an extension array, so that pandas 3 does not take objects for text
        return pandas.array(array_value(content, decoder), dtype=dtype_value(content["dtype"], decoder), copy=False)
    if kind == "category":
        categories, ordered, codes = content
        labels = _to_index(categories, decoder)
        return pandas.Categorical.from_codes(array_value(codes, decoder), labels, ordered=ordered)
    if kind == "zoned":
        unit, zone, counts = content
        plain = pandas.Series(array_value(counts, decoder).view(f"M8[{unit}]"))
        return plain.dt.tz_localize("UTC").dt.tz_convert(_to_zone(zone, decoder)).array
    if kind == "string":
        missing, storage, texts = content
        return pandas.array(decoder.bulk(texts), dtype=_string_dtype(missing, storage))
    if kind in _MASKED:
        return getattr(pandas.arrays, kind)(*(array_value(part, decoder) for part in content))
    raise ValueError(f"unknown column {kind!r}")


def _string_dtype(missing: str, storage: str | None) -> Any:
    pandas: Any = importlib.import_module("pandas")
    return pandas.StringDtype(storage) if missing == "NA" else pandas.StringDtype(storage, na_value=float("nan"))


def _to_zone(form: Any, decoder: Decoding) -> Any:
    return form if isinstance(form, str) else decoder.value(form)


_DETAILS = {"Datetime": ("time_unit", "time_zone"), "Duration": ("time_unit",), "Decimal": ("precision", "scale")}
_SIMPLE = frozenset(
    (
        "Boolean Int8 Int16 Int32 Int64 Int128 UInt8 UInt16 UInt32 UInt64 Float32 Float64 "
        "String Binary Date Time Null"
    ).split()
)


def polars_form(value: Any, encoder: Encoding) -> Json:
    """A frame or series of polars; lazy ones are refused."""
    polars: Any = sys.modules["polars"]
    if type(value) is polars.DataFrame:
        series: list[Json] = []
        for column in value.get_columns():
            try:
                series.append(_series(column, encoder))
            except Refused as refusal:
                refusal.below(path_step(column.name), None)
                raise
        return {"__polars__": ["DataFrame", [value.height, series]]}
    if type(value) is polars.Series:
        return {"__polars__": ["Series", _series(value, encoder)]}
    raise refused(value)


def _series(series: Any, encoder: Encoding) -> Json:
    dtype = _polars_dtype(series.dtype, encoder)
    items = _physical(series, series.dtype.base_type().__name__).to_list()
    return [encoder.form(series.name), dtype, encoder.bulk((f"[{at}]", item) for at, item in enumerate(items))]


def _physical(series: Any, kind: str) -> Any:
    """Times as integers, because Python's have no nanoseconds; categories as text, because their codes vary."""
    polars: Any = importlib.import_module("polars")
    if kind in ("Categorical", "Enum"):
        return series.cast(polars.String)
    return series if kind == "Decimal" else series.to_physical()


def _polars_dtype(dtype: Any, encoder: Encoding, top: bool = True) -> Json:
    kind: str = dtype.base_type().__name__
    if kind in _SIMPLE:
        return kind
    if kind == "List":
        return [kind, _polars_dtype(dtype.inner, encoder, top=False)]
    if kind == "Array":
        return [kind, _polars_dtype(dtype.inner, encoder, top=False), dtype.size]
    if kind == "Struct":
        fields = ((encoder.form(field.name), _polars_dtype(field.dtype, encoder, top=False)) for field in dtype.fields)
        return [kind, [[*field] for field in fields]]
    if kind in ("Datetime", "Duration") or (kind == "Decimal" and top):
        return [kind, [getattr(dtype, name) for name in _DETAILS[kind]]]
    if top and kind == "Enum":
        return [kind, encoder.form(dtype.categories.to_list())]
    if top and kind == "Categorical":
        return kind
    raise refused(dtype, "", "convert the column to another dtype")


def polars_value(body: Any, decoder: Decoding) -> object:
    """The value of a form that `polars_form` made."""
    polars: Any = importlib.import_module("polars")
    kind, content = body
    if kind == "Series":
        return _to_series(content, decoder)
    height, series = content
    columns = [_to_series(column, decoder) for column in series]
    return polars.DataFrame(columns) if columns else polars.DataFrame(height=height) if height else polars.DataFrame()


def _to_series(form: Any, decoder: Decoding) -> Any:
    polars: Any = importlib.import_module("polars")
    dtype = _to_polars_dtype(form[1], decoder)
    physical = _physical(polars.Series([], dtype=dtype), dtype.base_type().__name__).dtype
    return polars.Series(decoder.value(form[0]), decoder.bulk(form[2]), dtype=physical).cast(dtype)


def _to_polars_dtype(form: Any, decoder: Decoding) -> Any:
    polars: Any = importlib.import_module("polars")
    kind, details = (form, []) if isinstance(form, str) else (form[0], form[1:])
    if kind in ("List", "Array"):
        return getattr(polars, kind)(_to_polars_dtype(details[0], decoder), *details[1:])
    if kind == "Struct":
        return polars.Struct({decoder.value(name): _to_polars_dtype(part, decoder) for name, part in details[0]})
    if kind == "Enum":
        return polars.Enum(decoder.value(details[0]))
    if kind in _DETAILS:
        return getattr(polars, kind)(*details[0])
    if kind in _SIMPLE or kind == "Categorical":
        return getattr(polars, kind)()
    raise ValueError(f"unknown dtype {kind!r}")
