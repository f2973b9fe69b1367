"""Reads what a cache remembers: records, journals of runs, times and sizes. No result is loaded."""
