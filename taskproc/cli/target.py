"""The script or module, and the class in it, that a word of the command line means. Loads nothing."""
from __future__ import annotations

import os

ENTRY = "Main"


def split(target: str) -> tuple[str, str]:
    """The file or module of a target, and the name of the class: `Main` if none is given after a colon."""
    place, colon, name = target.rpartition(":")
    if colon and place and all(map(str.isidentifier, name.split("."))) and not os.path.exists(target):
        return place, name
    return target, ENTRY


def is_script(word: str) -> bool:
    """Whether a word is a file: it ends in `.py`, contains a path separator, or the file exists."""
    separators = [os.sep, *filter(None, [os.altsep])]
    return word.endswith(".py") or any(separator in word for separator in separators) or os.path.isfile(word)
