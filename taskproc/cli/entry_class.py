"""Finding the entry task: a script or a module is loaded, and in it there is a task called `Main`, or as was asked.

A script is loaded under the name under which `python script.py` and an import know its tasks as well, so all share one
cache: its stem, or `package.module` where it lies in packages, which are imported first. Where another module has that
name here (one of the standard library, or one that is loaded already), the script must not stand in for it: `random.py`
is loaded as `random_`, and its folder comes last on the import path. Its tasks keep their name, `random.Main`.
"""
from __future__ import annotations

import importlib.util
import os
import pkgutil
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

from taskproc.cli.target import ENTRY, is_script, split
from taskproc.cli.usage import UsageError, UserError
from taskproc.folders import absolute_path
from taskproc.modules import Site, site_of
from taskproc.run.setup import add_scripts, register_script
from taskproc.tasks.task import Task
from taskproc.text import did_you_mean

_packages: set[str] = set()  # outermost packages that were imported for a script, and may be imported again for another


class _ScriptLoader(SourceFileLoader):
    """Marks a module as a script that was loaded here: another may take its name."""


def load_entry(target: str) -> type[Task]:
    """The entry task of `script.py`, `package.module`, `script.py:Class` or `package.module:Class`.

    A class may stand behind a dot as well, as `list` shows it: `package.module.Class`.

    UsageError if there is none; UserError if the module raises while it is loaded.
    """
    place, name = split(target)
    is_plain_folder = os.path.isdir(place) and not {"__init__.py", "__main__.py"} & set(os.listdir(place))
    if not (is_script(place) or is_plain_folder):
        add_current_folder(first=True)
        place, name = _with_class(place) if place == target else (place, name)
        return entry_of(_load_module(place, name), place, name)
    return entry_of(load_script(place), place, name)


def load_script(path: str) -> ModuleType:
    """The script as a module. UsageError if there is none; UserError if it raises while it is loaded."""
    file = absolute_path(path)
    if os.path.isdir(path):
        raise UsageError(f"{path!r} is a folder: give the script in it", hint="")
    if not os.path.exists(path):
        folder = os.path.dirname(path)
        names = os.listdir(folder or ".") if os.path.isdir(folder or ".") else []
        nearby = [os.path.join(folder, name) for name in names if name.endswith(".py")]
        raise UsageError(f"no such file: {path!r}{did_you_mean(path, nearby)}", hint="")
    site = site_of(path)
    if site.is_packaged:
        return _load_in_packages(site, file)
    name = module_name(path)
    return _load_alone(name, file, first=name == site.name)


def _load_alone(name: str, file: str, *, first: bool) -> ModuleType:
    add_current_folder(first=first)
    _add_folder(os.path.dirname(os.path.realpath(file)), first=first)
    loader = _ScriptLoader(name, file)
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None, "a loader was given [this is a bug]"
    return _execute(spec, loader)


def _load_in_packages(site: Site, path: str) -> ModuleType:
    """The module by an import of its own, so that its packages are there, and what it imports relatively."""
    top = next(iter(site.files))
    _forget(top)
    if top in sys.modules and not _is_loaded_from(top, site.files[top]):
        return _load_alone(_free(f"{Path(path).stem}_"), path, first=False)
    first = top not in sys.stdlib_module_names
    add_current_folder(first=first)
    _add_folder(os.path.dirname(os.path.realpath(path)), first=False)  # as for other scripts, but it hides nothing
    _add_folder(site.folder, first=first)
    if top not in sys.modules:
        _packages.add(top)
    add_scripts(site.files)
    return _imported(site.name)


def _forget(top: str) -> None:
    """Each load runs the files as they are now."""
    if top in _packages:
        _packages.discard(top)
        for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
            del sys.modules[name]


def _is_loaded_from(name: str, file: str) -> bool:
    loaded = getattr(sys.modules[name], "__file__", None)
    return isinstance(loaded, str) and os.path.realpath(loaded) == os.path.realpath(file)


def _imported(name: str) -> ModuleType:
    try:
        __import__(name)  # not import_module, whose frame would stand in the traceback
    except Exception as error:
        raise UserError from error
    return sys.modules[name]


def _load_module(name: str, entry: str) -> ModuleType:
    """A module, or the `__main__` of a package that has no such entry itself. UsageError if it cannot be found."""
    if not _is_there(name):
        raise UsageError(f"no such file or module: {name!r}{did_you_mean(name, _modules_beside(name))}", hint="")
    module, inner = _imported(name), f"{name}.__main__"
    if not hasattr(module, entry.partition(".")[0]) and hasattr(module, "__path__") and _is_there(inner):
        return _imported(inner)
    return module


def _with_class(name: str) -> tuple[str, str]:
    """Module and class of `package.module.Class`; what is a module itself is one, and its entry is `Main`."""
    module, dot, rest = name.rpartition(".")
    if dot and not _is_there(name) and _is_there(module):
        loaded = _imported(module)
        if hasattr(loaded, rest) or rest[:1].isupper():
            return module, rest
    return name, ENTRY


def _is_there(name: str) -> bool:
    """Whether import would find it. Imports the packages around it."""
    package, dot, last = name.rpartition(".")
    if not last or (dot and not (_is_there(package) and hasattr(_imported(package), "__path__"))):
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:
        return False  # such as `__main__`, of which there is no spec


def _modules_beside(name: str) -> list[str]:
    package, dot, _ = name.rpartition(".")
    places = list(getattr(sys.modules.get(package), "__path__", ())) if dot else ["."]
    return [f"{package}{dot}{found.name}" for found in pkgutil.iter_modules(places)]


def module_name(path: str) -> str:
    """Under which name the script at `path` is loaded; never under that of a library's module."""
    return _free(site_of(path).name.rpartition(".")[2])


def _free(name: str) -> str:
    while _is_taken(name):
        name += "_"
    return name


def _is_taken(name: str) -> bool:
    if name in sys.stdlib_module_names:
        return True
    loaded = sys.modules.get(name)
    return loaded is not None and not isinstance(getattr(loaded, "__loader__", None), _ScriptLoader)


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


def add_current_folder(*, first: bool) -> None:
    """As `python -m` does, unless Python was asked to leave the folder out; the console script has another there."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        return  # it was removed
    if not getattr(sys.flags, "safe_path", False) and not {"", folder} & set(sys.path):  # a flag of Python 3.11
        _add_folder(folder, first=first)


def _add_folder(folder: str, *, first: bool) -> None:
    """As Python does for the folder of a script, so that its neighbours can be imported."""
    if first and folder != (sys.path[0] if sys.path else None):
        sys.path.insert(0, folder)
    elif not first and folder not in sys.path:
        sys.path.append(folder)


def entry_of(module: ModuleType, place: str, name: str = ENTRY) -> type[Task]:
    """The class called `name` in a module. UsageError if there is none, or if it is not a task class."""
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, Task) and found is not Task:
        return found
    if found is not None:
        raise UsageError(f"{name} in {place!r} is no subclass of Task: {found!r}", hint="")
    tasks = [known for known, thing in vars(module).items() if _is_own_task(thing, module)]
    modules = [] if tasks else _modules_in(module)
    known = [f"tasks are {', '.join(tasks)}"] * bool(tasks) + [f"modules are {', '.join(modules)}"] * bool(modules)
    there = "".join(f"; its {each}" for each in known)
    near = did_you_mean(name, tasks) if name != ENTRY else ""
    raise UsageError(f"{place!r} has no task called {name}{there}{near}", _remedy(name, tasks, place))


def _remedy(name: str, tasks: list[str], place: str) -> str:
    if name != ENTRY:
        return ""
    named = f", or name another entry task: `run {place}:{tasks[-1]}`" if tasks else ""
    return f"define `class {ENTRY}(Task)` in it{named}"


def _is_own_task(thing: object, module: ModuleType) -> bool:
    is_task = isinstance(thing, type) and issubclass(thing, Task)
    return is_task and f"{thing.__module__}.".startswith(f"{module.__name__}.")  # of a package: of its modules, too


def _modules_in(module: ModuleType) -> list[str]:
    return [f"{module.__name__}.{each.name}" for each in pkgutil.iter_modules(getattr(module, "__path__", ()))]
