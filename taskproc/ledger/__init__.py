"""Reads what a cache remembers: records, times and sizes. No result is loaded."""
