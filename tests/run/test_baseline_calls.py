"""State that is put back around one call, in any process and any thread."""
from __future__ import annotations

import decimal
import os
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from taskproc.run.baseline import folder_put_back, in_own_context, own_umask, umask_put_back

numpy: Any = pytest.importorskip("numpy")
variable: ContextVar[int] = ContextVar("variable", default=0)


def change() -> tuple[str, int]:
    """Change all of it, and return how it looks then."""
    decimal.setcontext(decimal.Context(prec=2))
    numpy.seterr(all="raise")
    numpy.set_printoptions(precision=2)
    variable.set(1)
    return str(decimal.Decimal(1) / 3), variable.get()


def look() -> tuple[Any, ...]:
    return decimal.getcontext().prec, str(decimal.getcontext()), numpy.geterr(), variable.get()


def test_what_is_set_in_the_context_is_gone() -> None:
    """The function sees what it sets in the context, and nobody else does."""
    before = look()

    assert ("0.33", 1) == in_own_context(change)
    assert before == look()


def test_what_was_set_before_is_seen() -> None:
    """The context of a call begins as a copy of the caller's."""
    with decimal.localcontext() as context:
        context.prec = 5

        assert 5 == in_own_context(lambda: decimal.getcontext().prec)


def test_umask_and_folder_are_put_back(tmp_path: Path) -> None:
    """Umask and folder are put back, even after an exception."""
    before = own_umask(), os.getcwd()
    with pytest.raises(KeyError), umask_put_back(before[0]), folder_put_back():
        os.umask(0o777)
        os.chdir(tmp_path)
        raise KeyError

    assert before == (own_umask(), os.getcwd())
