"""One module has one name, however it is run."""
from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

from taskproc.modules import find_object, is_findable, main_name, object_name, real_name, runs_as_main


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An empty `__main__`, as of a shell."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def define(module: ModuleType, text: str) -> Any:
    exec(text, vars(module))
    return module


def test_a_script_is_called_as_an_import_would_call_it(main: ModuleType) -> None:
    """By the stem of its file, in whatever folder."""
    main.__file__ = "/some/where/pipeline.py"

    assert (main_name(), real_name("__main__"), real_name("other")) == ("pipeline", "pipeline", "other")


def test_a_module_run_by_its_name_keeps_it(main: ModuleType) -> None:
    """`python -m a.b`; the file does not count."""
    main.__spec__ = ModuleSpec("a.b", None)
    main.__file__ = "/else/c.py"

    assert main_name() == "a.b"


def test_a_shell_has_no_other_name(main: ModuleType) -> None:
    """Nothing could import it."""
    assert main_name() == "__main__"


def test_what_was_adopted_is_called_as_at_its_origin(main: ModuleType) -> None:
    """A worker that has the definitions of a script calls them as the script does."""
    main.__file__ = "/lib/worker.py"
    vars(main)["__taskproc_name__"] = "pipeline"

    assert main_name() == "pipeline"


@pytest.mark.parametrize("alias", ["__main__", "__mp_main__"])
def test_what_runs_as_main_is_found_by_its_real_name(main: ModuleType, alias: str) -> None:
    """Also in a child of multiprocessing, which calls the script `__mp_main__`."""
    main.__file__ = "/some/where/pipeline.py"
    main.__name__ = alias
    define(main, "class Outer:\n    class Inner: pass\ndef function(): pass")

    for thing in (main.Outer, main.Outer.Inner, main.function):
        assert runs_as_main(thing)
        assert object_name(thing) == f"pipeline:{thing.__qualname__}"
        assert find_object(object_name(thing)) is thing
        assert is_findable(thing)


def test_a_running_script_is_not_imported_a_second_time(main: ModuleType) -> None:
    """Its name leads to the objects that run, though a module of that name could be imported."""
    main.__file__ = "/some/where/json.py"
    define(main, "class JSONDecoder: pass")

    assert find_object("json:JSONDecoder") is vars(main)["JSONDecoder"]


def test_what_was_replaced_or_is_local_is_not_findable(main: ModuleType) -> None:
    """An object that its name does not lead to is told from the one that it leads to."""
    main.__file__ = "pipeline.py"
    old = define(main, "class Thing: pass").Thing
    define(main, "class Thing: pass\ndef make():\n    class Local: pass\n    return Local")

    assert not is_findable(old)
    assert is_findable(vars(main)["Thing"])
    assert not is_findable(vars(main)["make"]())


def test_a_name_that_leads_nowhere_is_an_error() -> None:
    """An ImportError for the module, an AttributeError for the object."""
    with pytest.raises(ImportError):
        find_object("no_such_module_there:Thing")
    with pytest.raises(AttributeError):
        find_object("json:Thing")
    assert find_object("json:JSONDecoder.decode") is __import__("json").JSONDecoder.decode
