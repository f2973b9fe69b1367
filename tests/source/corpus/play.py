"""A play: a project is run, edited, and run again with its cache and without; the two must agree, or say why not."""
from __future__ import annotations

import importlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.source.corpus.scenario import Scenario
from tests.source.corpus.step import Outcome, can_fork, cell, elsewhere, enter, in_child, load, once, run, write

# right: as expected. needless: it ran though nothing was to. confessed: the old result, and a word on it. silent: the
# old result without one. broken: the play itself went wrong, or the edit does not do what the scenario says of it.
VERDICTS = ("right", "needless", "confessed", "silent", "broken")
# What a run imports when it first needs it: once for all plays, which are forks of this process
_WARM = (
    "taskproc.source.fingerprint taskproc.tasks.running taskproc.tasks.explaining taskproc.run.pool "
    "taskproc.store.index taskproc.values.frames taskproc.source.late_imports"
).split()


class Play(NamedTuple):
    """What became of a scenario, and more on it where that is not what is wanted."""

    scenario: Scenario
    verdict: str
    detail: str = ""


class Pair(NamedTuple):
    """What a run gave with the old cache, and what one of the same project gave with an empty one.

    `edited`: whether the edit lies between the first run and these two, for one who does not look at the clock.
    """

    cached: Outcome
    fresh: Outcome
    edited: bool = True


def warm(needs: tuple[str, ...] = ()) -> None:
    """Import here what the plays need."""
    for name in [*_WARM, *(need for need in needs if not need[0].isdigit())]:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue  # it is called otherwise by now, or the scenario is left out


def play(scenario: Scenario) -> Play:
    """Play a scenario in a folder of its own."""
    warm(scenario.needs)
    place = Path(tempfile.mkdtemp(prefix="taskproc-corpus-")).resolve()
    try:
        (place / "project").mkdir()
        first, pairs = _WAYS[scenario.how](scenario, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    found = [_judged(scenario, first, pair) for pair in pairs]
    return Play(scenario, *max(found, key=lambda each: VERDICTS.index(each[0])))


# ------------------------------------------------------------ the ways, each: the first run, and pairs of later ones

Found = tuple[Outcome, list[Pair]]


def _start(place: Path, cache: str, how: str) -> Outcome:
    """A run in a process of its own."""
    if not can_fork():
        return elsewhere(place / "project", place / cache, how)
    return in_child(partial(once, place / "project", place / cache, how), place / "log")


def _apart(scenario: Scenario, place: Path) -> Found:
    """Each run in a process of its own."""
    how = scenario.how
    write(place / "project", scenario.old)
    first = _start(place, "cache", how)
    write(place / "project", scenario.new, scenario.old)
    return first, [Pair(_start(place, "cache", how), _start(place, "empty", how))]


def _seeds(scenario: Scenario, place: Path) -> Found:
    """Each run in an interpreter of its own."""
    project = place / "project"
    write(project, scenario.old)
    first = elsewhere(project, place / "cache", "process", "1")
    write(project, scenario.new, scenario.old)
    return first, [Pair(*(elsewhere(project, place / cache, "process", seed)
                          for cache, seed in (("cache", "2"), ("empty", "3"))))]


def _edited(scenario: Scenario, place: Path) -> Found:
    """The project changes during the first run; then it is run as it became, and as it was."""
    project = place / "project"
    later = {f"{name}.new": text for name, text in scenario.new.items() if text != scenario.old.get(name)}
    write(project, {**scenario.old, **later})
    first = _start(place, "cache", "process")
    write(project, scenario.new)
    became = [_start(place, cache, "process") for cache in ("cache", "1")]
    write(project, scenario.old, scenario.new)
    back = [_start(place, cache, "process") for cache in ("cache", "2")]
    return first, [Pair(*became, edited=False), Pair(*back, edited=False)]


def _together(scenario: Scenario, place: Path) -> Found:
    """Both runs in one process, and then one more in another."""
    project, how = place / "project", scenario.how
    write(project, scenario.old)

    def session() -> Outcome:
        enter(project)
        module = load(project, how)
        first = run(module, place / "cache")
        write(project, scenario.new, scenario.old)
        _renewed(scenario, project)
        module = importlib.import_module(module.__name__)
        # Forks of this very process, so that both see what it has loaded
        seconds = [in_child(partial(run, module, place / name), place / "second") for name in ("cache", "1")]
        (place / "seconds").write_text(json.dumps(seconds), encoding="utf-8")
        return first

    first = in_child(session, place / "log")
    if first.error:
        return first, [Pair(first, first)]
    same = Pair(*(Outcome(*each) for each in json.loads((place / "seconds").read_text("utf-8"))))
    later = (_start(place, cache, how) for cache in ("cache", "2"))
    return first, [same, Pair(*later, edited=False)]


def _renewed(scenario: Scenario, project: Path) -> None:
    """Bring an edit into this process, as far as the way says."""
    changed = [name for name, text in scenario.new.items() if text != scenario.old.get(name)]
    if scenario.how == "notebook":
        for name in sorted(changed):
            cell(project / name)
    elif scenario.how == "reload":
        importlib.invalidate_caches()
        names = [name[:-3].replace("/", ".").removesuffix(".__init__") for name in changed if name != "main.py"]
        for name in [*names, "main"]:
            importlib.reload(importlib.import_module(name))


_WAYS: dict[str, Callable[[Scenario, Path], Found]] = {
    "process": _apart,
    "script": _apart,
    "seeds": _seeds,
    "notebook": _together,
    "reload": _together,
    "stale": _together,
    "edited": _edited,
}


# ------------------------------------------------------------ the verdict


def _judged(scenario: Scenario, first: Outcome, pair: Pair) -> tuple[str, str]:
    for outcome in (first, pair.fresh, pair.cached):
        if outcome.error:
            return "broken", outcome.error
    old, cached, fresh = first.result, pair.cached.result, pair.fresh.result
    if cached != fresh:
        verdict = "confessed" if _confessed(scenario, pair.cached.said) else "silent"
        return verdict, f"{cached[:80]} instead of {fresh[:80]}; said: {pair.cached.said.strip()[:400]}"
    if pair.edited and (old == fresh) != (scenario.expect == "fresh"):
        return "broken", f"{old[:80]} before the edit, {fresh[:80]} after it"
    if pair.edited and scenario.expect == "fresh" and _ran(scenario, pair.cached):
        return "needless", f"ran {dict(pair.cached.ran)}"
    return "right", ""


def _ran(scenario: Scenario, outcome: Outcome) -> bool:
    names = {name.rpartition(".")[2] for name in outcome.ran}
    return bool(names.intersection(scenario.words) if scenario.words else names)


def _confessed(scenario: Scenario, said: str) -> bool:
    """Whether a line holds what the scenario asks for, or a name that the edit concerns."""
    if scenario.expect == "confessed" and scenario.words:
        return any(all(word in line for word in scenario.words) for line in said.splitlines())
    # A place, as `lib:A`; or the bare name, where it is none that any text may hold
    return any(
        re.search(rf"{'[:.]' if len(name) < 3 else ''}\b{name}\b", said) for name in scenario.changed_names()
    )
