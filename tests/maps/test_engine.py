"""The engine, with workers that proceed, die and return chunks in any order: no item is lost or read too early."""
from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import nullcontext
from random import Random

import pytest
from crews import FakeCrew
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskproc.errors import ItemErrors, UnsendableItem, WorkerDied
from taskproc.maps.chunks import MOST, Progress
from taskproc.maps.engine import Engine, Order
from taskproc.maps.map_options import ExceptionBehaviour

IGNORE, IMMEDIATE, DEFERRED = ExceptionBehaviour


class Numbers:
    """0, 1, 2 …, counted as they are read."""

    def __init__(self, end: int | None):
        self.end, self.read = end, 0

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        if self.read == self.end:
            raise StopIteration
        self.read += 1
        return self.read - 1


def double(x: object) -> object:
    assert isinstance(x, int)
    return 2 * x


def odd_fails(x: object) -> object:
    assert isinstance(x, int)
    if x % 2:
        raise ValueError(x)
    return x


drawn = settings(
    max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
counts, workers = st.integers(0, 60), st.integers(1, 4)
sizes, aheads = st.none() | st.integers(1, 7), st.integers(1, 3)
randoms = st.randoms(use_true_random=False)


@drawn
@given(counts, workers, sizes, aheads, randoms, st.booleans(), st.booleans(), st.booleans())
def test_every_item_has_one_value(
    count: int, workers: int, size: int | None, ahead: int, random: Random, ordered: bool, sized: bool, bounded: bool
) -> None:
    """Whatever the workers do first: in order, or all of them; each item is begun once."""
    crew = FakeCrew(double, workers, random)
    order = Order(IGNORE, ordered, size, ahead, bounded)

    values = list(Engine(crew, workers, iter(range(count)), count if sized else None, order).values())

    assert [2 * x for x in range(count)] == (values if ordered else sorted(values))  # type: ignore[type-var]
    assert dict.fromkeys(range(count), 1) == crew.begun


@drawn
@given(workers, sizes, aheads, randoms, st.booleans(), st.integers(0, 200))
def test_the_input_is_read_as_far_as_needed(
    workers: int, size: int | None, ahead: int, random: Random, ordered: bool, taken: int
) -> None:
    """Few items are read and not yet yielded, even if the first item of an endless input is slow."""
    numbers = Numbers(None)
    crew = FakeCrew(double, workers, random)
    engine = Engine(crew, workers, iter(numbers), None, Order(IGNORE, ordered, size, ahead))

    for given_before, _ in enumerate(itertools.islice(engine.values(), taken)):
        assert numbers.read - given_before <= 2 * ahead * workers * (size or min(MOST, 8 + given_before))


class SlowHead(FakeCrew):
    """The worker that has item 0 does nothing until the others have nothing to do."""

    def _event(self, worker: int) -> Progress:
        heads = [load for load in self._loads if load and load[0].first == 0]
        if heads and (others := [number for number, load in enumerate(self._loads) if load and load not in heads]):
            worker = others[0]
        return super()._event(worker)


def test_a_slow_head_holds_the_reading_back() -> None:
    """In order, the values behind it are kept, and there are not more of them than the bound."""
    numbers = Numbers(None)
    crew = SlowHead(double, 2, Random(1))
    engine = Engine(crew, 2, iter(numbers), None, Order(IGNORE, True, 3, 2))

    first = next(engine.values())

    assert first == 0
    assert 3 * 2 < numbers.read <= 2 * 2 * 2 * 3


def test_nothing_is_read_before_it_is_asked_for() -> None:
    """An engine that was made has not touched its input."""
    numbers = Numbers(None)

    Engine(FakeCrew(double, 1, Random(0)), 1, iter(numbers), None, Order()).values()

    assert 0 == numbers.read


@drawn
@given(counts, workers, sizes, randoms, st.booleans(), st.dictionaries(st.integers(0, 59), st.integers(1, 3)))
def test_a_deadly_item_costs_itself(
    count: int, workers: int, size: int | None, random: Random, ordered: bool, deadly: dict[int, int]
) -> None:
    """Who kills two workers has failed, who kills one has its value, and so have all others."""
    crew = FakeCrew(double, workers, random)
    crew.deadly = dict(deadly)
    order = Order(IGNORE, ordered, size)

    values = list(Engine(crew, workers, iter(range(count)), count, order).values())

    killers = {number for number, times in deadly.items() if times > 1 and number < count}
    good = [value for value in values if not isinstance(value, WorkerDied)]
    assert [2 * x for x in range(count) if x not in killers] == (good if ordered else sorted(good))  # type: ignore[type-var]
    assert len(killers) == len(values) - len(good)
    if ordered:
        assert all(f"of {number}" == str(values[number]) for number in killers)
    assert all(times == 1 for number, times in crew.begun.items() if not deadly)
    assert all(crew.begun[number] == 2 for number in killers)


@drawn
@given(counts, workers, sizes, randoms, st.booleans())
def test_deaths_by_chance_lose_nothing(
    count: int, workers: int, size: int | None, random: Random, ordered: bool
) -> None:
    """An item has a value, or the death of its second worker."""
    crew = FakeCrew(double, workers, random, chance=5)

    values = list(Engine(crew, workers, iter(range(count)), count, Order(IGNORE, ordered, size)).values())

    assert count == len(values)
    good = [value for value in values if not isinstance(value, WorkerDied)]
    assert len(set(good)) == len(good)
    assert {*good} <= {2 * x for x in range(count)}


@drawn
@given(counts, workers, sizes, randoms)
def test_a_death_between_items_is_nobodys_fault(count: int, workers: int, size: int | None, random: Random) -> None:
    """However often: the last item that began has its value, so none is suspected, and may still kill once."""
    crew = FakeCrew(double, workers, random, chance=3)
    crew.between = 1
    crew.deadly = dict.fromkeys(range(0, count, 3), 1)

    values = list(Engine(crew, workers, iter(range(count)), count, Order(IGNORE, True, size)).values())

    assert [2 * x for x in range(count)] == values


@drawn
@given(counts, workers, sizes, randoms)
def test_immediate_gives_what_map_gives(count: int, workers: int, size: int | None, random: Random) -> None:
    """In order: all values before the first that failed, then its exception; nothing is read after it has come."""
    crew = FakeCrew(odd_fails, workers, random)
    given_values: list[object] = []

    def run() -> None:
        give_into(given_values, Engine(crew, workers, iter(range(count)), count, Order(IMMEDIATE, True, size)).values())

    if count > 1:
        with pytest.raises(ValueError, match="^1$"):
            run()
    else:
        run()

    assert [0][:count] == given_values


@pytest.mark.parametrize("ordered", [True, False])
def test_immediate_begins_nothing_more(ordered: bool) -> None:
    """When an item fails, chunks that workers have ahead are returned, and not given out again."""
    crew = FakeCrew(odd_fails, 1, Random(0))

    with pytest.raises(ValueError, match="1"):
        list(Engine(crew, 1, iter(range(50)), 50, Order(IMMEDIATE, ordered, 1, 3)).values())

    assert max(crew.begun) <= 2  # which may run when 1 fails


@drawn
@given(counts, workers, sizes, randoms)
def test_immediate_without_order(count: int, workers: int, size: int | None, random: Random) -> None:
    """Values that have arrived are yielded once each, and then one of the exceptions is raised."""
    crew = FakeCrew(odd_fails, workers, random)
    given_values: list[object] = []

    engine = Engine(crew, workers, iter(range(count)), count, Order(IMMEDIATE, False, size))
    with pytest.raises(ValueError, match=r"\d*[13579]$") if count > 1 else nullcontext():
        give_into(given_values, engine.values())

    assert len(set(given_values)) == len(given_values)
    assert all(number in given_values for number in crew.begun if number % 2 == 0)


@drawn
@given(counts, workers, sizes, randoms, st.booleans())
def test_deferred_gives_all_then_raises_all(
    count: int, workers: int, size: int | None, random: Random, ordered: bool
) -> None:
    """Each exception stands in its place, and all of them in one at the end."""
    crew = FakeCrew(odd_fails, workers, random)
    given_values: list[object] = []

    def run() -> None:
        engine = Engine(crew, workers, iter(range(count)), count, Order(DEFERRED, ordered, size))
        give_into(given_values, engine.values())

    if count > 1:
        with pytest.raises(ItemErrors) as caught:
            run()
        assert [*range(1, count, 2)] == sorted(error.args[0] for error in caught.value.exceptions)
    else:
        run()

    assert count == len(given_values)


def give_into(target: list[object], values: Iterator[object]) -> None:
    """Append one by one, so that the values before an exception are there."""
    for value in values:
        target.append(value)  # noqa: PERF402


def test_an_input_that_fails_is_heard_last() -> None:
    """What was read before has its values; then the input's own exception is raised."""

    def source() -> Iterator[int]:
        yield from range(5)
        raise KeyError("input")

    given_values: list[object] = []
    with pytest.raises(KeyError, match="input"):
        give_into(given_values, Engine(FakeCrew(double, 2, Random(3)), 2, source(), None, Order()).values())

    assert [0, 2, 4, 6, 8] == given_values


def test_an_item_that_cannot_be_sent_costs_itself() -> None:
    """It has failed in its place."""
    crew = FakeCrew(double, 2, Random(3))
    crew.unsendable = {2, 3, 9}

    values = list(Engine(crew, 2, iter(range(10)), 10, Order(IGNORE, True, 4)).values())

    assert [2, 3, 9] == [place for place, value in enumerate(values) if isinstance(value, UnsendableItem)]
    assert [0, 2, 8, 10, 12, 14, 16] == [value for value in values if isinstance(value, int)]


def test_workers_that_die_before_they_begin_end_the_map() -> None:
    """Twice in a row: there is something wrong with the worker, not with an item."""

    class Stillborn(FakeCrew):
        def _event(self, worker: int) -> Progress:
            return Progress(worker, self._loads[worker].pop(0), [], death=WorkerDied("at birth"))

    with pytest.raises(WorkerDied, match="before it had begun an item: at birth"):
        list(Engine(Stillborn(double, 1, Random(0)), 1, iter(range(3)), 3, Order()).values())


def test_idle_workers_share_what_others_have() -> None:
    """A chunk that is too large for the end of the input is cut where its worker stands."""

    class Lame(FakeCrew):
        """Worker 0 begins nothing before it is asked to share, unless it has nothing to share."""

        def wait(self, timeout: float | None) -> list[Progress]:
            chunks = self._loads[0]
            lame = chunks and not chunks[0].halted and sum(map(len, (chunk.items for chunk in chunks))) > 1
            if lame and not self._returned and timeout != 0:
                assert self._loads[1] or timeout is not None, "would wait for a worker that nobody asks to share"
                return [self._event(1)] if self._loads[1] else []
            return super().wait(timeout)

    crew = Lame(double, 2, Random(5))

    values = list(Engine(crew, 2, iter(range(40)), 40, Order(IGNORE, True, 10)).values())

    assert [2 * x for x in range(40)] == values
    assert crew.halts
    assert dict.fromkeys(range(40), 1) == crew.begun
