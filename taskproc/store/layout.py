"""How a cache folder is laid out: where the results of a task lie, what each file is called, and short ids.

    <cache>/<task name>/results/<id>/{args.json, claim.<n>, result.<n>.pkl.gz, failed.<n>, bad.<n>, data.<n>/,
                                      stdout.<n>.txt, stderr.<n>.txt, stdout_caller.<n>.txt, stderr_caller.<n>.txt,
                                      accept.<n>.json, files.<n>.json}
    <cache>/<task name>/code/<digest>.json
    <cache>/<task name>/index
    <cache>/runs/<run>.jsonl

An id is the first 63 bits of a key (see `tasks/naming.py`), so the name of a folder gives the first digits of the key.
A short id is the first hex digits of a key, as many as tell it from others, at least six, as in git.
"""
from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Collection, Iterable
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import quote, unquote

FORMAT = 1
MARKER = "taskproc.json"
ARGUMENTS = "args.json"
INDEX = "index"
JOURNALS = "runs"
STREAMS = ("stdout", "stderr", "stdout_caller", "stderr_caller")
_JOURNAL = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}\.jsonl")
_DIGEST = re.compile(r"[0-9a-f]{16,128}")
_SIDE_FILE = re.compile(r"(data|files|accept|(?:stdout|stderr)(?:_caller)?)\.([1-9][0-9]{0,17})(\.txt|\.json)?")
_SIDE_ENDS = {"data": None, "accept": ".json", "files": ".json"}
_TEMPORARY = re.compile(r"\.(?:(?:(?:accept|files)\.[0-9]{1,18}|[0-9a-f]{16,128})\.json|index)\.[0-9a-f]{32}\.tmp")
_RESULT = ".pkl.gz"
_KINDS = {
    kind: (f"{kind}.", len(kind) + 1, end, -len(end) or None)
    for kind, end in {"claim": "", "result": _RESULT, "failed": "", "bad": ""}.items()
}
_OWN = frozenset({"run", "runs", "trash", "inputs", "taskproc.json", "cachedir.tag"})  # some file systems ignore case
_DIGITS = 18  # of a number, at most
_LONGEST = 100  # bytes of a folder name; most file systems allow 255, some encrypted ones 143
FEWEST_DIGITS = 6
KNOWN_DIGITS = 15  # hex digits of a key that its id has; of the 16th one bit is missing


class Place(NamedTuple):
    """Name of the task class, integer id within it, full key. The id comes from the key; the key decides."""

    name: str
    id: int
    key: str


@functools.lru_cache(maxsize=1024)
def folder_name(name: str) -> str:
    """A task name in letters that every file system allows; a name that is too long is cut and gets a digest."""
    # `~` is reserved for names that were cut
    safe = quote(name, safe="._-", errors="surrogatepass").replace("~", "%7E") or "%"
    # Never `..`; hidden folders surprise people; and the cache uses some names itself
    if safe.startswith(".") or safe.lower() in _OWN:
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    if len(safe) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        safe = f"{safe[: _LONGEST - 17]}~{digest}"
    return safe


def folder_task_name(folder: str) -> str:
    """The task name of a folder; if it was cut, the part that remains."""
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


def numbers(names: Collection[str]) -> dict[str, list[int]]:
    """Numbers in use by kind: claim, result, failed, bad; each descending."""
    return {kind: _numbers_of(kind, names) for kind in _KINDS}


def result_numbers(names: Collection[str]) -> list[int]:
    """Numbers of the published versions, descending."""
    return _numbers_of("result", names)


def version_numbers(names: Collection[str]) -> list[int]:
    """Numbers of the published versions and of the claims, descending: a claim may be a version by now."""
    results = _numbers_of("result", names)
    if claims := _numbers_of("claim", names):
        return sorted({*results, *claims}, reverse=True)
    return results


def _numbers_of(kind: str, names: Collection[str]) -> list[int]:
    start, first, end, last = _KINDS[kind]
    texts = [name[first:last] for name in names if name[:first] == start and name.endswith(end)]
    values = [int(text) for text in texts if _is_number(text)] if texts else []
    return sorted(values, reverse=True) if len(values) > 1 else values


def _is_number(text: str) -> bool:
    # Without a regular expression: it takes three times as long, and this runs for every task
    return text.isdecimal() and text.isascii() and text[0] != "0" and len(text) <= _DIGITS


def highest_number(kinds: dict[str, list[int]]) -> int:
    """The highest number in use; 0 if there is none."""
    return max((descending[0] for descending in kinds.values() if descending), default=0)


def claim_file(number: int) -> str:
    """The file of an attempt that is running."""
    return f"claim.{number}"


def result_file(number: int) -> str:
    """The file of a published version."""
    return f"result.{number}{_RESULT}"


def failed_file(number: int) -> str:
    """The file of an attempt that ended without a version."""
    return f"failed.{number}"


def log_file(stream: str, number: int) -> str:
    """The log of an attempt; `stream` is stdout, stderr, stdout_caller or stderr_caller."""
    return f"{stream}.{number}.txt"


def data_folder(number: int) -> str:
    """The data directory of an attempt."""
    return f"data.{number}"


def manifest_file(number: int) -> str:
    """The list of the files in the data directory of an attempt."""
    return f"files.{number}.json"


def accept_file(number: int) -> str:
    """The file that names other code for which a version was accepted."""
    return f"accept.{number}.json"


def code_levels(name: str) -> tuple[str, str]:
    """The names that lead from the cache to the folder of the code that the digests of a class stand for."""
    return folder_name(name), "code"


def code_file(digest: str) -> str:
    """The file of the code with one digest; ValueError if that is not a digest in hexadecimal."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"not the digest of any code: {digest!r}")
    return f"{digest}.json"


def reported_file(digest: str) -> str:
    """The file of what runs have already reported of the code with this digest."""
    return f"{code_file(digest).removesuffix('.json')}.told.json"


def is_code_file(name: str) -> bool:
    """Whether this is a name that code_file() or reported_file() gives."""
    stem, dot, kind = name.partition(".")
    return dot + kind in (".json", ".told.json") and _DIGEST.fullmatch(stem) is not None


def journal_file(run: str) -> str:
    """The file of the journal of a run."""
    return f"{run}.jsonl"


def is_journal(name: str) -> bool:
    """Whether this is a name that journal_file() gives."""
    return _JOURNAL.fullmatch(name) is not None


def temporary(name: str) -> str:
    """A new name for a file that will be renamed to `name` when it is complete."""
    return f".{name}.{os.urandom(16).hex()}.tmp"


def is_temporary(name: str) -> bool:
    """Whether a file has a name that temporary() gives: it is being written, or its writer has died."""
    return _TEMPORARY.fullmatch(name) is not None


def side_file(name: str) -> tuple[str, int] | None:
    """Kind and number of a file or folder beside an attempt: data, files, accept or a log; None for other names."""
    match = _SIDE_FILE.fullmatch(name)
    if match is None or match[3] != _SIDE_ENDS.get(match[1], ".txt"):
        return None
    return match[1], int(match[2])


class ShortIds:
    """Counts the digits that tell all added keys apart. It may grow; an old short id is a prefix of a new one."""

    def __init__(self, keys: Iterable[str] = ()):
        self._digits = FEWEST_DIGITS
        self._met: dict[str, str] = {}
        self.meet(keys)

    def meet(self, keys: Iterable[str]) -> None:
        """Tell these keys apart as well. O(keys), and O(all) for each additional digit."""
        for key in keys:
            while self._met.setdefault(key[: self._digits], key) != key:
                self._digits += 1
                self._met = {other[: self._digits]: other for other in self._met.values()}

    def of(self, key: str) -> str:
        """The short id of `key`, which is added if it is new."""
        self.meet((key,))
        return key[: self._digits]

    def __len__(self) -> int:
        """The number of keys."""
        return len(self._met)


def digits_apart(keys: Iterable[str]) -> int:
    """How many digits the short ids of these keys have, as ShortIds counts them, but without storing the keys."""
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
    """Which of the ids `numbers` a user may mean by `word`, an id or a short id.

    Digits after a `#` are a short id; a word without `#` may be either.
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
