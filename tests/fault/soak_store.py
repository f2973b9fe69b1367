"""The soak of the store: kill points, damage, loss, and storage that gives out."""
from __future__ import annotations

import errno
import os
import time
from collections import Counter
from pathlib import Path

from tests.fault import bad_disks, crashes, damage, loss
from tests.fault.forks import nursed
from tests.fault.mounts import NoMount
from tests.fault.rows import Row, folder, guarded, row_of, say, settings

CLASSES = ("F1", "F3", "F4", "F7")
NUMBERS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EACCES, errno.EROFS)
FLIPS = 10_000
LONG = 3600.0 * 24


def rows(minutes: float) -> list[Row]:
    """All of it; the flips go on until `minutes` are over, and are never fewer than ten thousand."""
    until = time.monotonic() + 60 * minutes
    return [
        *guarded("F1", "every kill point", _kill_points),
        *guarded("F7", "every failing operation", _failing_operations),
        *guarded("F7", "real storage", _bad_disks),
        *guarded("F4", "every file", _losses),
        *guarded("F3", "every length", _lengths),
        *guarded("F3", "flips", lambda: _flips(until)),
    ]


def _kill_points() -> list[Row]:
    with folder() as path:
        trials = nursed(_every_death, path, seconds=LONG)
    faults = [trial for trial in trials if trial.faults]
    done = [trial.done for trial in trials]
    if done != sorted(done):
        faults.append("what was committed did not stay")
    return [row_of(
        "F1", "SIGKILL before, half way through and after every file operation of a run of two tasks, then a rerun",
        "0 bad, committed results not redone", faults, f"{len(trials)} kill points, {len(faults)} bad",
    )]  # fmt: skip


def _every_death(path: Path) -> list[crashes.Trial]:
    names = crashes.point_names(_new(path, "clean"))
    return [
        crashes.die(_new(path, f"{at}-{when}"), at, when, names[at - 1]) for at, when in crashes.deaths(names)
    ]


def _failing_operations() -> list[Row]:
    answers = []
    for lasts in (False, True):
        with folder() as path:
            trials = nursed(_every_failure, path, lasts, seconds=LONG)
        faults = [trial for trial in trials if trial.faults]
        how = "at every file operation and all that follow" if lasts else "at every file operation"
        told = Counter(trial.says.partition(":")[0] for trial in trials)
        answers.append(row_of(
            "F7", f"{', '.join(errno.errorcode[number] for number in NUMBERS)} {how}, then a rerun",
            "reported with errno and path, 0 wrong, 0 stuck", faults,
            f"{len(trials)} cases: {told['told']} reported, {told['value']} right nevertheless, {len(faults)} bad",
        ))  # fmt: skip
    return answers


def _every_failure(path: Path, lasts: bool) -> list[crashes.Trial]:
    names = crashes.point_names(_new(path, "clean"))
    return [
        crashes.fail(_new(path, f"{number}-{at}"), at, number, name, lasts)
        for number in NUMBERS
        for at, name in enumerate(names, 1)
    ]


def _bad_disks() -> list[Row]:
    answers = []
    for name in bad_disks.TRIALS:
        with folder() as path:
            faults = nursed(_bad_disk, path, name, seconds=LONG)
        words = (bad_disks.TRIALS[name].__doc__ or "").rstrip(".")
        if isinstance(faults, str):
            answers.append(("F7", words, "reported, then right", f"not run: {faults}", False))
        else:
            answers.append(row_of("F7", words, "reported with cause and path, then right", faults, "as required"))
    return answers


def _bad_disk(path: Path, name: str) -> list[str] | str:
    try:
        return bad_disks.TRIALS[name](path)
    except NoMount as error:
        return str(error)


def _losses() -> list[Row]:
    with folder() as path:
        answers = nursed(loss.every_case, path, seconds=LONG)
    faults = [(name, wrong) for name, wrong in answers.items() if wrong]
    return [row_of(
        "F4", "every file of a cache deleted, emptied, cut in half, overwritten, swapped with its like; folders, too",
        "0 wrong, 0 crashes, no mix-up of two tasks", faults, f"{len(answers)} cases, {len(faults)} bad",
    )]  # fmt: skip


def _lengths() -> list[Row]:
    with folder() as path:
        cuts = nursed(_every_length, path, seconds=LONG)
    with folder() as path:
        others = nursed(_everything_else, path, seconds=LONG)
    required = "0 wrong, 0 crashes, made again once, warned once"
    faults, worse = ([item for item in answers.items() if item[1]] for answers in (cuts, others))
    return [
        row_of("F3", f"a result of {len(cuts)} bytes cut to every length", required, faults, _count(cuts, faults)),
        row_of("F3", f"in its place: {', '.join(others)}", required, worse, _count(others, worse)),
    ]


def _every_length(path: Path) -> dict[str, list[str]]:
    patient = damage.Patient(path)
    return {str(length): patient.trial(damage.cut(length)) for length in range(patient.size)}


def _everything_else(path: Path) -> dict[str, list[str]]:
    patient = damage.Patient(path)
    sibling = patient.sound[patient.sibling]
    damages = {**damage.WHOLE, "the result of a sibling": damage.rewritten(lambda _: sibling)}
    return {name: patient.trial(harm, told=name != "nothing") for name, harm in damages.items()}


def _count(answers: dict[str, list[str]], faults: list[tuple[str, list[str]]]) -> str:
    return f"{len(answers)} cases, {len(faults)} bad"


def _flips(until: float) -> list[Row]:
    with folder() as path:
        count, undetected, faults = nursed(_many_flips, path, settings.seed, until, seconds=LONG)
    return [row_of(
        "F3", "random bits of a result flipped, met by get_result, by a run, and by a task that reads it",
        "10,000 flips: 0 wrong, 0 crashes, 100 % detected", faults,
        f"{count:,} flips, {len(faults)} bad, {100 * (count - undetected) / count:.0f} % detected",
    )]  # fmt: skip


def _many_flips(path: Path, seed: int, until: float) -> tuple[int, int, list[str]]:
    patient = damage.Patient(path)
    count, undetected, faults = 0, 0, []
    for position, bit in damage.flips(seed, 1_000_000, patient.size):
        if count >= FLIPS and time.monotonic() > until:
            break
        count += 1
        wrong = patient.trial(damage.flip(position, bit))
        undetected += any("wrong answer" in fault or "and yet" in fault or "ran {}" in fault for fault in wrong)
        faults += [f"bit {bit} of byte {position}: {fault}" for fault in wrong]
        if count % 1000 == 0:
            say("F3", f"{count} flips, {len(faults)} bad")
    return count, undetected, faults


def _new(path: Path, name: str) -> Path:
    os.mkdir(path / name)
    return path / name
