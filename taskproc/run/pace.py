"""How long jobs take, by kind: so small ones can be sent many at a time, and all others one by one.

A round trip between two processes costs some hundred microseconds, most of it waiting. Of jobs that take less than
QUICK a worker is given as many as it can do in about WINDOW, ahead of time; of what takes longer, or is not known yet,
one. It is a guess that may be wrong at any time, so what a worker has not begun can be called back.
"""
from __future__ import annotations

QUICK = 0.005    # seconds: a job that takes longer is sent alone
WINDOW = 0.02    # seconds of work that a worker is given ahead
MOST = 100       # jobs that a worker has at once
_LEAST = 1e-5    # seconds that a job takes at the very least
_NEW = 0.25      # how much the last job of a kind counts beside all before it


class Pace:
    """The seconds that a job takes, as the last ones of its kind did."""

    def __init__(self) -> None:
        self._seconds: dict[bytes, float] = {}

    def expect(self, kind: bytes) -> float:
        """Seconds of a job; WINDOW, so that it fills a worker, for what is not known to be quick."""
        seconds = self._seconds.get(kind, WINDOW)
        return max(seconds, _LEAST) if seconds < QUICK else WINDOW

    def learn(self, kind: bytes, seconds: float) -> None:
        """A job of that kind took so long."""
        before = self._seconds.get(kind, seconds)
        self._seconds[kind] = before + _NEW * (seconds - before)
