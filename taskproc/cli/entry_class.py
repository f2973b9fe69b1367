"""Finds the entry task: loads a script or a module, and looks up `Main` or another class in it.

A script is loaded under the name that its tasks have under `python script.py` and after an import, so that all three
use the same results: its stem, or `package.module` if it is in packages, which are imported first. If another module
already has this name (a module of the standard library, or a loaded one), the script must not take its place:
`random.py` is loaded as `random_`, and its folder comes last on the import path. Its tasks keep their name
`random.Main`.
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
from taskproc.run.far_end import add_scripts, register_script
from taskproc.tasks.task import Task
from taskproc.text import did_you_mean

_packages: set[str] = set()  # outermost packages imported for a script; another one may import them again


class _ScriptLoader(SourceFileLoader):
    """Marks a module as a script that was loaded here: another script may take its name."""


def load_entry(target: str) -> type[Task]:
    """The entry task of `script.py`, `package.module`, `script.py:Class` or `package.module:Class`.

    The class may also follow a dot, as `list` shows it: `package.module.Class`.

    Raises UsageError if there is none; UserError if the module raises while it is loaded.
    """
    return entry_of(*load_target(target))


def load_target(target: str) -> tuple[ModuleType, str, str]:
    """Load the script or module of a target; the module, the place as it was given, and the name of the class."""
    place, name = split(target)
    is_plain_folder = os.path.isdir(place) and not {"__init__.py", "__main__.py"} & set(os.listdir(place))
    if not (is_script(place) or is_plain_folder):
        add_current_folder(first=True)
        place, name = _with_class(place) if place == target else (place, name)
        return _load_module(place, name), place, name
    return load_script(place), place, name


def load_script(path: str) -> ModuleType:
    """The script as a module. Raises UsageError if it does not exist; UserError if it raises while it is loaded."""
    file = absolute_path(path)
    if os.path.isdir(path):
        raise UsageError(f"{path!r} is a folder: give a script in it", hint="")
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
    """The module of a script in packages, by an import, so that its packages and relative imports work."""
    top = next(iter(site.files))
    _forget(top)
    if top in sys.modules and not _is_loaded_from(top, site.files[top]):
        return _load_alone(_free(f"{Path(path).stem}_"), path, first=False)
    first = top not in sys.stdlib_module_names
    add_current_folder(first=first)
    _add_folder(os.path.dirname(os.path.realpath(path)), first=False)  # last, so that it hides nothing
    _add_folder(site.folder, first=first)
    if top not in sys.modules:
        _packages.add(top)
    add_scripts(site.files)
    return _imported(site.name)


def _forget(top: str) -> None:
    """Forget the modules of a package that was imported for a script: each load runs the present files."""
    if top in _packages:
        _packages.discard(top)
        for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
            del sys.modules[name]


def _is_loaded_from(name: str, file: str) -> bool:
    loaded = getattr(sys.modules[name], "__file__", None)
    return isinstance(loaded, str) and os.path.realpath(loaded) == os.path.realpath(file)


def _imported(name: str) -> ModuleType:
    try:
        __import__(name)  # not import_module, whose frame would be in the traceback
    except Exception as error:
        raise UserError from error
    return sys.modules[name]


def _load_module(name: str, entry: str) -> ModuleType:
    """A module, or `__main__` of a package that does not have the entry itself. Raises UsageError if there is none."""
    if not _is_importable(name):
        raise UsageError(f"no such file or module: {name!r}{did_you_mean(name, _sibling_modules(name))}", hint="")
    module, inner = _imported(name), f"{name}.__main__"
    if not hasattr(module, entry.partition(".")[0]) and hasattr(module, "__path__") and _is_importable(inner):
        return _imported(inner)
    return module


def _with_class(name: str) -> tuple[str, str]:
    """Module and class of `package.module.Class`; the class is `Main` if the whole name is a module."""
    module, dot, rest = name.rpartition(".")
    if dot and not _is_importable(name) and _is_importable(module):
        loaded = _imported(module)
        if hasattr(loaded, rest) or rest[:1].isupper():
            return module, rest
    return name, ENTRY


def _is_importable(name: str) -> bool:
    """Whether an import would find the module. Imports the packages that contain it."""
    package, dot, last = name.rpartition(".")
    if not last or (dot and not (_is_importable(package) and hasattr(_imported(package), "__path__"))):
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:
        return False  # such as `__main__`, which has no spec


def _sibling_modules(name: str) -> list[str]:
    package, dot, _ = name.rpartition(".")
    places = list(getattr(sys.modules.get(package), "__path__", ())) if dot else ["."]
    return [f"{package}{dot}{module.name}" for module in pkgutil.iter_modules(places)]


def module_name(path: str) -> str:
    """The name under which the script at `path` is loaded; never that of a module of a library."""
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
    """Add the working directory to the import path as `python -m` does, unless Python runs with `-P`."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        return  # the folder was removed
    if not getattr(sys.flags, "safe_path", False) and not {"", folder} & set(sys.path):  # new in Python 3.11
        _add_folder(folder, first=first)


def _add_folder(folder: str, *, first: bool) -> None:
    """Add a folder to the import path, as Python does for the folder of a script."""
    if first and folder != (sys.path[0] if sys.path else None):
        sys.path.insert(0, folder)
    elif not first and folder not in sys.path:
        sys.path.append(folder)


def entry_of(module: ModuleType, place: str, name: str = ENTRY) -> type[Task]:
    """The class called `name` in a module. Raises UsageError if there is none, or if it is not a task class."""
    cls: object = module
    for part in name.split("."):
        cls = getattr(cls, part, None)
    if isinstance(cls, type) and issubclass(cls, Task) and cls is not Task:
        return cls
    if cls is not None:
        raise UsageError(f"{name} in {place!r} is not a subclass of Task: {cls!r}", hint="")
    tasks = [known for known, value in vars(module).items() if _is_own_task(value, module)]
    modules = [] if tasks else _modules_in(module)
    known = [f"tasks are {', '.join(tasks)}"] * bool(tasks) + [f"modules are {', '.join(modules)}"] * bool(modules)
    there = "".join(f"; its {names}" for names in known)
    near = did_you_mean(name, tasks) if name != ENTRY else ""
    raise UsageError(f"{place!r} has no task called {name}{there}{near}", _remedy(name, tasks, place))


def _remedy(name: str, tasks: list[str], place: str) -> str:
    if name != ENTRY:
        return ""
    other = f", or give another entry task: `run {place}:{tasks[-1]}`" if tasks else ""
    return f"define `class {ENTRY}(Task)` in it{other}"


def _is_own_task(thing: object, module: ModuleType) -> bool:
    is_task = isinstance(thing, type) and issubclass(thing, Task)
    return is_task and f"{thing.__module__}.".startswith(f"{module.__name__}.")  # or of a module of a package


def _modules_in(module: ModuleType) -> list[str]:
    return [f"{module.__name__}.{inner.name}" for inner in pkgutil.iter_modules(getattr(module, "__path__", ()))]
