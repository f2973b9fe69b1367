"""Estimates of what a task costs: seconds, peak memory and bytes, from the records of its class.

The newest 1,000 records of a class are read, once; no result is loaded. For one task the rule is:

1. If the task itself was computed before, its newest record counts, and nothing else.
2. Otherwise the records with the *nearest arguments* count: the nearest one, and all that are at most twice as far.
3. The estimate is their median, and its range goes from their first tenth to their last tenth. Of one record alone, the
   range is a quarter up and down.

The distance of two tasks is the sum over their arguments. Equal values: 0. Two numbers: their difference, divided by
the range of that argument over all records; both on a logarithmic scale if all are positive and differ by ten times or
more. Two lists, or two dicts: their lengths as numbers, and a little more, since they are not equal. Anything else: 1.
An argument from which all records are equally far does not count. So where no argument tells records apart, all of them
are nearest, and the estimate is the median of the class. A class without records is unknown, and stays so: no figure is
made up.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import islice
from typing import Any, NamedTuple

from taskproc.errors import LinkInCache
from taskproc.frozen import frozen
from taskproc.store import layout
from taskproc.store.files import Folder
from taskproc.store.folder import UNREADABLE, CacheFolder, is_place

MOST_RECORDS = 1000     # of a class that are read
_MOST_TASKS = 50_000    # of a class whose times are compared to find the newest
_COMPARISONS = 300_000  # of arguments with records, for all tasks of a class together
_FEWEST = 50            # records that each task is compared with in any case
_FARTHEST = 2.0         # how many times as far as the nearest record the others may be
_ALONE = 0.25           # range of an estimate from one record, as a share of it
_UNEQUAL = 0.01         # distance of two lists of equal length
_LOGARITHMIC = 10.0     # largest number by smallest, from which on a logarithmic scale is used


@frozen
class Estimate:
    """A figure and its range: seconds or bytes."""

    likely: float
    low: float
    high: float

    def plus(self, other: Estimate) -> Estimate:
        """The sum: of the figures, and of both ends of the ranges."""
        return Estimate(self.likely + other.likely, self.low + other.low, self.high + other.high)

    def scaled(self, factor: float) -> Estimate:
        """Each figure times `factor`."""
        return Estimate(self.likely * factor, self.low * factor, self.high * factor)


@frozen
class Cost:
    """What one run of a task is expected to cost; None: unknown.

    Attributes:
        seconds: that `run_task` takes.
        peak: bytes of memory; `size`: bytes of the result and of its data directory.
        basis: `same`, `nearest` or `class`: which records were used; empty if there are none.
    """

    seconds: Estimate | None = None
    peak: Estimate | None = None
    size: Estimate | None = None
    basis: str = ""


UNKNOWN = Cost()


class PastTask(NamedTuple):
    """What the newest record of a task says; None where it does not. `number`: the id of its place."""

    number: int
    arguments: Mapping[str, Any]
    seconds: float | None
    peak: float | None
    size: float | None


class Estimates:
    """Estimates for the tasks of some classes. The records of a class are read when it is asked for the first time.

    Args:
        history: gives the past tasks of a class, newest first.
    """

    def __init__(self, history: Callable[[str], Sequence[PastTask]]):
        self._history = history
        self._classes: dict[str, _ClassHistory] = {}

    @classmethod
    def of_store(cls, store: CacheFolder) -> Estimates:
        """Estimates from the records of a cache."""
        return cls(lambda name: past_tasks(store, name))

    def costs(
        self, name: str, numbers: Sequence[int], arguments_of: Callable[[int], Mapping[str, Any]]
    ) -> dict[int, Cost]:
        """Id → what the task costs.

        Args:
            name: of the class.
            numbers: ids of the tasks.
            arguments_of: gives the arguments of a task as JSON, as `args.json` has them; asked for new tasks only.
        """
        past = self._classes.get(name)
        if past is None:
            past = self._classes[name] = _ClassHistory(self._history(name))
        most = max(_FEWEST, _COMPARISONS // max(1, len(numbers)))
        return {number: past.cost(number, arguments_of, most) for number in numbers}


def past_tasks(store: CacheFolder, name: str) -> list[PastTask]:
    """The tasks of a class with a result, newest first, at most MOST_RECORDS.

    Costs a listing of the class, and two small reads for each task. Of a class with more than 50,000 tasks, those
    that the system lists first are looked at.
    """
    try:
        with store.held(*layout.results_levels(name)) as results:
            entries = list(islice(filter(is_place, store.files.scandir(results)), _MOST_TASKS))
            newest = nlargest(MOST_RECORDS, ((_changed(entry), entry.name) for entry in entries))
            found = (_past_task(store, results, number) for _, number in newest)
            return [past for past in found if past is not None]
    except (OSError, LinkInCache):
        return []


def _changed(entry: Any) -> int:
    try:
        changed: int = entry.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0  # cleared in the meantime
    return changed


def _past_task(store: CacheFolder, results: Folder, number: str) -> PastTask | None:
    """What the newest version of a task says; None if it has none, or none that is readable."""
    try:
        folder = store.files.open_folder(results, (number,))
    except OSError:
        return None
    try:
        versions = layout.result_numbers(store.files.listdir(folder))
        record = store.record(folder, versions[0])[0] if versions else None
        arguments = (store.arguments(folder) or {}).get("args") if versions else None
    except UNREADABLE:
        return None
    finally:
        store.files.close_folder(folder)
    if record is None:
        return None
    about = record["about"] if isinstance(record.get("about"), Mapping) else {}
    size, data = _number(record.get("size")), _number(about.get("data"))
    whole = None if size is None else size + (data or 0.0)
    shown = arguments if isinstance(arguments, dict) else {}
    return PastTask(int(number), shown, _number(about.get("seconds")), _number(about.get("peak")), whole)


def _number(value: object) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return float(value) if is_number else None  # type: ignore[arg-type]  # it is a number


class _ClassHistory:
    """The past tasks of one class, and the scales of their arguments."""

    def __init__(self, past: Sequence[PastTask]):
        self._past = past
        self._same = {each.number: each for each in reversed(past)}
        self._scales: dict[str, _Scale] | None = None

    def cost(self, number: int, arguments_of: Callable[[int], Mapping[str, Any]], most: int) -> Cost:
        """What the task costs; it is compared with the newest `most` records."""
        if not self._past:
            return UNKNOWN
        if number in self._same:
            return _cost([self._same[number]], "same")
        nearest = self._nearest(arguments_of(number), most)
        return _cost(nearest, "class" if len(nearest) == min(most, len(self._past)) else "nearest")

    def _nearest(self, arguments: Mapping[str, Any], most: int) -> Sequence[PastTask]:
        if self._scales is None:
            names = dict.fromkeys(name for each in self._past for name in each.arguments)
            self._scales = {name: _Scale([each.arguments.get(name) for each in self._past]) for name in names}
        past = self._past[:most]
        columns = [column for name, scale in self._scales.items()
                   if (column := scale.distances(arguments.get(name), most)) is not None]  # fmt: skip
        if not columns:
            return past
        distances = [*map(sum, zip(*columns))]
        farthest = _FARTHEST * min(distances)
        return [each for each, distance in zip(past, distances) if distance <= farthest]


class _Scale:
    """How far values of one argument are from those of the past tasks."""

    def __init__(self, values: Sequence[object]):
        measures = [_measure(value) for value in values]
        numbers = [number for number in measures if number is not None]
        low, high = (min(numbers), max(numbers)) if numbers else (0.0, 0.0)
        self._is_logarithmic = low > 0 and high >= _LOGARITHMIC * low
        self._values = values
        self._places = [None if number is None else self._place(number) for number in measures]
        self._range = self._place(high) - self._place(low) if numbers else 0.0

    def _place(self, number: float) -> float:
        return math.log(number) if self._is_logarithmic else number

    def distances(self, value: object, most: int) -> list[float] | None:
        """The distance of `value` from each of the newest `most`; None if it tells none of them apart."""
        number = _measure(value)
        if number is None or not self._range or (self._is_logarithmic and number <= 0):
            column = [0.0 if _is_equal(value, other) else 1.0 for other in self._values[:most]]
        else:
            place, scale, least = self._place(number), self._range, _UNEQUAL * isinstance(value, (list, dict))
            column = [1.0 if other is None else abs(place - other) / scale for other in self._places[:most]]
            if least:
                column = [far + least * (not _is_equal(value, other)) for far, other in zip(column, self._values)]
        return column if min(column) < max(column) else None


def _is_equal(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _measure(value: object) -> float | None:
    """A number, or how many values a list or dict has; None for anything else, such as a task."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    if isinstance(value, dict):
        # What JSON has no form for is written as a dict with one name: {"__tuple__": [1, 2]}
        inner = next(iter(value.values())) if len(value) == 1 and next(iter(value))[:2] == "__" else value
        return None if "__task__" in value or not isinstance(inner, (list, dict)) else float(len(inner))
    return float(len(value)) if isinstance(value, list) else None


def _cost(past: Sequence[PastTask], basis: str) -> Cost:
    return Cost(spread(each.seconds for each in past), spread(each.peak for each in past),
                spread(each.size for each in past), basis)  # fmt: skip


def spread(values: Iterable[float | None]) -> Estimate | None:
    """Median, first and last tenth of the values that are known."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    if len(known) == 1:
        return Estimate(known[0], known[0] * (1 - _ALONE), known[0] * (1 + _ALONE))
    return Estimate(_quantile(known, 0.5), _quantile(known, 0.1), _quantile(known, 0.9))


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
