"""Code that was seen to run is identified by its name in its module."""
from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType

import pytest

from taskproc.source.fingerprint import covers, name_of_code

Load = Callable[[Mapping[str, str]], ModuleType]

TEXT = """
def make():
    class Local:
        def run(self): return 1
    return Local
class Outer:
    class Inner:
        def run(self): return [number for number in (1,)]
square = lambda number: number * number
"""

named = pytest.mark.skipif(sys.version_info < (3, 11), reason="code has its whole name from Python 3.11 on")


@named
def test_what_stands_in_an_item_is_covered_by_it(load: Load) -> None:
    """This also holds in a class that a function makes."""
    module = load({"m": TEXT})
    codes = [module.make().run.__code__, module.Outer.Inner.run.__code__]

    assert [covers({"m:make.<locals>.Local"}, code, "m") for code in codes] == [True, False]
    assert [covers({"m:make"}, code, "m") for code in codes] == [True, False]
    assert [covers({"m:Outer.Inner"}, code, "m") for code in codes] == [False, True]
    assert [covers({"m:Outer.Other", "m:square"}, code, "m") for code in codes] == [False, False]


@named
def test_code_has_the_name_of_the_statement_around_it(load: Load) -> None:
    """Another process finds it in the file by this name."""
    module = load({"m": TEXT})
    codes = [module.make().run.__code__, module.Outer.Inner.run.__code__, module.square.__code__]

    assert [name_of_code(code, "m") for code in codes] == ["m:make", "m:Outer", "m:square"]
