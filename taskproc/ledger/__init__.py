"""Reads what a cache remembers of its tasks and runs. Loads no result."""
