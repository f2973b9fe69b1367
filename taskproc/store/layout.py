"""Names inside a cache: which file is what, and how a task name becomes a folder name.

    <cache>/<task name>/results/<id>/{args.json, claim.<n>, result.<n>.pkl.gz, failed.<n>, bad.<n>, data.<n>/,
                                      stdout.<n>.txt, stderr.<n>.txt, stdout_caller.<n>.txt, stderr_caller.<n>.txt,
                                      accept.<n>.json, files.<n>.json}
    <cache>/<task name>/code/<digest>.json
    <cache>/<task name>/index
"""
from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

from taskproc.store.base import Place

FORMAT = 1
MARKER = "taskproc.json"
ARGUMENTS = "args.json"
INDEX = "index"
STREAMS = ("stdout", "stderr", "stdout_caller", "stderr_caller")
_DIGEST = re.compile(r"[0-9a-f]{16,128}")
_BESIDE = re.compile(r"(data|files|accept|(?:stdout|stderr)(?:_caller)?)\.([1-9][0-9]{0,17})(\.txt|\.json)?")
_ENDS = {"data": None, "accept": ".json", "files": ".json"}
_TEMPORARY = re.compile(r"\.(?:(?:(?:accept|files)\.[0-9]{1,18}|[0-9a-f]{16,128})\.json|index)\.[0-9a-f]{32}\.tmp")
_RESULT = ".pkl.gz"
_OWN = frozenset({"run", "trash", "inputs", "taskproc.json", "cachedir.tag"})  # some file systems ignore case
_DIGITS = 18  # of a number
_LONGEST = 100  # bytes of a folder name; most file systems allow 255, some encrypted ones 143


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


def task_name(folder: str) -> str:
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


def results(names: Iterable[str]) -> list[int]:
    """Numbers of the published versions, descending: those of `numbers`, and in half its time."""
    found = [name[7:-7] for name in names if name[:7] == "result." and name[-7:] == _RESULT]
    numbers = [int(number) for number in found if _is_number(number)]
    if len(numbers) > 1:
        numbers.sort(reverse=True)
    return numbers


def versions(names: list[str]) -> list[int]:
    """Numbers of the published versions, and of claims, descending: by now these may be versions, too."""
    found = results(names)
    claims = [name[6:] for name in names if name[:6] == "claim."]
    if claims:
        found = sorted({*found, *(int(number) for number in claims if _is_number(number))}, reverse=True)
    return found


def _is_number(text: str) -> bool:
    # By hand: a pattern takes three times as long, and this is done for every task, warm or cold
    return text.isdecimal() and text.isascii() and text[0] != "0" and len(text) <= _DIGITS


def highest(found: dict[str, list[int]]) -> int:
    """The highest number in use, 0 if none."""
    return max((some[0] for some in found.values() if some), default=0)


def claim_file(number: int) -> str:
    """An attempt that is being made."""
    return f"claim.{number}"


def result_file(number: int) -> str:
    """A published version."""
    return f"result.{number}{_RESULT}"


def ends(number: int) -> tuple[str, str]:
    """What a claim becomes when its attempt ends."""
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


def told_file(digest: str) -> str:
    """What runs have said of the code with this digest already."""
    return f"{code_file(digest).removesuffix('.json')}.told.json"


def is_code_file(name: str) -> bool:
    """Whether a file is named as code_file() or told_file() names it."""
    stem, dot, kind = name.partition(".")
    return dot + kind in (".json", ".told.json") and _DIGEST.fullmatch(stem) is not None


def temporary(name: str) -> str:
    """A name that nobody has, for a file that is to be renamed to `name` when it is whole."""
    return f".{name}.{os.urandom(16).hex()}.tmp"


def is_temporary(name: str) -> bool:
    """Whether a file is one that was to be renamed when it was whole, and is not by now if its maker died."""
    return _TEMPORARY.fullmatch(name) is not None


def beside(name: str) -> tuple[str, int] | None:
    """Kind and number of what lies beside the attempts: data (a folder), the logs, accept, files; None if it is none.
    """
    match = _BESIDE.fullmatch(name)
    if match is None or match[3] != _ENDS.get(match[1], ".txt"):
        return None
    return match[1], int(match[2])
