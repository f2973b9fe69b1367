"""Laws of refusals: a value without a form is refused with its place, the reason and the remedy."""
from __future__ import annotations

import collections
import dataclasses
import functools
import sys
import threading
import typing

import pytest

from taskproc.errors import UnnamableValue
from taskproc.values.encode import canonical_text, json_form, key_form
from tests.identity.samples import WHERE, Keyed, Model, Pair, Point, function


class OwnInt(int):
    pass


class OwnDict(dict):  # type: ignore[type-arg]
    pass


@dataclasses.dataclass
class Derived:
    x: int

    def __post_init__(self) -> None:
        self.double = 2 * self.x

    @functools.cached_property
    def half(self) -> float:
        return self.x / 2


def closure() -> typing.Callable[[], None]:
    def inner() -> None:
        pass

    return inner


REFUSED = [
    (Model(), "argument 'x' of Train has no canonical form (tests.identity.samples.Model); pass it as the output of"),
    ([0, {"a": Model()}], "argument 'x[1]['a']' of Train has no canonical form"),
    (Point(Pair(1, Model())), "argument 'x.x.right' of Train has no"),
    ({(1, Model()): 1}, "argument 'x.keys()[0][1]' of Train has no"),
    ({(1,): Model()}, "argument 'x[tuple]' of Train has no"),
    ({1, Model()}, "argument 'x{...}' of Train has no"),
    (collections.deque([Model()]), "argument 'x[0]' of Train has no"),
    (functools.partial(function, 1, Model()), "argument 'x.args[1]' of Train has no"),
    (functools.partial(function, a=Model()), "argument 'x.keywords['a']' of Train has no"),
    (Keyed({"net": Model()}), "argument 'x.__task_key__()['net']' of Train has no"),
    (OwnInt(1), "({module}.OwnInt, a subclass of int); convert it to int, or"),
    (OwnDict(), "({module}.OwnDict, a subclass of dict); convert it to dict, or"),
    (KeyError("a"), "(builtins.KeyError, a subclass of BaseException)"),
    (Derived(1), "({module}.Derived with attribute 'double' that is not a field); declare it as a field, or"),
    (lambda: None, "(function {module}.<lambda> cannot be found by its name); use a function at the top level"),
    (closure(), "closure.<locals>.inner cannot be found by its name"),
    ([].append, "function list.append cannot be found"),
    (Keyed(1).__task_key__, "Keyed.__task_key__ cannot be found"),
    (list[int], "has no canonical form"),
    (threading.Lock(), "has no canonical form (_thread.lock"),
    (object(), "(builtins.object); make it in run_task, or pass it as the output of a task"),
    (iter([1]), "has no canonical form"),
    (memoryview(b"a"), "has no canonical form"),
    (sys, "has no canonical form (builtins.module)"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=lambda value: f"{type(value).__name__}")
def test_refusal_names_the_place_and_the_remedy(value: object, message: str) -> None:
    """A value that cannot be encoded is refused with its path, in keys as in JSON."""
    for form in (key_form, json_form):
        with pytest.raises(UnnamableValue) as caught:
            form(value, WHERE)

        assert message.replace("{module}", __name__) in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [threading.Lock(), threading.RLock(), (each for each in ()), sys, iter([1]), memoryview(b"a"), object()],
    ids=lambda value: type(value).__name__,
)
def test_what_is_built_in_is_not_advised_to_have_methods(value: object) -> None:
    """The remedy for a built-in type does not suggest a method."""
    with pytest.raises(UnnamableValue) as caught:
        key_form(value, WHERE)

    assert str(caught.value).endswith("; make it in run_task, or pass it as the output of a task")


def test_place_without_quotes() -> None:
    """The path begins with the name of the argument as the caller writes it."""
    with pytest.raises(UnnamableValue, match=r"^argument model\[0\] of Train has no canonical form"):
        key_form([Model()], "argument model of Train")
    with pytest.raises(UnnamableValue, match=r"^a FutureDict\['a'\] has no canonical form"):
        key_form({"a": Model()}, "a FutureDict")


def test_partial_with_attributes_is_refused() -> None:
    """A partial with extra attributes is refused, because they would be left out."""
    value = functools.partial(function)
    value.note = 1  # type: ignore[attr-defined]

    with pytest.raises(UnnamableValue, match="partial with attributes"):
        key_form(value, WHERE)


def test_self_reference_is_refused() -> None:
    """A value that contains itself is refused with another message than a deep one."""
    loop: list[object] = [1]
    loop.append({"a": loop})

    with pytest.raises(UnnamableValue, match=r"^argument 'x\[1\]\['a'\]' of Train is argument 'x' again: "):
        key_form(loop, WHERE)


def test_own_key_that_is_itself_is_refused() -> None:
    """A hook that returns its own value is refused with a message."""
    value = Keyed(None)
    value.key = value

    with pytest.raises(UnnamableValue, match="again"):
        key_form(value, WHERE)


def nest(depth: int) -> object:
    value: object = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("wrap", [nest, lambda depth: Point(nest(depth)), lambda depth: {1: nest(depth)}])
def test_deep_nesting_is_refused(wrap: typing.Callable[[int], object]) -> None:
    """A deep value raises UnnamableValue with a short path, and no RecursionError."""
    with pytest.raises(UnnamableValue, match="more than 100 levels deep") as caught:
        key_form(wrap(5000), WHERE)

    assert len(str(caught.value)) < 300


def test_hundred_levels_work() -> None:
    """A value below the limit of depth is encoded and written."""
    assert "[" * 91 + "]" * 91 == canonical_text(key_form(nest(90), WHERE))
    assert 500 * [[[]]] == key_form(500 * [[[]]], WHERE)


def test_no_room_on_the_stack() -> None:
    """A caller near the recursion limit gets UnnamableValue too."""
    value = nest(90)

    def below(levels: int) -> object:
        return below(levels - 1) if levels else key_form(value, WHERE)

    def deepest() -> None:
        for levels in range(50, 5000, 20):
            below(levels)

    with pytest.raises((UnnamableValue, RecursionError)) as caught:
        deepest()

    assert isinstance(caught.value, UnnamableValue)
    assert "nested too deeply for what is left of the stack" in str(caught.value)


def test_a_class_of_a_library_is_advised_to_be_registered() -> None:
    """The remedy for a library class is a line that registers it; for a class of the user, a method."""
    import ipaddress
    import types

    class Own:
        pass

    library = types.ModuleType("some_library")
    library.__file__ = "/lib/python3/site-packages/some_library/__init__.py"
    exec("class Model: pass", vars(library))  # the module is told by its place, not by what is installed here
    address, model = ipaddress.ip_address("::1"), vars(library)["Model"]()
    for value, name in ((address, "ipaddress.IPv6Address"), (model, "some_library.Model")):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(UnnamableValue) as caught:
            patch.setitem(sys.modules, "some_library", library)
            key_form(value, WHERE)
        assert "pass it as the output of a task, or " in str(caught.value)
        assert f"`taskproc.register_key({name}, lambda value: " in str(caught.value)
    with pytest.raises(UnnamableValue, match="give its class a __task_key__") as caught:
        key_form(Own(), WHERE)
    assert "register_key" not in str(caught.value)
