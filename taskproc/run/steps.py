"""Jobs of many steps: how far one has come is known also when its process has died, and it may be asked to end early.

Before a step begins its number is written into the file of marks, together with that of the job, in one word: half of
it is never seen. The values of the steps may be reported before the job has ended.
"""
from __future__ import annotations

import sys
from collections.abc import Callable

from taskproc.frozen import frozen
from taskproc.run.wire import HALT, MARK, MARKS, STEP

_WORD = MARK.size
_STEPS = 32  # bits for the number of a step
_place: tuple[memoryview, Callable[[], int], Callable[[bytes], None]] | None = None


@frozen
class Part:
    """What a job gave before it ended."""

    content: bytes


class Steps:
    """Those of the job that runs here; see `of_this_job`.

    Attributes:
        tell: called with some bytes, gives them to the main process as a Part, before the outcome of the job.
    """

    __slots__ = ("_base", "_marks", "_number", "tell")

    def __init__(self, marks: memoryview, number: int, tell: Callable[[bytes], None]):
        self._marks = marks
        self._number = number
        self._base = number << _STEPS
        self.tell = tell

    def begin(self, step: int) -> bool:
        """That step begins. False: the job has been asked to end, and it does not."""
        if self._marks[HALT // _WORD] == self._number:
            return False
        self._marks[STEP // _WORD] = self._base | step
        return True


def use_marks(marks: int, number: Callable[[], int], tell: Callable[[bytes], None]) -> None:
    """From now on jobs in this process may have steps: the file of marks, the number of the job that runs."""
    global _place  # a fact of the process
    import mmap  # here: the main process needs none

    # Not pwrite: these are 100 ns a step, and the pages live on in the other process
    _place = memoryview(mmap.mmap(marks, MARKS)).cast("Q"), number, tell


def of_this_job() -> Steps:
    """The steps of the job that runs here, in a worker process of our own."""
    if _place is None:
        raise AssertionError("steps are reported only from worker processes of our own [this is a bug]")
    marks, number, tell = _place
    return Steps(marks, number(), tell)


def step_of(word: bytes, job: int) -> int | None:
    """The step that stands in a word of the file, if it is that job's."""
    number, step = divmod(int.from_bytes(word, sys.byteorder), 1 << _STEPS)
    return step if number == job else None
