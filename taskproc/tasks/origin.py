"""What the running `__main__` defines, sent once per run to every process that runs its tasks.

A far end cannot import a script that has no guard without running it, nor a notebook at all. So the classes and
functions of `__main__` travel by value, all together, into one file of the run; jobs and results name them, and find
them there.
"""
from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType, ModuleType

from taskproc.by_value import DEFINITIONS, dumps, remember_text
from taskproc.frozen import frozen
from taskproc.modules import BEHIND, FILE, main_name, object_name, runs_as_main
from taskproc.run.setup import Setup, add_scripts
from taskproc.source.source_files import loaded_file, loaded_texts

_adopted: set[str] = set()


@frozen
class Origin:
    """Where jobs come from.

    Attributes:
        main: what the `__main__` of the sender is really called.
        path: file with its definitions; empty if it defines nothing.
        process: id of the sender.
        scripts: module name → file, for modules that import does not find by their name.
    """

    main: str
    path: str
    process: int
    scripts: Mapping[str, str]

    def adopt(self) -> None:
        """Make the sender's definitions those of `__main__` here, unless they are there already."""
        if os.getpid() == self.process:
            return
        add_scripts(self.scripts)
        # A forked or spawned child has its parent's script; of a notebook it has what was defined when it was forked,
        # and what was adopted from an earlier run may have been edited since
        adopted = isinstance(sys.modules["__main__"], _Definitions)
        inherited = main_name() == self.main != "__main__" and not adopted
        if not self.path or inherited or self.path in _adopted:
            return
        content = pickle.loads(Path(self.path).read_bytes())
        _adopted.add(self.path)
        for path, text in content["texts"].items():
            remember_text(path, text)
        main = sys.modules["__main__"] = _Definitions("__main__")
        main.__dict__.update(__taskproc_name__=self.main, _missing=content["missing"])
        found = pickle.loads(content["found"])
        main.__dict__.update({**found, FILE: content["file"], BEHIND: content["behind"]})
        _complete(found)


def _complete(found: Mapping[str, object]) -> None:
    """Let functions find in their globals all that came with them.

    A function that travels has what its code names. Its decorators and defaults name more, and count as code.
    """
    spaces = {id(some.__globals__): some.__globals__ for some in found.values() if isinstance(some, FunctionType)}
    for names in spaces.values():
        names.update({name: some for name, some in found.items() if name not in names})


def record_origin(folder: Path) -> Origin:
    """Write the definitions of this process's `__main__` into `folder`; costs a pickle of them, once per run."""
    main = vars(sys.modules["__main__"])
    code = {name: some for name, some in main.items() if isinstance(some, DEFINITIONS)}
    defined = {name: some for name, some in code.items() if runs_as_main(some)}
    scripts = {name: path for name, path in Setup.here().scripts.items() if name != main_name()}
    if not defined:
        return Origin(main_name(), "", os.getpid(), scripts)
    path = folder / "main.pkl"
    path.touch(0o600)
    file = loaded_file(sys.modules["__main__"])  # a worker may start when it has been edited
    texts = {**loaded_texts(defined.values()), **({file.path: file.text} if file is not None else {})}
    behind = {} if file is not None else _left_behind(main, code)
    about = {"texts": texts, "file": main.get("__file__"), "behind": behind}
    path.write_bytes(pickle.dumps({**_by_value(defined), **about}))
    return Origin(main_name(), str(path), os.getpid(), scripts)


def _left_behind(main: Mapping[str, object], code: Mapping[str, object]) -> dict[str, str]:
    """What the names of a notebook stand for that lead elsewhere: its code travels, with what that names, no more."""
    names = {name: object_name(some) for name, some in code.items() if not runs_as_main(some)}
    return names | {name: str(some.__name__) for name, some in main.items() if type(some) is ModuleType}


def _by_value(defined: Mapping[str, object]) -> dict[str, object]:
    spawned = sys.modules.get("__mp_main__")
    if spawned is None:
        return _packed(defined)
    import cloudpickle  # here: 28 ms, and not needed where nothing is to be run

    # What multiprocessing calls the script in a child that it spawned is, for cloudpickle, a module as any other
    cloudpickle.register_pickle_by_value(spawned)
    try:
        return _packed(defined)
    finally:
        cloudpickle.unregister_pickle_by_value(spawned)


def _packed(defined: Mapping[str, object]) -> dict[str, object]:
    try:
        return {"found": dumps(dict(defined)), "missing": {}}
    except Exception:  # noqa: BLE001  # whatever the user's classes raise when pickled
        pass  # one of them reaches something that cannot travel: find out which, the others can
    found: dict[str, object] = {}
    missing: dict[str, str] = {}
    for name, thing in defined.items():
        try:
            dumps(thing)
            found[name] = thing
        except Exception as error:  # noqa: BLE001  # as above
            missing[name] = f"{type(error).__name__}: {error}"
    return {"found": dumps(found), "missing": missing}


class _Definitions(ModuleType):
    """Stands for the sender's `__main__`."""

    _missing: Mapping[str, str]

    def __getattr__(self, name: str) -> object:
        if reason := self.__dict__.get("_missing", {}).get(name):
            raise AttributeError(
                f"{name} of {self.__dict__['__taskproc_name__']} uses what cannot be sent to a worker ({reason}). "
                "Make that inside run_task, put the code into a module, or run in threads"
            )
        raise AttributeError(f"module {self.__dict__.get('__taskproc_name__')!r} has no attribute {name!r}")
