"""Classes and tasks of a cache by the words that people use for them: `Train`, `3fa1c2`, `Train#3fa1c2`, a full key.

An id is the shortest prefix of keys that tells all tasks of the cache apart, of six hex digits or more, as in git. So
it means one task without its class. An integer id is accepted as well, and a class by its last part where that is
unique. A word that fits several is refused, with all of them.
"""
from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from taskproc.errors import CacheError
from taskproc.frozen import frozen
from taskproc.store import layout
from taskproc.store.disk import DiskStore
from taskproc.store.layout import FEWEST_DIGITS, digits_apart, key_digits, matching_ids
from taskproc.text import did_you_mean, printable

_CANDIDATES = 20  # are listed in a message
_HEX = frozenset("0123456789abcdef")


@frozen
class Located:
    """A task that has a folder in the cache: the folder of its class, and its integer id."""

    class_folder: str
    id: int

    @property
    def name(self) -> str:
        """The name of its class; if the name of the folder was cut, the part that remains."""
        return layout.folder_task_name(self.class_folder)


class Catalogue:
    """The classes and tasks of a cache, as they are when it is made. Costs one listing for each class.

    Attributes:
        ids: folder of a class → integer ids of its tasks, in the order of the disk; classes without tasks are left out.
    """

    def __init__(self, store: DiskStore):
        self.store = store
        self._folders = store.files.listdir(store.root)
        self.ids = {folder: ids for folder in sorted(self._folders) if (ids := store.ids(folder))}

    @functools.cached_property
    def digits(self) -> int:
        """How many digits the short ids of this cache have."""
        return digits_apart(key_digits(number) for ids in self.ids.values() for number in ids)

    def short(self, key: str | int) -> str:
        """The short id of a task, by its key or its integer id."""
        return (key if isinstance(key, str) else key_digits(key))[: self.digits]

    def located(self, class_folder: str = "") -> Iterator[Located]:
        """All tasks, or those of a class."""
        for folder in [class_folder] if class_folder else self.ids:
            yield from (Located(folder, number) for number in self.ids.get(folder, ()))

    def names(self) -> list[str]:
        """The names of the classes that have tasks, as they are shown."""
        return sorted(printable(layout.folder_task_name(folder)) for folder in self.ids)

    def class_folder(self, word: str) -> str:
        """The folder of the class that a word means: its name, the name as it is shown, or the end of its name.

        Raises CacheError if there is none, or several.
        """
        folders = self._classes(word)
        if len(folders) > 1:
            several = ", ".join(sorted(printable(layout.folder_task_name(folder)) for folder in folders))
            raise CacheError(f"{word!r} may be any of {len(folders)} task classes: {several}")
        if folders:
            return folders[0]
        for folder in self._folders:
            if word in _shown(folder):
                self.store.names(folder, "results")  # refuses a link
        names = self.names()
        known = f"; it has {', '.join(names)}" if names else ": it is empty"
        ends = [] if "." in word else [name.rpartition(".")[2] for name in names]
        raise CacheError(f"the cache has no results of {word!r}{known}{did_you_mean(word, [*names, *ends])}")

    def _classes(self, word: str) -> list[str]:
        exact = [folder for folder in self.ids if word in _shown(folder)]
        ends = [folder for folder in self.ids if any(name.endswith(f".{word}") for name in _shown(folder))]
        return exact or (ends if word else [])

    def choose(self, words: Sequence[str], ending: str = "") -> tuple[str, list[Located]]:
        """The class and the tasks that words mean: a class, a class and ids of its tasks, or ids alone.

        Args:
            ending: of the message of the CacheError for a word that means nothing, or too much.

        Returns:
            The folder of the class, or an empty text, and one task for each id, in the order of the words.
        """
        first = words[0]
        if not self._classes(first) and is_identifier(first):
            return "", [self.task(word, "", ending) for word in words]
        folder = self.class_folder(first)
        return folder, [self.task(word, folder, ending) for word in words[1:]]

    def task(self, word: str, class_folder: str = "", ending: str = "") -> Located:
        """The one task that an id means. CacheError if it is none or may be several, which are listed.

        Args:
            class_folder: of the class that it belongs to; by default any, or that before the `#`.
            ending: of the message.
        """
        before, _, digits = word.rpartition("#")
        folder = class_folder or (self.class_folder(before) if before else "")
        where = f" of {printable(layout.folder_task_name(folder))}" if folder else ""
        matches = [Located(each, number) for each in ([folder] if folder else self.ids)
                   for number in matching_ids(word.lower(), self.ids.get(each, ()))]  # fmt: skip
        if len(matches) == 1:
            return matches[0]
        if not matches:
            owner = where.removeprefix(" of ") or "the cache"
            raise CacheError(f"{owner} has no task {word!r}{self._example(digits.lower(), folder)}{ending}")
        raise CacheError(f"{word!r} may be any of {len(matches)} tasks{where}: {self._list(matches, where)}{ending}")

    def _example(self, digits: str, folder: str) -> str:
        """What to say about an id that is too short: one that is long enough."""
        numbers = (task.id for task in self.located(folder))
        near = next((number for number in numbers if digits and key_digits(number).startswith(digits)), None)
        return "" if near is None else f": an id has at least {FEWEST_DIGITS} digits, such as {self.short(near)}"

    def _list(self, matches: Sequence[Located], where: str) -> str:
        ordered = sorted(matches, key=lambda task: (task.name, task.id))
        texts = [f"{'' if where else printable(task.name)}#{self.short(task.id)} ({task.id})" for task in ordered]
        return ", ".join(texts[:_CANDIDATES]) + (", …" if len(texts) > _CANDIDATES else "")


def is_identifier(word: str) -> bool:
    """Whether a word can only be the id of a task, unless a class has this name: hex digits, or a word with a `#`."""
    return "#" in word or (bool(word) and set(word.lower()) <= _HEX)


def _shown(folder: str) -> tuple[str, str]:
    """The name of a class, and the name as it is shown."""
    name = layout.folder_task_name(folder)
    return name, printable(name)
