"""The cache folder when no `-o` is given: the environment variable TASKPROC_CACHE, or a setting of the project."""
from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taskproc.cli.usage import UsageError
from taskproc.errors import CacheError
from taskproc.folders import absolute_path

VARIABLE = "TASKPROC_CACHE"
_PROJECT = "pyproject.toml"
_HEADER = re.compile(r"\[\s*([^\[\]]+?)\s*\]")
_SETTING = re.compile(r"""cache\s*=\s*(?:"([^"\\]*)"|'([^']*)')\s*(?:#.*)?""")


def default_folder() -> str | None:
    """The folder that TASKPROC_CACHE names, else `cache` in [tool.taskproc] of the nearest pyproject.toml that has it.

    Files are looked for in the working directory and upwards, and the path is relative to the file. None if there is no
    setting; UsageError for one that is not a path.
    """
    if folder := os.environ.get(VARIABLE):
        return folder
    try:
        here = Path(absolute_path(".", CacheError))
    except CacheError:
        return None  # the working directory was removed
    for parent in (here, *here.parents):
        if (setting := _setting(parent / _PROJECT)) is not None:
            return os.path.relpath(parent / setting)
    return None


def _setting(path: Path) -> str | None:
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError):
        return None  # there is none, or it is not ours to read
    if "taskproc" not in text:
        return None
    tables = _tables(path, text).get("tool", {}).get("taskproc", {})
    setting = tables.get("cache") if isinstance(tables, Mapping) else None
    if setting is None or (isinstance(setting, str) and setting):
        return setting
    raise UsageError(f"{os.path.relpath(path)}: cache in [tool.taskproc] must be the path of a folder, got {setting!r}")


def _tables(path: Path, text: str) -> Mapping[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib  # here: 5 ms, and only for a project that has a setting

        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{os.path.relpath(path)} cannot be read: {error}") from None
    else:
        return {"tool": {"taskproc": {"cache": _plain_setting(text)}}}


def _plain_setting(text: str) -> str | None:
    """The setting where Python has no reader of TOML: a line `cache = "…"` below `[tool.taskproc]`."""
    table = ""
    for line in map(str.strip, text.splitlines()):
        if header := _HEADER.match(line):
            table = header[1]
        elif table == "tool.taskproc" and (setting := _SETTING.fullmatch(line)):
            return setting[1] or setting[2]
    return None
