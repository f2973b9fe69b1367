"""Defaults of the options, which a script can set for itself."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from taskproc.cli.table import ENTRY_OPTIONS, JSON, Option
from taskproc.errors import OptionError

ExecType = Literal["process", "thread", "local"]
Prefix = Mapping[str, "str | Sequence[str]"]
_OPTIONS = {option.name: option for option in ENTRY_OPTIONS}
_DEFAULTS = {name: option.default for name, option in _OPTIONS.items()}


@dataclass
class DefaultArguments:
    """Defaults for the options of the command line: `DefaultArguments(...).populate()` puts them in force.

    An option on the command line replaces its default completely: after `--rate-limits '{"gpu": 1}'`, no limit of
    `rate_limits` here is in force. `kwargs` are arguments of the entry task; a flag replaces one of them, `--kwargs`
    replaces all.

    Attributes:
        prefix, prefixes: two names of one option; give one of them.
        output: the cache folder; `-o` may then be left out.

    Raises:
        OptionError: a value does not fit its option, or both `prefix` and `prefixes` are given.
    """

    loglevel: str = _DEFAULTS["loglevel"]
    num_workers: int | None = _DEFAULTS["num_workers"]
    kwargs: Mapping[str, Any] | None = _DEFAULTS["kwargs"]
    prefix: Prefix | None = _DEFAULTS["prefixes"]
    rate_limits: Mapping[str, int | Sequence[str]] | None = _DEFAULTS["rate_limits"]
    exec_type: ExecType = _DEFAULTS["exec_type"]
    prefixes: Prefix | None = _DEFAULTS["prefixes"]
    on_error: Literal["stop", "continue"] = _DEFAULTS["on_error"]
    detect_source_change: bool = _DEFAULTS["detect_source_change"]
    force_entrypoint: bool = _DEFAULTS["force_entrypoint"]
    show_progress: bool = _DEFAULTS["show_progress"]
    output: str | None = _DEFAULTS["output"]
    log_format: Literal["text", "json"] = _DEFAULTS["log_format"]

    def __post_init__(self) -> None:
        output: object = self.output
        if isinstance(output, os.PathLike):
            self.output = os.fspath(output)
        for name in _FIELDS:
            option, value = _OPTIONS["prefixes" if name == "prefix" else name], getattr(self, name)
            fits, wanted = _wanted(option, value)
            if not fits and not (value is None is option.default):
                raise OptionError(f"{name} must be {wanted}, got {value!r}")
        if self.prefix is not None and self.prefixes is not None:
            raise OptionError("prefix and prefixes are two names of one option: give only one")

    def in_force(self) -> dict[str, Any]:
        """Name of an option of a run → its default."""
        own = {**vars(self), "prefixes": self.prefixes or self.prefix}
        return {name: own.get(name, default) for name, default in _DEFAULTS.items()}

    def populate(self) -> None:
        """Put these defaults in force for this process."""
        global _populated  # a process has one command line
        _populated = self


_FIELDS = [field.name for field in fields(DefaultArguments)]
_populated: DefaultArguments | None = None


def populated() -> DefaultArguments:
    """The defaults in force."""
    return _populated or DefaultArguments()


def _wanted(option: Option, value: object) -> tuple[bool, str]:
    """Whether a value fits an option, and a description of those that do."""
    if option.sets is not None:
        return type(value) is bool, "True or False"
    if option.choices:
        return value in option.choices, f"one of {', '.join(option.choices)}"
    return option.kind.fits(value), "a dict" if option.kind is JSON else option.kind.wanted
