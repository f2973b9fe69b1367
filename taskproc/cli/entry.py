"""Finding the entry task: a script becomes a module, and in it there is a task called `Main`.

A script is loaded under its stem, the name under which `python script.py` and an import know its tasks as well, so all
share one cache. Where the stem is the name of a module of the standard library, or of one that is loaded already, the
script must not stand in for it: `random.py` is loaded as `random_`, and its folder comes last on the import path.
"""
from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

from taskproc.cli.usage import UsageError, UserError
from taskproc.run.setup import register_script
from taskproc.tasks.task import Task

ENTRY = "Main"


class _ScriptLoader(SourceFileLoader):
    """Marks a module as a script that was loaded here: another may take its name."""


def load_script(path: str) -> ModuleType:
    """The script as a module. UsageError if there is none; UserError if it raises while it is loaded."""
    if os.path.isdir(path):
        raise UsageError(f"{path!r} is a folder: give the script in it", hint="")
    if not os.path.exists(path):
        raise UsageError(f"no such file: {path!r}", hint="")
    name = module_name(path)
    file = os.path.abspath(path)
    _add_folder(os.path.dirname(os.path.realpath(path)), first=name == Path(path).stem)
    loader = _ScriptLoader(name, file)
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None, "a loader was given [this is a bug]"
    return _execute(spec, loader)


def _execute(spec: ModuleSpec, loader: SourceFileLoader) -> ModuleType:
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(spec.name)
    sys.modules[spec.name] = module
    register_script(spec.name, str(spec.origin))
    try:
        loader.exec_module(module)
    except BaseException as error:
        del sys.modules[spec.name]
        if before is not None:
            sys.modules[spec.name] = before
        if isinstance(error, Exception):
            raise UserError from error
        raise
    return module


def module_name(path: str) -> str:
    """What the script at `path` is called as a module; never the name of a library's module."""
    # A dot would make it a part of a package that is not there
    name = Path(path).stem.replace(".", "_")
    while _is_taken(name):
        name += "_"
    return name


def _is_taken(name: str) -> bool:
    if name in sys.stdlib_module_names:
        return True
    loaded = sys.modules.get(name)
    return loaded is not None and not isinstance(getattr(loaded, "__loader__", None), _ScriptLoader)


def _add_folder(folder: str, *, first: bool) -> None:
    """As Python does for the folder of a script, so that its neighbours can be imported."""
    if first and folder != (sys.path[0] if sys.path else None):
        sys.path.insert(0, folder)
    elif not first and folder not in sys.path:
        sys.path.append(folder)


def entry_of(module: ModuleType, path: str) -> type[Task]:
    """The class `Main` of a script. UsageError if there is none, or if it is no task."""
    found = getattr(module, ENTRY, None)
    if isinstance(found, type) and issubclass(found, Task) and found is not Task:
        return found
    if found is not None:
        raise UsageError(f"{ENTRY} in {path!r} is no subclass of Task: {found!r}", hint="")
    tasks = [name for name, thing in vars(module).items() if _is_own_task(thing, module)]
    there = f"; its tasks are {', '.join(tasks)}" if tasks else ""
    raise UsageError(f"{path!r} has no task called {ENTRY}{there}", f"define `class {ENTRY}(Task)` in it")


def _is_own_task(thing: object, module: ModuleType) -> bool:
    return isinstance(thing, type) and issubclass(thing, Task) and thing.__module__ == module.__name__
