"""The laws of the storage protocol, in every order in which its operations can happen, and with every fault between."""
from __future__ import annotations

import functools

import pytest

from tests.protocol.explore import Found, explore, main
from tests.protocol.mutants import LATE, MUTANTS
from tests.protocol.scenario import Scenario
from tests.protocol.steps import Protocol

# What it is → who takes part, and how many states there are at least: fewer, and the model has lost something
SCENARIOS = {
    "two": (Scenario("mm"), 1_300),
    "two, and nobody pauses": (Scenario("mm", suspects=False), 380),
    "two, by way of workers, whose runs may raise and replies get lost": (
        Scenario("mm", fails=True, hands_over=True, replies=1),
        2_700,
    ),
    "two, one of them by force": (Scenario("mf"), 1_700),
    "two with old listings and lost replies": (Scenario("mm", listings=2, replies=2), 45_000),
    "two with listings that stay old": (LATE, 2_500),
    "two with listings that stay old, whose runs may raise": (LATE._replace(fails=True), 3_500),
    "two, and a clear": (Scenario("mmc", top=2), 28_000),
    "two, by way of workers, and a clear": (Scenario("mmc", top=1, fails=True, hands_over=True), 8_000),
    "two clears": (Scenario("mcc", top=2), 900),
    "two, and a reader of a damaged version": (Scenario("mmr", damages=1, top=2), 24_000),
    "a reader of a damaged version, and a clear": (Scenario("mrc", damages=2, top=3), 2_000),
    "a retirer among others": (Scenario("rmt", suspects=False), 3_600),
    "a retirer, and one that is taken for dead": (Scenario("mt"), 3_000),
    "three": (Scenario("mmm", top=2, unwritten=True), 41_000),
    "three, and nobody pauses": (Scenario("mmm", top=2, suspects=False), 12_000),
}


@functools.cache
def whole(scenario: Scenario) -> Found:
    """What the whole protocol does there."""
    return explore(Protocol(scenario))


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.slow
def test_all_laws_hold(name: str) -> None:
    """No double commit, no version replaced or changed, no number used twice, nobody errs, none is stuck."""
    scenario, least = SCENARIOS[name]

    found = whole(scenario)

    assert ("", []) == (found.law, found.trace)
    assert found.states >= least


@pytest.mark.parametrize("name", MUTANTS)
@pytest.mark.slow
def test_each_mutant_is_caught(name: str) -> None:
    """A protocol with one thing left out breaks the law that this thing is for; the whole one keeps it."""
    protocol, scenario, law = MUTANTS[name]

    found = explore(protocol(scenario))
    print("\n".join(found.trace))

    assert law == found.law
    assert found.trace
    assert "" == whole(scenario).law


@pytest.mark.slow
def test_the_known_gap_is_as_narrow_as_it_is_said_to_be() -> None:
    """Among three, one that was fenced may move a stranger's unwritten claim; among two never, old listing or not."""
    laws = [explore(Protocol(some)).law for some in (Scenario("mmm", top=2), Scenario("mm", listings=1))]

    assert ["a stranger's unwritten claim was moved", ""] == laws


def test_it_runs_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A line a scenario: states, moves, depth, seconds, violations."""
    assert 0 == main(["--actors", "2", "--top", "1"])

    lines = capsys.readouterr().out.splitlines()
    assert ["scenario", "states", "moves", "depth", "seconds", "violations"] == lines[0].split()
    assert ["none", "none"] == [line.split()[-1] for line in lines[1:]]
