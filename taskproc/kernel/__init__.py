"""Decides what must be done and what may start now. Pure: no I/O, clock, thread, log or callback."""
