"""Measurements: programs of workloads/, one process for each step, the sides in turn, each in a new folder.

Files that are made soon after many were deleted cost up to five times as much (ext4 steps over freed inodes). So no
folder is used twice, and all are deleted at the end.
"""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.environment import Environment

WORKLOADS = Path(__file__).with_name("workloads")
LONGEST = 3600.0  # seconds after which a process of ours is taken for hung
OTHERS = 300.0    # and one of another side: some do not come to an end with so many tasks
OURS = "taskproc"

Answer = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Step:
    """One process: `how` is what its program is told; `ran` is how many tasks of ours it must run, if that is known."""

    name: str
    how: str
    ran: Answer | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """Steps on one folder, for each side, again in each round.

    Attributes:
        program: in workloads/, `<program>.py` is ours and `<program>_<side>.py` that of each other side.
        count, quick: how large, and how large in a hurry.
        ours, theirs: the steps; those of one name are compared.
        answer: what each step must answer for a count; None: all sides the same.
        packages: what a side needs, beside what it is called.
        rounds: at most so many.
    """

    name: str
    program: str
    count: int
    quick: int
    ours: tuple[Step, ...]
    theirs: tuple[Step, ...] = ()
    answer: Answer | None = None
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rounds: int = 1000

    def steps(self, side: str) -> tuple[Step, ...]:
        """What `side` does."""
        return self.ours if side == OURS else self.theirs

    def file(self, side: str) -> Path:
        """The program of `side`."""
        return WORKLOADS / (f"{self.program}.py" if side == OURS else f"{self.program}_{side}.py")


Line = dict[str, Any]
"""What one process told, and what was seen of it: session, side, step, round, count, wall; or why not: error."""


class Measurer:
    """Runs sessions. `hurried`: without waiting before each process until all that others wrote is on the disk."""

    def __init__(self, environment: Environment, folder: Path, tell: Callable[[str], None], *, hurried: bool = False):
        self._environment = environment
        self._folder = folder
        self._tell = tell
        self._hurried = hurried
        self._made = 0

    def run(self, session: Session, count: int, rounds: int, lasts: Mapping[str, str]) -> Iterator[Line]:
        """Every line of a session; a side that fails once is left out from then on.

        `lasts`: each side that takes part, and the name of its last step.
        """
        out: set[str] = set()
        answers: dict[str, object] = {}
        for side in lasts:
            if missing := self._environment.lacks(session.packages.get(side, ())):
                out.add(side)
                yield {"session": session.name, "side": side, "error": f"{' and '.join(missing)} not installed"}
        for number in range(min(rounds, session.rounds)):
            for side in _shuffled(lasts, f"{session.name} {number}"):
                if side in out:
                    continue
                self._tell(f"{session.name} {count:,}: round {number + 1}, {side}")
                for line in self._side(session, side, count, lasts[side]):
                    if "error" not in line:
                        _check(session, line, answers)
                    yield {**line, "round": number}
                    if "error" in line:
                        out.add(side)

    def _side(self, session: Session, side: str, count: int, last: str) -> Iterator[Line]:
        place = self._folder / f"{self._made:04}"
        place.mkdir()
        self._made += 1
        program = str(shutil.copy(session.file(side), place))
        for step in session.steps(side):
            line: Line = {"session": session.name, "side": side, "step": step.name, "count": count}
            line.update(self._process([program, step.how, str(count), str(place / "results")], place, side))
            if "error" not in line and step.ran is not None and line.get("ran") != step.ran(count):
                line["error"] = f"ran {line.get('ran')} tasks, not {step.ran(count)}"
            yield line
            if "error" in line or step.name == last:
                return

    def _process(self, arguments: Sequence[str], place: Path, side: str) -> Line:
        longest = LONGEST if side == OURS else OTHERS
        if not self._hurried:
            os.sync()  # what others have left to be written is not this one's
        start = time.perf_counter()
        process = subprocess.Popen([self._environment.python, *arguments], cwd=place, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                                   env=self._environment.variables())
        try:
            out, errors = process.communicate(timeout=longest)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return {"error": f"took more than {longest:.0f} s"}
        wall = time.perf_counter() - start
        if process.returncode:
            return {"error": ([*errors.strip().splitlines()] or [f"exit {process.returncode}"])[-1][:200]}
        told: Line = json.loads(out)
        return {"wall": wall, **told}


def _shuffled(sides: Iterable[str], seed: str) -> list[str]:
    """In another order each round: who comes behind a long one finds the machine slower for a while."""
    return sorted(sides, key=lambda side: hashlib.sha256(f"{seed} {side}".encode()).digest())


def _check(session: Session, line: Line, answers: dict[str, object]) -> None:
    """Put an error into a line whose answer is not the right one."""
    if "answer" not in line:
        return
    if session.answer is not None:
        right = session.answer(line["count"])
    else:
        right = answers.setdefault(line["step"], line["answer"])
    if line["answer"] != right:
        line["error"] = f"answered {line['answer']}, not {right}"
