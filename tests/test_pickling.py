"""Exceptions across a border: as themselves wherever that can be, in full words where not, with what led to them."""
from __future__ import annotations

import builtins
import dataclasses
import pickle
import sys
import threading
import traceback
from typing import Any

import pytest

from taskproc.errors import RemoteError, RemoteTraceback
from taskproc.pickling import MOST_LINKS, error_text, pack_error, unpack_error


class Plain(Exception):
    pass


class TwoArguments(Exception):
    """Its arguments are not those of its __init__."""

    def __init__(self, first: str, second: str):
        super().__init__(first + second)
        self.first = first


class Changing(Exception):
    """Would say something else, were its __init__ called again."""

    def __init__(self, text: str):
        super().__init__(f"<{text}>")


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int):
        super().__init__("slotted")
        self.code = code


class Hidden(Exception):
    __slots__ = ("__code",)

    def __init__(self, code: int):
        super().__init__("hidden")
        self.__code = code


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int
    text: str = ""


class Gone(FileNotFoundError):
    """Python keeps its arguments in fields of its own."""

    def __init__(self, path: str):
        super().__init__(2, "gone", path)


class Says(Exception):
    def __init__(self, *, how: str):
        super().__init__()
        self.how = how

    def __str__(self) -> str:
        return f"says {self.how}"

    def __reduce__(self) -> Any:
        return _says, (self.how,)


def _says(how: str) -> Says:
    return Says(how=how)


class Locked(Exception):
    """Has what cannot be pickled, and says how to do without."""

    def __init__(self, text: str):
        super().__init__(text)
        self.lock = threading.Lock()

    def __reduce__(self) -> Any:
        return Locked, self.args


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Demanding(Exception):
    def __new__(cls, *args: Any) -> Any:
        if len(args) != 2:
            raise TypeError("two are needed")
        return super().__new__(cls, *args)

    def __init__(self, left: str, right: str):
        super().__init__(left)


def local() -> Exception:
    class Local(Exception):
        def __init__(self, code: int, text: str):
            super().__init__(text)
            self.code = code

    return Local(3, "local")


def decoding() -> Exception:
    try:
        b"\xff".decode()
    except UnicodeDecodeError as error:
        return error
    raise AssertionError


def noted() -> Exception:
    error = Plain("a")
    error.__notes__ = ["for b"]
    return error


def there_and_back(error: BaseException, traceback: str = "") -> Any:
    return unpack_error(pickle.loads(pickle.dumps(pack_error(error))), traceback)


THEMSELVES = [
    ValueError("x"), KeyError("a\nb"), KeyError(("a", 1)), Plain(), Plain("a", 2), SystemExit(3), OSError(2, "no", "f"),
    StopIteration(3), decoding(), noted(), TwoArguments("a", "b"), Changing("x"), Slotted(3), Hidden(3), Frozen(3, "a"),
    Gone("/a"), Says(how="so"), Silent("x"), local(), ImportError("a", name="b"),
]  # fmt: skip


@pytest.mark.parametrize("error", THEMSELVES, ids=lambda error: type(error).__name__)
def test_an_exception_comes_back_as_itself(error: BaseException) -> None:
    """Class, arguments, text, and all that its class or somebody else hung on it."""
    again = there_and_back(error)

    assert (type(again), again.args, error_text(again)) == (type(error), error.args, error_text(error))
    assert vars(again) == vars(error)
    for name in ("code", "_Hidden__code", "filename", "errno", "value", "name", "start"):
        assert getattr(again, name, None) == getattr(error, name, None)


def test_a_class_that_says_how_is_asked() -> None:
    """It knows best what it is made of."""
    again = there_and_back(Locked("text"))

    assert (type(again), str(again), type(again.lock)) == (Locked, "text", type(threading.Lock()))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups")
def test_a_group_comes_back_with_its_members() -> None:
    """Also such as would not survive the call of their class."""
    group: Any = getattr(builtins, "ExceptionGroup")
    error = group("several", [TwoArguments("a", "b"), group("inner", [Slotted(3)])])

    again = there_and_back(error)

    assert (type(again), str(again)) == (group, str(error))
    assert (again.exceptions[0].first, again.exceptions[1].exceptions[0].code) == ("a", 3)
    assert RemoteError is type(there_and_back(group("with a lock", [Plain(threading.Lock())])))


STAND_INS: list[tuple[BaseException, str]] = [
    (Plain("locked", threading.Lock()), "Plain: ('locked', <unlocked _thread.lock object at"),
    (Plain("x" * 2_000_000), f"Plain: {'x' * 4993}\n[… 1,990,007 characters …]\n{'x' * 5000}"),
    (Demanding("one\ntwo\x1b[31m", "b"), "Demanding: one\ntwo\\x1b[31m"),
]


@pytest.mark.parametrize(("error", "text"), STAND_INS, ids=lambda some: type(some).__name__)
def test_one_that_cannot_come_over_has_a_stand_in(error: Exception, text: str) -> None:
    """Which says its class, and its text to the last line, but nothing that a terminal would obey."""
    again = there_and_back(error)

    assert type(again) is RemoteError
    assert str(again).startswith(text)


def raised(error: BaseException, cause: BaseException | None = None, *, context: BaseException | None = None) -> Any:
    try:
        try:
            if context is not None:
                raise context
        finally:
            if cause is not None:
                raise error from cause
            raise error
    except type(error) as caught:
        return caught


def test_what_led_to_it_comes_along() -> None:
    """Causes and contexts, each as itself or as its stand-in; the traceback from there is the last of them."""
    inner = Plain(threading.Lock())
    middle = raised(TwoArguments("a", "b"), context=inner)
    error = raised(Plain("outer"), middle)

    again = there_and_back(error, "Traceback …")

    assert (type(again), type(again.__cause__), again.__cause__.first) == (Plain, TwoArguments, "a")
    assert again.__suppress_context__
    assert again.__cause__.__cause__ is None
    assert type(again.__cause__.__context__) is RemoteError
    assert isinstance(again.__cause__.__context__.__cause__, RemoteTraceback)
    told = "".join(traceback.format_exception(again))
    assert told.index("Traceback …") < told.index("_thread.lock") < told.index("ab\n") < told.index("Plain: outer")


def test_what_was_left_out_on_purpose_stays_out() -> None:
    """`raise … from None`."""
    error = raised(Plain("outer"), context=KeyError("inner"))
    error.__cause__ = None  # sets __suppress_context__, as `from None` does

    again = there_and_back(error)

    assert (again.__cause__, again.__context__) == (None, None)


def test_the_traceback_is_told_once() -> None:
    """However many borders it crosses."""
    again = there_and_back(there_and_back(Plain("x"), "there"), "here")

    assert str(again.__cause__) == '\n"""\nthere"""'
    assert again.__cause__.__cause__ is None


def test_a_frozen_exception_may_have_a_cause() -> None:
    """Its class refuses every attribute that is set."""
    error = Frozen(1)
    object.__setattr__(error, "__cause__", Frozen(2))

    again = there_and_back(error, "there")

    assert (again.code, again.__cause__.code) == (1, 2)
    assert isinstance(again.__cause__.__cause__, RemoteTraceback)


def test_a_chain_that_is_endless_ends() -> None:
    """Of a long one the last links are left out; they are in the traceback."""
    one, two = Plain("one"), Plain("two")
    one.__cause__, two.__cause__ = two, one
    long = Plain("0")
    for number in range(100):
        long.__context__, long = Plain(str(number)), long
        long = raised(Plain(str(number + 1)), long)

    circle = there_and_back(one)
    count, link = 0, there_and_back(long)
    while link is not None:
        count, link = count + 1, link.__cause__

    assert str(circle.__cause__) == "two"
    assert circle.__cause__.__cause__ is None
    assert count == MOST_LINKS


@pytest.mark.parametrize("content", [b"", b"\x80\x05cno_such_module\nE\n.", pickle.dumps(3), pickle.dumps([(1, 2)])])
def test_foreign_bytes_are_nothing(content: bytes) -> None:
    """Whoever asks has a text to show instead."""
    assert unpack_error(content) is None


def test_a_class_that_is_not_there_any_more_costs_the_exception_only() -> None:
    """Its text is known."""
    content = pickle.dumps([("", b"\x80\x05cno_such_module\nE\n.", "E: words"), ("__cause__", None, "F: why")])

    again = unpack_error(content)

    assert (type(again), str(again), str(again.__cause__)) == (RemoteError, "E: words", "F: why")
