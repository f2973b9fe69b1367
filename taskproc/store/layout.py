"""How a cache folder is laid out: where the results of a task lie, what each file is called, and short ids.

    <cache>/<task name>/results/<id>/{args.json, claim.<n>, result.<n>.pkl.gz, failed.<n>, bad.<n>, data.<n>/,
                                      stdout.<n>.txt, stderr.<n>.txt, stdout_caller.<n>.txt, stderr_caller.<n>.txt,
                                      accept.<n>.json, files.<n>.json}
    <cache>/<task name>/code/<digest>.json
    <cache>/<task name>/index

An id is the first 63 bits of a key (see `tasks/naming.py`), so the name of a folder gives the first digits of the key.
A short id is the first hex digits of a key, as many as tell it from others, at least four, as in git.
"""
from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import quote, unquote

FORMAT = 1
MARKER = "taskproc.json"
ARGUMENTS = "args.json"
INDEX = "index"
STREAMS = ("stdout", "stderr", "stdout_caller", "stderr_caller")
_DIGEST = re.compile(r"[0-9a-f]{16,128}")
_SIDE_FILE = re.compile(r"(data|files|accept|(?:stdout|stderr)(?:_caller)?)\.([1-9][0-9]{0,17})(\.txt|\.json)?")
_SIDE_ENDS = {"data": None, "accept": ".json", "files": ".json"}
_TEMPORARY = re.compile(r"\.(?:(?:(?:accept|files)\.[0-9]{1,18}|[0-9a-f]{16,128})\.json|index)\.[0-9a-f]{32}\.tmp")
_RESULT = ".pkl.gz"
_OWN = frozenset({"run", "trash", "inputs", "taskproc.json", "cachedir.tag"})  # some file systems ignore case
_DIGITS = 18  # of a number
_LONGEST = 100  # bytes of a folder name; most file systems allow 255, some encrypted ones 143
FEWEST_DIGITS = 4
KNOWN_DIGITS = 15  # hex digits of a key that its id has; of the 16th one bit is missing


class Place(NamedTuple):
    """Name of the task class, integer id within it, full key. The id comes from the key; the key decides."""

    name: str
    id: int
    key: str


@functools.lru_cache(maxsize=1024)
def folder_name(name: str) -> str:
    """A task name in letters that every file system takes, told apart by a digest where it had to be cut."""
    # `~` is kept for names that were cut
    safe = quote(name, safe="._-", errors="surrogatepass").replace("~", "%7E") or "%"
    # `..` must never come out, hidden folders surprise people, and some names are the cache's own
    if safe.startswith(".") or safe.lower() in _OWN:
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    if len(safe) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        safe = f"{safe[: _LONGEST - 17]}~{digest}"
    return safe


def folder_task_name(folder: str) -> str:
    """The task name of a folder; of a cut one what is left of it."""
    return unquote(folder, errors="replace")


def results_levels(name: str) -> tuple[str, str]:
    """The names that lead from the cache to the folder of all tasks of a class."""
    return folder_name(name), "results"


def place_levels(place: Place) -> tuple[str, str, str]:
    """The names that lead from the cache to the folder of one task."""
    return folder_name(place.name), "results", str(place.id)


def class_path(root: str, name: str) -> str:
    """Folder of all that belongs to one task class."""
    return os.path.join(root, folder_name(name))


@functools.lru_cache(maxsize=1024)
def results_path(root: str, name: str) -> str:
    """Folder of the folders of all tasks of a class."""
    return os.path.join(root, folder_name(name), "results")


def place_path(root: str, place: Place) -> str:
    """Folder of one task."""
    return f"{results_path(root, place.name)}{os.sep}{place.id}"


def numbers(names: Iterable[str]) -> dict[str, list[int]]:
    """Numbers in use by kind: claim, result, failed, bad; each descending."""
    found: dict[str, list[int]] = {"claim": [], "result": [], "failed": [], "bad": []}
    for name in names:
        kind, _, number = name.partition(".")
        if kind not in found:
            continue
        if kind == "result":
            number, end = number[: -len(_RESULT)], number[-len(_RESULT) :]
            if end != _RESULT:
                continue
        if _is_number(number):
            found[kind].append(int(number))
    for some in found.values():
        some.sort(reverse=True)
    return found


def result_numbers(names: Iterable[str]) -> list[int]:
    """Numbers of the published versions, descending: those of `numbers`, and in half its time."""
    found = [name[7:-7] for name in names if name[:7] == "result." and name[-7:] == _RESULT]
    numbers = [int(number) for number in found if _is_number(number)]
    if len(numbers) > 1:
        numbers.sort(reverse=True)
    return numbers


def version_numbers(names: list[str]) -> list[int]:
    """Numbers of the published versions, and of claims, descending: a claim may be a version by now."""
    found = result_numbers(names)
    claims = [name[6:] for name in names if name[:6] == "claim."]
    if claims:
        found = sorted({*found, *(int(number) for number in claims if _is_number(number))}, reverse=True)
    return found


def _is_number(text: str) -> bool:
    # By hand: a pattern takes three times as long, and this is done for every task, warm or cold
    return text.isdecimal() and text.isascii() and text[0] != "0" and len(text) <= _DIGITS


def highest_number(found: dict[str, list[int]]) -> int:
    """The highest_number number in use, 0 if none."""
    return max((some[0] for some in found.values() if some), default=0)


def claim_file(number: int) -> str:
    """An attempt that is being made."""
    return f"claim.{number}"


def result_file(number: int) -> str:
    """A published version."""
    return f"result.{number}{_RESULT}"


def end_names(number: int) -> tuple[str, str]:
    """What a claim becomes when its attempt end_names."""
    return result_file(number), failed_file(number)


def failed_file(number: int) -> str:
    """An attempt that ended without a version."""
    return f"failed.{number}"


def log_file(stream: str, number: int) -> str:
    """What an attempt printed; `stream` is stdout, stderr, stdout_caller or stderr_caller."""
    return f"{stream}.{number}.txt"


def data_folder(number: int) -> str:
    """Files of an attempt."""
    return f"data.{number}"


def manifest_file(number: int) -> str:
    """What lies in the data directory of an attempt."""
    return f"files.{number}.json"


def accept_file(number: int) -> str:
    """Other code that a version is good for."""
    return f"accept.{number}.json"


def code_levels(name: str) -> tuple[str, str]:
    """The names that lead from the cache to the folder of what digests of a class's code stand for."""
    return folder_name(name), "code"


def code_file(digest: str) -> str:
    """What one digest stands for; ValueError if it is no digest in hexadecimal."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"not the digest of any code: {digest!r}")
    return f"{digest}.json"


def reported_file(digest: str) -> str:
    """What runs have said of the code with this digest already."""
    return f"{code_file(digest).removesuffix('.json')}.told.json"


def is_code_file(name: str) -> bool:
    """Whether a file is named as code_file() or reported_file() names it."""
    stem, dot, kind = name.partition(".")
    return dot + kind in (".json", ".told.json") and _DIGEST.fullmatch(stem) is not None


def temporary(name: str) -> str:
    """A name that nobody has, for a file that is to be renamed to `name` when it is whole."""
    return f".{name}.{os.urandom(16).hex()}.tmp"


def is_temporary(name: str) -> bool:
    """Whether a file is one that was to be renamed when it was whole, and is not by now if its maker died."""
    return _TEMPORARY.fullmatch(name) is not None


def side_file(name: str) -> tuple[str, int] | None:
    """Kind and number of a file or folder beside an attempt: data, files, accept or a log; None for other names."""
    match = _SIDE_FILE.fullmatch(name)
    if match is None or match[3] != _SIDE_ENDS.get(match[1], ".txt"):
        return None
    return match[1], int(match[2])


class ShortIds:
    """How many digits tell all keys apart that were met. Grows with them: a short id that was given stays a prefix."""

    def __init__(self, keys: Iterable[str] = ()):
        self._digits = FEWEST_DIGITS
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
    digits = FEWEST_DIGITS
    ordered = sorted(keys)
    for one, other in pairwise(ordered):
        while one[:digits] == other[:digits] and one != other:
            digits += 1
    return digits


def key_digits(number: int) -> str:
    """The first digits of the key whose id is `number`."""
    return f"{number << 1:016x}"[:KNOWN_DIGITS]


def matching_ids(word: str, numbers: Iterable[int]) -> list[int]:
    """Which of the ids `numbers` a `word` of the user may mean: an id itself, or a short id.

    What stands behind a `#` is a short id, whatever its digits; a word without one may be both.
    """
    before, mark, digits = word.rpartition("#")
    digits = digits.lower()
    is_hex = len(digits) >= FEWEST_DIGITS and set(digits) <= set("0123456789abcdef")
    is_id = not mark and not before and digits.isdecimal() and digits.isascii()
    return [
        number
        for number in numbers
        if (is_id and digits == str(number)) or (is_hex and key_digits(number).startswith(digits[:KNOWN_DIGITS]))
    ]
