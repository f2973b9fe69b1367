"""The real names of modules, however they were started, and how definitions are found by these names.

`python script.py`, `python -m script`, `python -m taskproc script.py` and `import script` are four ways to run one
module. Keys, folders and pickles use one name for all four, so they share one cache, and a result that one of them
stored is an instance of the others' own classes. The name of a file in a package includes the package, as in an import.
"""
from __future__ import annotations

import functools
import importlib
import itertools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

# Attributes of a `__main__` that stands for that of another process: the file of that one (not `__file__`, which
# multiprocessing would run), and name → `module:qualname`, or a module, for names that were not sent with it
FILE = "__taskproc_file__"
BEHIND = "__taskproc_behind__"

# multiprocessing calls the script by the second name in a child that it spawned, where it is `__main__` as well
MAIN_NAMES = frozenset({"__main__", "__mp_main__"})

# Scripts whose name was taken by another module: the name under which one was loaded → its real name
_stand_ins: dict[str, str] = {}


def main_name() -> str:
    """The name by which an `import` would find the running `__main__`; `__main__` itself in a notebook or a shell."""
    # Not by getattr, which would create an exception for each missing name: each task of `__main__` comes here
    names = getattr(sys.modules.get("__main__"), "__dict__", {})
    adopted, spec, path = names.get("__taskproc_name__"), names.get("__spec__"), names.get("__file__")
    if adopted is not None:
        return str(adopted)
    if spec is not None and spec.name != "__main__":  # which is the spec of a folder or an archive
        return str(spec.name)
    return name_of_file(path) if path else "__main__"


class Site(NamedTuple):
    """The place of the file of a module.

    Attributes:
        folder: the folder of a script, or the one above the outermost package.
        files: name → file of each package that contains the module, outermost first, and of the module itself.
    """

    folder: str
    files: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name by which an `import` would find the module."""
        return [*self.files][-1]

    @property
    def is_packaged(self) -> bool:
        """Whether it is in a package, or is the `__init__.py` of one."""
        return self.folder != os.path.dirname([*self.files.values()][-1])


def name_of_file(path: str) -> str:
    """The name by which an `import` would find the module in a file: `package.module`, or the stem of a script."""
    return _name_of(path if os.path.isabs(path) else os.path.abspath(path))


@functools.lru_cache(maxsize=16)  # each task that `__main__` defines comes here
def _name_of(path: str) -> str:
    return _site_of(path).name


def site_of(path: str) -> Site:
    """The place of the module in the file `path`. Folders above the file that have an `__init__.py` are packages.

    The answer depends on the path only, and neither on the working directory nor on the import path. A link that is not
    in a package itself is followed, as Python does for the folder of a script.
    """
    return _site_of(path if os.path.isabs(path) else os.path.abspath(path))


@functools.lru_cache(maxsize=16)
def _site_of(path: str) -> Site:
    path = os.path.normpath(path)
    packaged = _in_packages(path) or _in_packages(os.path.realpath(path))
    return packaged or Site(os.path.dirname(path), {_stem(path): path})


def _in_packages(path: str) -> Site | None:
    parts = [] if Path(path).stem == "__init__" else [(_stem(path), path)]
    inner = folder = os.path.dirname(path)
    while _is_package(folder):
        parts.insert(0, (os.path.basename(folder), os.path.join(folder, "__init__.py")))
        folder = os.path.dirname(folder)
    names = itertools.accumulate((name for name, _ in parts), "{}.{}".format)
    return None if folder == inner else Site(folder, dict(zip(names, [file for _, file in parts])))


def _is_package(folder: str) -> bool:
    name = os.path.basename(folder)
    # A name with a dot cannot be imported
    return bool(name) and "." not in name and os.path.isfile(os.path.join(folder, "__init__.py"))


def _stem(path: str) -> str:
    # A dot would make it part of a package that does not exist
    return Path(path).stem.replace(".", "_")


def stand_in(name: str, real: str) -> None:
    """Register that the module loaded under `name` is really called `real`."""
    if name != real:
        _stand_ins[name] = real


def real_name(module: str) -> str:
    """The real name of a module: of `__main__`, of a script loaded under another name, or `module` itself."""
    return main_name() if module in MAIN_NAMES else _stand_ins.get(module, module)


def runs_as_main(thing: object) -> bool:
    """Whether a class or function was defined by the running `__main__`."""
    return getattr(thing, "__module__", None) in MAIN_NAMES


def is_renamed(thing: object) -> bool:
    """Whether the `__module__` of a class or function is not the real name of its module."""
    return runs_as_main(thing) or getattr(thing, "__module__", None) in _stand_ins


def object_name(thing: object) -> str:
    """`module:qualname` of a class or function, with the real name of its module."""
    return f"{real_name(getattr(thing, '__module__', None) or '__main__')}:{getattr(thing, '__qualname__')}"


def find_object(name: str) -> object:
    """The class or function called `module:qualname`, also if the module runs as `__main__`.

    Raises ImportError or AttributeError if it does not exist any more.
    """
    module_name, _, qualname = name.partition(":")
    if module_name == main_name():
        return _within(sys.modules["__main__"], qualname)
    for loaded in _loaded_as(module_name):
        try:
            return _within(loaded, qualname)
        except AttributeError:
            continue  # then it belongs to the module that has this name
    return _within(importlib.import_module(module_name), qualname)


def _loaded_as(name: str) -> list[ModuleType]:
    """Modules with this real name that were loaded under another one."""
    return [importlib.import_module(loaded) for loaded, real in _stand_ins.items() if real == name]


def _within(module: ModuleType, qualname: str) -> object:
    value: object = module
    for part in qualname.split("."):
        value = getattr(value, part)
    return value


def is_findable(thing: object) -> bool:
    """Whether the name of `thing` leads to `thing` in this process."""
    try:
        return find_object(object_name(thing)) is thing
    except (ImportError, AttributeError, KeyError, ValueError):
        return False
