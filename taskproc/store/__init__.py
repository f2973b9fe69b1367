"""Remembers: bytes at rest, by key and version. Knows no task and no plan."""
