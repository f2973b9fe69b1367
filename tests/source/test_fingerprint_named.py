"""Code that was seen to run is told by the name that it has in its module."""
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
    """Also in a class that a function makes."""
    module = load({"m": TEXT})
    codes = [module.make().run.__code__, module.Outer.Inner.run.__code__]

    assert [covers({"m:make.<locals>.Local"}, code, "m") for code in codes] == [True, False]
    assert [covers({"m:make"}, code, "m") for code in codes] == [True, False]
    assert [covers({"m:Outer.Inner"}, code, "m") for code in codes] == [False, True]
    assert [covers({"m:Outer.Other", "m:square"}, code, "m") for code in codes] == [False, False]


@named
def test_code_has_the_name_of_the_statement_around_it(load: Load) -> None:
    """By which it is found in the file in another process."""
    module = load({"m": TEXT})
    codes = [module.make().run.__code__, module.Outer.Inner.run.__code__, module.square.__code__]

    assert [name_of_code(code, "m") for code in codes] == ["m:make", "m:Outer", "m:square"]
