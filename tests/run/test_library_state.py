"""After a job that seeds a shared random generator, no other job draws from that seed."""
from __future__ import annotations

import importlib
import pickle
import random
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from jobs import in_child

from taskproc.run.library_state import Randomness

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

# How a generator is seeded, and what it draws
SEEDS: dict[str, tuple[str, Callable[[Any], object], Callable[[Any], object]]] = {
    "random": ("random", lambda module: module.seed(0), lambda module: module.random()),
    "a state of random": ("random", lambda module: module.setstate(random.Random(0).getstate()),
                          lambda module: module.random()),
    "NumPy": ("numpy.random", lambda module: module.seed(0), lambda module: module.random()),
    "a state of NumPy": ("numpy.random", lambda module: module.set_state(module.RandomState(0).get_state()),
                         lambda module: module.random()),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEDS)
def test_what_a_job_seeded_is_gone(name: str) -> None:
    """After a job that seeds, later jobs draw other numbers, and no two jobs draw the same."""
    where, seed, draw = SEEDS[name]
    module = importlib.import_module(where) if "numpy" not in where else pytest.importorskip(where)

    def attempt() -> bool:
        generators = Randomness()
        seed(module)
        sequence = [draw(module) for _ in range(3)]
        drawn = []
        for _ in range(2):
            seed(module)
            assert sequence[0] == draw(module)
            generators.begin_afresh()
            drawn.append(draw(module))
        return len({*drawn, *sequence}) == 5

    assert "True" == in_child(attempt)


def test_a_job_that_only_draws_changes_nothing() -> None:
    """If a job only draws, the generator continues, so two jobs do not draw the same."""

    def attempt() -> bool:
        generators = Randomness()
        random.random()
        state = random.getstate()
        generators.begin_afresh()
        return state == random.getstate()

    assert "True" == in_child(attempt)


def test_what_was_loaded_by_the_job_may_have_been_seeded_by_it() -> None:
    """A library that a job was the first to import is seeded again."""

    def attempt() -> bool:
        module = sys.modules.pop("random")
        generators = Randomness()
        fresh = importlib.import_module("random")
        fresh.seed(0)
        assert fresh is not module
        generators.begin_afresh()
        return bool(random.Random(0).random() != fresh.random())

    assert "True" == in_child(attempt)


def test_the_generator_of_random_is_as_it_was() -> None:
    """The generator of `random` gives the numbers of its seed in all ways, and can be copied."""

    def attempt() -> bool:
        Randomness()
        shared: Any = vars(random)["_inst"]
        random.seed(5)
        mine = random.Random(5)
        same = [random.gauss(0, 1) == mine.gauss(0, 1) for _ in range(3)]
        same += [random.random() == mine.random(), type(shared).__name__ == "Random"]
        return all(same) and pickle.loads(pickle.dumps(shared)).random() == mine.random()

    assert "True" == in_child(attempt)


def test_torch_is_asked_for_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch is asked for its seed, and not imported for that."""
    torch: Any = ModuleType("torch")
    torch.now, torch.seeds = 1, 0
    torch.initial_seed = lambda: torch.now
    torch.seed = lambda: setattr(torch, "seeds", torch.seeds + 1)
    monkeypatch.setitem(sys.modules, "torch", torch)

    def attempt() -> tuple[int, int]:
        generators = Randomness()
        generators.begin_afresh()
        before = torch.seeds
        torch.now = 2
        generators.begin_afresh()
        return before, torch.seeds

    assert "(0, 1)" == in_child(attempt)
