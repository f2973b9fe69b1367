"""Correct misspelled words by workers that have read a lot first: a map with a state in each process.

    python examples/spelling.py recieve adress funtion

Each worker reads the source of the standard library once, when it is made, and then answers word after word: it looks
for known words that are one or two edits away, and takes the most frequent (after Norvig, "How to Write a Spelling
Corrector").
"""
from __future__ import annotations

import re
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from taskproc import Pool, delayed_init

WORDS = ("recieve", "adress", "funtion", "enviroment", "seperate", "wich", "retreive", "argumnet", "object")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@delayed_init
class Speller:
    """Made in each worker process."""

    def __init__(self, pattern: str):
        library = Path(sysconfig.get_path("stdlib"))
        texts = (file.read_text("utf-8", "replace") for file in sorted(library.glob(pattern)))
        self.known = Counter(word for text in texts for word in re.findall(r"\b[a-z]+\b", text.lower()))

    def __call__(self, word: str) -> str:
        """The most frequent known word that is next to `word`; itself if there is none."""
        near = {word} & self.known.keys() or edits(word) & self.known.keys()
        far = near or {two for one in edits(word) for two in edits(one) if two in self.known}
        return max(far, key=lambda each: (self.known[each], each), default=word)


def edits(word: str) -> set[str]:
    """All that one edit makes of it: a letter lost, exchanged, changed or too many."""

    def found() -> Iterator[str]:
        for place in range(len(word) + 1):
            left, right = word[:place], word[place:]
            yield left + right[1:]
            yield left + right[1:2] + right[:1] + right[2:]
            for letter in LETTERS:
                yield left + letter + right[1:]
                yield left + letter + right

    return set(found())


if __name__ == "__main__":
    words = sys.argv[1:] or WORDS
    with Pool(Speller("*.py"), 2)(words) as corrected:
        for word, right in zip(words, corrected):
            print(f"{word:12} {right}")
