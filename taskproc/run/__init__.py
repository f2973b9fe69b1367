"""Runners: they run callables in this thread, in other threads, in our own processes, or behind a command."""
