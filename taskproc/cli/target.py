"""What a word of the command line means: a file, or a module, and which class in it. Looks at names, loads nothing."""
from __future__ import annotations

import os

ENTRY = "Main"


def split(target: str) -> tuple[str, str]:
    """The file or module of a target, and the name of the class in it: `Main` where none stands behind a colon."""
    place, colon, name = target.rpartition(":")
    if colon and place and all(map(str.isidentifier, name.split("."))) and not os.path.exists(target):
        return place, name
    return target, ENTRY


def is_script(word: str) -> bool:
    """Whether a word names a file: by `.py` at its end, by a path separator, or because the file is there."""
    separators = [os.sep, *filter(None, [os.altsep])]
    return word.endswith(".py") or any(each in word for each in separators) or os.path.isfile(word)
