"""A far end: a process that runs the jobs of another one. How it becomes like that one, and what a job can tell it.

The setup is the import path, working directory, environment, arguments and scripts. A fresh interpreter cannot import
the running `__main__` by that name, because there it is another module. So `__main__` goes by the name under which an
import would find it; if import cannot find it, it is loaded from its file.

A job with a `timeout` (seconds) calls `begin_timeout` as soon as it has all it needs, so neither a queue nor the import
of its modules counts.
"""
from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import site
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from types import ModuleType
from typing import Any

from taskproc.folders import warning_of_removed, working_folder
from taskproc.frozen import frozen
from taskproc.modules import MAIN_NAMES, main_name, name_of_file, stand_in
from taskproc.pickling import set_sender
from taskproc.streams import fill_gaps

PACKAGE_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_scripts: dict[str, str] = {}


class _ThisProcess:
    """The role of this process for the jobs that it runs. The only instance is `this_process`; a fork inherits it.

    Attributes:
        is_far_end: it was started to run the jobs of another process, and does nothing else.
        serves_many: it runs the jobs of many main processes, one after another.
        adopt_imports: declares that what was imported up to now is not a change made by a job (see baseline.py).
        on_begin: called with the seconds of a job with a timeout when the job begins.
        steps: returns the Steps of the job that runs here (see worker_protocol.py).
    """

    __slots__ = ("adopt_imports", "is_far_end", "on_begin", "serves_many", "steps")

    def __init__(self) -> None:
        self.is_far_end = self.serves_many = False
        self.adopt_imports: Callable[[], object] | None = None
        self.on_begin: Callable[[float], object] | None = None
        self.steps: Callable[[], Any] | None = None


this_process = _ThisProcess()


@frozen
class Setup:
    """How the process that sends jobs is set up.

    Attributes:
        path: its sys.path, absolute.
        folder: its working directory; empty if it does not exist any more.
        argv: its sys.argv.
        main: the real name of its `__main__`; `__main__` in a notebook or a shell.
        environ: its environment variables; None: the far end keeps its own.
        undo: variables that were changed to start the far end → the changed value and the true one (None: not set).
        scripts: module name → file, for modules that import does not find by their name.
    """

    path: tuple[str, ...]
    folder: str
    argv: tuple[str, ...]
    main: str
    environ: Mapping[str, str] | None = None
    undo: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def here(cls, *, environ: Mapping[str, str] | None = None) -> Setup:
        """Return the setup of this process. `environ`: for the far end; None: the far end keeps its own."""
        folder = working_folder() or ""
        if warning := warning_of_removed():
            import logging  # here: a worker starts without it

            logging.getLogger("taskproc").warning(warning)
        # import ignores entries that are not strings, such as a Path
        entries: list[object] = list(sys.path)
        path = tuple(os.path.join(folder, entry) for entry in entries if isinstance(entry, str))
        name, file = main_name(), getattr(sys.modules.get("__main__"), "__file__", None)
        started_as_file = getattr(sys.modules.get("__main__"), "__spec__", None) is None
        main = {name: os.path.join(folder, file)} if file and started_as_file and name not in MAIN_NAMES else {}
        changed = start_environ(os.environ)
        undo = {key: (changed[key], os.environ.get(key)) for key in changed if changed[key] != os.environ.get(key)}
        return cls(path, folder, tuple(sys.argv), name, environ, undo, {**main, **_scripts})

    def apply(self) -> None:
        """Make this process like it. Raises OSError if its working directory is not visible here."""
        set_sender(self.main)
        sys.path[:] = self.path
        sys.argv[:] = self.argv
        add_scripts(self.scripts)
        self._apply_environ()
        if self.folder:
            os.chdir(self.folder)

    def _apply_environ(self) -> None:
        if self.environ is not None:
            set_environ(self.environ)
            return
        for name, (changed, true) in self.undo.items():
            if os.environ.get(name) == changed:
                if true is None:
                    del os.environ[name]
                else:
                    os.environ[name] = true


def be_far_end() -> None:
    """Declare that this process was started to run the jobs of another one, and does nothing else."""
    fill_gaps()  # its parent may have closed its standard streams
    this_process.is_far_end = True


def is_far_end() -> bool:
    """Return whether this process was started to run the jobs of another one."""
    return this_process.is_far_end


def serve_many() -> None:
    """Declare that this process runs the jobs of many main processes, one after another, and dies with none of them."""
    this_process.serves_many = True


def on_begin(tell: Callable[[float], object]) -> None:
    """Call `tell(seconds)` from now on when a job with a timeout begins in this process."""
    this_process.on_begin = tell


def begin_timeout(seconds: float) -> None:
    """Declare that the job which runs here begins now, and may run for `seconds`."""
    if this_process.on_begin is not None:
        this_process.on_begin(seconds)


def register_script(name: str, path: str) -> None:
    """Declare that module `name` was loaded from the file `path`, so that far ends load it from there too.

    A name that ends in `_` may stand in for the script's own name, which another module has.
    """
    _scripts[name] = os.path.abspath(path)
    if name.endswith("_"):
        stand_in(name, name_of_file(path))


def add_scripts(scripts: Mapping[str, str]) -> None:
    """Make modules importable that the sender loaded from a file: module name → file."""
    for name, path in scripts.items():
        register_script(name, path)
    if not any(isinstance(finder, _ScriptFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ScriptFinder())


def set_environ(environ: Mapping[str, str]) -> None:
    """Set the environment variables of this process to these, and touch only those that differ."""
    for name in [name for name in os.environ if name not in environ]:
        del os.environ[name]
    for name, value in environ.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def interpreter() -> list[str]:
    """Return the command of a fresh Python like this one, up to the module."""
    options = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    options += ["-B"] if sys.flags.dont_write_bytecode else []
    options += [f"-W{option}" for option in sys.warnoptions]
    options += ["-X" + (name if value is True else f"{name}={value}") for name, value in sys._xoptions.items()]
    return [sys.executable, *options]


def start_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ`, changed so that `python -m taskproc.…` starts in any folder, hidden by no file there."""
    changed = {**environ, "PYTHONSAFEPATH": "1"}
    folder = os.path.dirname(PACKAGE_FOLDER)
    # An installed taskproc is found anyway. Its folder in front of the standard library would let others hide modules
    if folder not in {*site.getsitepackages(), site.getusersitepackages()}:
        changed["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, [environ.get("PYTHONPATH")])])
    return changed


class _ScriptFinder:
    """Finds the scripts before any other finder does: a module that has the same name by chance was not meant."""

    # Not an importlib.abc.MetaPathFinder, which adds nothing to this and takes 4 ms to import

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        file = _scripts.get(fullname)
        if file is None:
            return None
        loader = importlib.machinery.SourceFileLoader(fullname, file)
        return importlib.util.spec_from_file_location(fullname, file, loader=loader)
