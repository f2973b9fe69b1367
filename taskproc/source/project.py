"""Whose code it is, and the versions of packages.

The user's code is all code outside the standard library, every site-packages folder, and taskproc. That includes
editable installs, `__main__`, notebook cells, and code that `exec` made.
"""
from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import CodeType, ModuleType

_INSTALLED = frozenset({"site-packages", "dist-packages"})
_NO_PACKAGES = frozenset({"taskproc", "__main__", "None", ""})
# Modules whose functions make classes; a class may get their name if Python does not know its module
_MAKERS = frozenset({"types", "dataclasses", "pydantic.main", "attr._make", "typing", "collections", "enum"})
_LIBRARY = frozenset(sys.stdlib_module_names) | frozenset(sys.builtin_module_names)


@functools.cache
def is_users_file(path: str) -> bool:
    """Whether a file with this name belongs to the user's project; it need not exist."""
    path = os.path.abspath(path)
    # Some installers link each file to a store; a linked folder is an editable install
    if os.path.islink(path) and not _INSTALLED.isdisjoint(Path(path).parts):
        return False
    real = os.path.realpath(path)
    return _INSTALLED.isdisjoint(Path(real).parts) and not real.startswith(_foreign_folders())


def is_users_module(module: ModuleType) -> bool:
    """Whether a module belongs to the user's project. Its attributes are read past any `__getattr__`."""
    names = vars(module)
    path = names.get("__file__")
    if type(path) is str:
        return is_users_file(path)
    name = str(names.get("__name__", ""))
    if name.partition(".")[0] in _LIBRARY - {"__main__"}:
        return False
    places = list(names.get("__path__") or ())  # a package without __init__.py
    return not places or is_users_file(str(places[0]))


def is_users_code(code: CodeType, names: Mapping[str, object]) -> bool:
    """Whether a function with this code and these globals belongs to the user's project."""
    path = code.co_filename
    if not path.startswith("<"):
        return is_users_file(path)
    return not path.startswith("<frozen ") and _is_users_name(names.get("__name__"))


def is_users_class(cls: type) -> bool:
    """Whether a class belongs to the user's project; also if a library made it for the project by a call."""
    if cls.__module__ in _MAKERS:
        return is_made_by_call(cls)
    return _is_users_name(cls.__module__)


def package_of_library(module: str) -> str:
    """The top-level package that a module of a library belongs to; empty for the standard library and taskproc."""
    top = module.partition(".")[0]
    return "" if top in _LIBRARY or top in _NO_PACKAGES else top


def is_made_by_call(cls: type) -> bool:
    """Whether a function such as `types.new_class` made a class, which has the name of the function's module."""
    module = sys.modules.get(cls.__module__) if cls.__module__ in _MAKERS else None
    name = str(cls.__qualname__)
    return module is not None and "." not in name and not name.startswith("_") and name not in vars(module)


def is_extension(module: ModuleType) -> bool:
    """Whether a module is compiled, so that it has no source."""
    return str(vars(module).get("__file__")).endswith(tuple(EXTENSION_SUFFIXES))


def _is_users_name(name: object) -> bool:
    if name == "builtins":
        return False
    module = sys.modules.get(str(name))
    if module is not None:
        return is_users_module(module)
    return str(name).partition(".")[0] not in _LIBRARY


@functools.cache
def _foreign_folders() -> tuple[str, ...]:
    # Not sysconfig: it reads a file that a process which has dropped its rights may not be able to read
    folders = (os.path.dirname(os.__file__), str(Path(__file__).parent.parent))
    return tuple(os.path.realpath(folder) + os.sep for folder in folders)


def project_package_versions(packages: Iterable[str]) -> Mapping[str, str]:
    """Top-level package → version, sorted, of those that are installed. Each is looked up once per process."""
    found = {package: _version_of(package) for package in sorted(packages)}
    return {package: version for package, version in found.items() if version}


@functools.cache
def _version_of(package: str) -> str:
    from importlib import metadata  # here: 10 ms, and not needed where no library is reached

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # `yaml` is installed as PyYAML
        names = _distributions().get(package)
        return metadata.version(names[0]) if names else ""


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    from importlib import metadata

    return metadata.packages_distributions()
