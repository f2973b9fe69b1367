"""What has changed between two fingerprints, for people."""
from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from taskproc.source.files import lines_of

_MOST_LINES = 60


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """A unified diff per item that differs, three lines of context, at most 60 lines in all; empty if nothing differs.

    Args:
        old, new: `texts` of two fingerprints, or of those items that matter.
    """
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    lines = [line for name in names for line in _lines(name, old.get(name), new.get(name))]
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], f"… {len(lines) - _MOST_LINES + 1} more lines"]
    return "".join(f"{line}\n" for line in lines)


def _lines(name: str, old: str | None, new: str | None) -> Iterator[str]:
    before = f"{name} (before)" if old is not None else "(was not there)"
    now = f"{name} (now)" if new is not None else "(is not there any more)"
    then, new_lines = ([line.rstrip("\r\n") for line in lines_of(text or "")] for text in (old, new))
    if _written(then) != _written(new_lines):
        then, new_lines = _written(then), _written(new_lines)
    found = list(difflib.unified_diff(then, new_lines, before, now, lineterm=""))
    yield from found or [f"--- {before}", f"+++ {now}"]  # bytecode has no text


def _written(lines: list[str]) -> list[str]:
    """The lines without the value of a constant, which stands below its statements; they say it better."""
    return [line for line in lines if not line.startswith("# = ")]
