"""Defaults of the command line's options, as a script sets them for itself."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from taskproc.errors import OptionError

EXEC_TYPES = ("process", "thread", "local")
ON_ERROR = ("stop", "continue")
LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

ExecType = Literal["process", "thread", "local"]
Prefix = Mapping[str, "str | Sequence[str]"]


@dataclass
class DefaultArguments:
    """What the options of the command line are where the line does not say: `DefaultArguments(...).populate()`.

    An option on the line replaces its default as a whole: `--rate-limits '{"gpu": 1}'` leaves nothing of `rate_limits`
    here. `kwargs` are arguments of the entry task; a flag on the line replaces one of them, `--kwargs` all.

    Attributes:
        prefix, prefixes: one thing under two names; give one.
        output: the cache folder; with it `-o` may be left out.

    Raises:
        OptionError: a value that the option does not take, or both `prefix` and `prefixes`.
    """

    loglevel: str = "warning"
    num_workers: int | None = None
    kwargs: Mapping[str, Any] | None = None
    prefix: Prefix | None = None
    rate_limits: Mapping[str, int | Sequence[str]] | None = None
    exec_type: ExecType = "process"
    prefixes: Prefix | None = None
    on_error: Literal["stop", "continue"] = "stop"
    detect_source_change: bool = True
    force_entrypoint: bool = True
    show_progress: bool = True
    output: str | None = None
    log_format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        choices = {
            "exec_type": EXEC_TYPES, "on_error": ON_ERROR, "loglevel": LOG_LEVELS, "log_format": LOG_FORMATS
        }  # fmt: skip
        for name, taken in choices.items():
            if getattr(self, name) not in taken:
                raise OptionError(f"{name} must be one of {', '.join(taken)}, got {getattr(self, name)!r}")
        for name in ("kwargs", "prefix", "prefixes", "rate_limits"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Mapping):
                raise OptionError(f"{name} must be a dict, got {value!r}")
        if self.prefix is not None and self.prefixes is not None:
            raise OptionError("prefix and prefixes are one option under two names: give one")
        self._check_switches_and_output()
        workers: object = self.num_workers
        if workers is not None and (type(workers) is not int or workers < 1):
            raise OptionError(f"num_workers must be an int of at least 1, got {workers!r}")

    def _check_switches_and_output(self) -> None:
        for name in ("detect_source_change", "force_entrypoint", "show_progress"):
            if type(getattr(self, name)) is not bool:
                raise OptionError(f"{name} must be True or False, got {getattr(self, name)!r}")
        output: object = self.output
        if isinstance(output, os.PathLike):
            self.output = output = os.fspath(output)
        if output is not None and not isinstance(output, str):
            raise OptionError(f"output must be the path of a folder, got {output!r}")

    def populate(self) -> None:
        """Make these the defaults of this process."""
        global _populated  # the command line of a process is one
        _populated = self


_populated: DefaultArguments | None = None


def populated() -> DefaultArguments:
    """The defaults in force."""
    return _populated or DefaultArguments()
