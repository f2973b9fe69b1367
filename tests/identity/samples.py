"""Helpers of the tests of identity: classes whose instances have a form, and how a value is encoded there."""
from __future__ import annotations

import dataclasses
import enum
import json
import typing

from taskproc.values.decode import value_of_form
from taskproc.values.encode import form_digest, json_form, key_form
from taskproc.values.forms import Json

WHERE = "argument 'x' of Train"


def key(value: object) -> str:
    """The digest of a value, as in a key."""
    return form_digest(key_form(value, WHERE))


def full_text(value: object) -> str:
    """The JSON of a value from which it can be decoded; dicts in their order."""
    return json.dumps(json_form(value, WHERE))


def there_and_back(value: object, future: typing.Callable[[Json], object] | None = None) -> typing.Any:
    """A value encoded to JSON text and decoded."""
    return value_of_form(json.loads(full_text(value)), future)


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Shade(enum.Enum):
    RED = 1


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Word(str, enum.Enum):
    ONE = "one"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3


class Mask(enum.IntFlag):
    LOW = 1
    MIDDLE = 2
    HIGH = 4


class Pair(typing.NamedTuple):
    left: object
    right: object


@dataclasses.dataclass(frozen=True)
class Point:
    x: object
    y: object = 0


@dataclasses.dataclass(frozen=True)
class Spot:
    x: object
    y: object = 0


@dataclasses.dataclass
class Box:
    """A mutable class, so without a hash."""

    x: object
    y: object = 0


class Keyed:
    """A class that defines its own key."""

    def __init__(self, key: object = 1):
        self.key = key

    def __task_key__(self) -> object:
        return self.key


class Model:
    """A class without a form."""


def function() -> None:
    pass
