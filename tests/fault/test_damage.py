"""F3: a stored result that was damaged in any way is never believed, never in the way, and made again at once."""
from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.fault.damage import WHOLE, Patient, cut, flip, flips, rewritten
from tests.fault.forks import nursed

SEED = 20261121
PARTS = 3


@pytest.mark.slow
def test_200_flipped_bits(tmp_path: Path) -> None:
    """Wherever a bit turns over: no wrong answer, no crash, that one result is made again."""
    assert {} == nursed(_flips, tmp_path), f"seed {SEED}"


def _flips(folder: Path) -> dict[str, list[str]]:
    patient = Patient(folder)
    return _faults({
        f"bit {bit} of byte {position}": patient.trial(flip(position, bit))
        for position, bit in flips(SEED, 200, patient.size)
    })  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_length(tmp_path: Path, part: int) -> None:
    """Wherever a result was cut off."""
    assert {} == nursed(_cuts, tmp_path, part)


def _cuts(folder: Path, part: int) -> dict[str, list[str]]:
    patient = Patient(folder)
    return _faults({
        f"cut to {length}": patient.trial(cut(length), as_input=length % 10 < 1)
        for length in range(part, patient.size, PARTS)
    })  # fmt: skip


@pytest.mark.slow
def test_everything_else_in_its_place(tmp_path: Path) -> None:
    """Zeros, garbage, too much, a sibling, a directory, links, a pipe: and nobody waits for the pipe's other end."""
    assert {} == nursed(_whole, tmp_path)


def _whole(folder: Path) -> dict[str, list[str]]:
    patient = Patient(folder)
    sibling = patient.sound[patient.sibling]
    damages = {**WHOLE, "the result of a sibling": rewritten(lambda _: sibling)}
    return _faults({name: patient.trial(damage, told=name != "nothing") for name, damage in damages.items()})


def test_a_crafted_pickle_is_not_run(tmp_path: Path) -> None:
    """Neither as it is, nor in gzip, nor between a good head and a good record: digests are compared before that."""
    assert {} == nursed(_bombs, tmp_path)
    assert not (tmp_path / "sprung").exists()


def _bombs(folder: Path) -> dict[str, list[str]]:
    patient = Patient(folder)
    bomb = pickle.dumps(_Bomb(folder / "sprung"))
    sound = patient.sound[patient.result]
    start, end = sound.index(b"\x1f\x8b\x08", 1), patient.before_record
    crafted = {
        "a pickle": bomb,
        "in gzip": gzip.compress(bomb),
        "behind the head": sound[:start] + gzip.compress(bomb),
        "before the payload": sound[:start] + gzip.compress(bomb) + sound[start:],
        "in place of the payload": sound[:start] + _padded(gzip.compress(bomb), end - start) + sound[end:],
    }
    return _faults({
        name: patient.trial(rewritten(lambda _, new=new: new))
        for name, new in crafted.items()
    })  # fmt: skip


def _padded(members: bytes, size: int) -> bytes:
    """`members` and an empty one with a comment that makes it as long as asked for: good gzip to its last byte."""
    head, end = b"\x1f\x8b\x08\x10" + bytes(6), b"\x00\x03\x00" + bytes(8)
    return members + head + b"a" * (size - len(members) - len(head) - len(end)) + end


class _Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def _faults(trials: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: faults for name, faults in trials.items() if faults}
