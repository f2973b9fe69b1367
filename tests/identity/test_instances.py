"""Laws of instances of the user's classes: the key has their class and all their fields."""
from __future__ import annotations

import dataclasses
import enum
import functools

import pytest

from taskproc.errors import UnnamableValue
from taskproc.values.encode import key_form
from tests.identity.samples import WHERE, Point, full_text, key, there_and_back


@dataclasses.dataclass
class Sized:
    content: object

    @functools.cached_property
    def size(self) -> int:
        return 1


def test_local_classes_are_refused() -> None:
    """Instances of local classes are refused, because two such classes may share a name."""

    @dataclasses.dataclass
    class Local:
        x: int

    class Hue(enum.Enum):
        RED = 1

    for value in (Local(1), Hue.RED, Local):
        with pytest.raises(UnnamableValue, match=r"cannot be found by its name.*top level of its module"):
            key_form(value, WHERE)


def test_missing_field_is_refused() -> None:
    """An instance with a missing field is refused."""
    with pytest.raises(UnnamableValue, match=r"Point without a value for field 'x'"):
        key_form(Point.__new__(Point), WHERE)


def test_cached_property_does_not_change_a_key() -> None:
    """A value that a cached property computes is not part of the key."""
    box = Sized(1)
    before = key(box)

    assert 1 == box.size
    assert before == key(box)


def test_attrs() -> None:
    """Instances of attrs classes are decoded, slotted, frozen or not."""
    attrs = pytest.importorskip("attrs")
    for kind in (Fruit, Frozen):
        assert attrs.has(kind)
        assert kind(1, (2,)) == there_and_back(kind(1, (2,)))
    assert full_text(Fruit(1, 2)) != full_text(Frozen(1, 2))


def test_attrs_with_remembered_hash() -> None:
    """A hash that attrs stores in an instance is not part of the key."""
    pytest.importorskip("attrs")
    value = Frozen(1, 2)
    before = full_text(value)
    hash(value)

    assert before == full_text(value)


def test_pydantic() -> None:
    """Models are decoded with extra and private attributes; which fields were given does not count."""
    pytest.importorskip("pydantic")
    value = Config(rate=2, other=(1,))
    value._seen = [1]

    back = there_and_back(value)

    assert value == back
    assert type(back) is Config
    assert [1] == back._seen
    assert full_text(Config()) == full_text(Config(rate=1))
    assert full_text(Config()) != full_text(Config(rate=2))
    assert full_text(Config()) != full_text(value)


try:
    import attrs
except ImportError:
    pass
else:

    @attrs.define
    class Fruit:
        size: object
        _seeds: object

    @attrs.frozen(cache_hash=True, slots=False)
    class Frozen:
        size: object
        seeds: object


try:
    import pydantic
except ImportError:
    pass
else:

    class Config(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")

        rate: int = 1
        _seen: list[int] = pydantic.PrivateAttr(default_factory=list)
