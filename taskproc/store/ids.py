"""Short ids: the first hex digits of a key, as many as tell it from others, at least four, as in git.

An id is the first 63 bits of a key (see `tasks/naming.py`), so that the digits are known of a folder that is named by
an id, too.
"""
from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

FEWEST = 4
KNOWN = 15  # hex digits of a key that its id has; of the 16th one bit is missing


class ShortIds:
    """How many digits tell all keys apart that were met. Grows with them: a short id that was given stays a prefix."""

    def __init__(self, keys: Iterable[str] = ()):
        self._digits = FEWEST
        self._met: dict[str, str] = {}
        self.meet(keys)

    def meet(self, keys: Iterable[str]) -> None:
        """Tell these apart as well. O(keys), and O(all) for each digit more."""
        for key in keys:
            while self._met.setdefault(key[: self._digits], key) != key:
                self._digits += 1
                self._met = {other[: self._digits]: other for other in self._met.values()}

    def of(self, key: str) -> str:
        """The short id of `key`, which is met now, if it was not before."""
        self.meet((key,))
        return key[: self._digits]

    def __len__(self) -> int:
        """How many keys were met."""
        return len(self._met)


def digits_apart(keys: Iterable[str]) -> int:
    """How many digits a short id of each key has if all are told apart, as ShortIds says it, but keeping nothing."""
    digits = FEWEST
    ordered = sorted(keys)
    for one, other in pairwise(ordered):
        while one[:digits] == other[:digits] and one != other:
            digits += 1
    return digits


def key_digits(number: int) -> str:
    """The first digits of the key whose id is `number`."""
    return f"{number << 1:016x}"[:KNOWN]


def id_matches(word: str, numbers: Iterable[int]) -> list[int]:
    """Which of the ids `numbers` a `word` of the user may mean: an id itself, or a short id.

    What stands behind a `#` is a short id, whatever its digits; a word without one may be both.
    """
    before, mark, digits = word.rpartition("#")
    digits = digits.lower()
    is_hex = len(digits) >= FEWEST and set(digits) <= set("0123456789abcdef")
    is_id = not mark and not before and digits.isdecimal() and digits.isascii()
    return [
        number
        for number in numbers
        if (is_id and digits == str(number)) or (is_hex and key_digits(number).startswith(digits[:KNOWN]))
    ]
