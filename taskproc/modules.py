"""What a module is really called, also while it runs as `__main__`, and how its objects are found again by that name.

`python script.py`, `python -m script`, `python -m taskproc script.py` and `import script` are four ways to run one
module. Keys, folders and pickles use the one name, so all four share one cache, and what one of them stored is an
instance of the other's own classes.
"""
from __future__ import annotations

import functools
import importlib
import sys
from pathlib import Path

# The second is what multiprocessing calls the script in a child that it spawned; it is `__main__` there, too
_MAIN_NAMES = frozenset({"__main__", "__mp_main__"})


def main_name() -> str:
    """The name by which an `import` would find the running `__main__`; `__main__` itself in a notebook or a shell."""
    # Not by getattr, which makes an error first where there is none of that name: each task of `__main__` asks
    names = getattr(sys.modules.get("__main__"), "__dict__", {})
    adopted, spec, path = names.get("__taskproc_name__"), names.get("__spec__"), names.get("__file__")
    if adopted is not None:
        return str(adopted)
    if spec is not None:
        return str(spec.name)
    return _stem(path) if path else "__main__"


@functools.lru_cache(maxsize=4)  # asked for each task that `__main__` defines
def _stem(path: str) -> str:
    # Windows starts some scripts under the path of a launcher; a stem is all that counts
    return Path(path).stem


def real_name(module: str) -> str:
    """`module`, or what `__main__` is really called."""
    return main_name() if module in _MAIN_NAMES else module


def runs_as_main(thing: object) -> bool:
    """Whether a class or function was defined by the running `__main__`."""
    return getattr(thing, "__module__", None) in _MAIN_NAMES


def object_name(thing: object) -> str:
    """`module:qualname` of a class or function, with `__main__` resolved."""
    return f"{real_name(getattr(thing, '__module__', None) or '__main__')}:{getattr(thing, '__qualname__')}"


def find_object(name: str) -> object:
    """The class or function called `module:qualname`; looks into the running `__main__` where it bears that name.

    Raises ImportError or AttributeError if it is not there any more.
    """
    module_name, _, qualname = name.partition(":")
    found: object = sys.modules["__main__"] if module_name == main_name() else importlib.import_module(module_name)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def is_findable(thing: object) -> bool:
    """Whether `thing` is what its own name leads to, here and now."""
    try:
        return find_object(object_name(thing)) is thing
    except (ImportError, AttributeError, KeyError, ValueError):
        return False
