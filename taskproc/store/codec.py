"""Values to pickles and back, and the gzip members around them: a head, a record and a digest of it.

A result file is a row of gzip members, so that `gzip -dc FILE` is the pickle and nothing else:

    [head]     empty; its comment says whose attempt it is: token, number, key
    [payload]  the pickle, compressed: see payload.py
    [record]   empty; its comment is the record, JSON
    [footer]   empty; its extra field is length and SHA-256 or HMAC-SHA256 of the record: 66 bytes, always

gzip's own CRC guards nothing here: an unpickler stops at its last opcode and never reads that far.
"""
from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, BinaryIO

from taskproc import pickling
from taskproc.errors import UnstorableResult
from taskproc.modules import is_findable
from taskproc.pickling import Target, real_name
from taskproc.store.culprit import culprit
from taskproc.store.keys import Key

FOOTER = 66
_MAGIC = b"\x1f\x8b\x08"
_EXTRA, _COMMENT = 4, 16
_REST = b"\x00\x00\x00\x00\x02\xff"          # no time, slowest, unknown system: the same bytes everywhere
_NOTHING = b"\x03\x00" + bytes(8)            # an empty deflate stream, its CRC and its size
_BEFORE, _BEHIND = _MAGIC + bytes([_COMMENT]) + _REST, b"\x00" + _NOTHING  # a comment
_FOOTER = _MAGIC + bytes([_EXTRA])
_PLAIN, _SIGNED = b"TP", b"TS"               # ids of a footer's extra field

_LENGTHS = (44).to_bytes(2, "little"), (40).to_bytes(2, "little")  # of the extra field and of what is in it
_BEFORE_PLAIN, _BEFORE_SIGNED = (
    _MAGIC + bytes([_EXTRA]) + _REST + _LENGTHS[0] + kind + _LENGTHS[1] for kind in (_PLAIN, _SIGNED)
)

_compact, _json = json.JSONEncoder(separators=(",", ":")), json.JSONDecoder()  # kept: json.dumps makes one a call
_NUMBERS = (type(None), bool, int, float)
_LARGE = 1 << 12     # letters or bytes

_root: ContextVar[str] = ContextVar("taskproc_cache_root", default="")


def comment_member(content: Mapping[str, object]) -> bytes:
    """An empty gzip member that carries JSON in its comment."""
    return text_member(compact(content))


def text_member(text: str) -> bytes:
    """The same of the JSON, as `compact` makes it."""
    return _BEFORE + text.encode("ascii") + _BEHIND


def compact(content: object) -> str:
    """JSON without blanks."""
    return _compact.encode(content)


def read_comment(member: bytes) -> dict[str, Any]:
    """What comment_member() was given; ValueError if these bytes are not its, exactly."""
    content = content_of(comment(member))
    if comment_member(content) != member:
        raise ValueError("not a member that was written here")
    return content


def comment(member: bytes) -> str:
    """The comment of a member whose bytes a digest has shown to be what text_member() gave: they are not made again."""
    if not member.startswith(_BEFORE) or not member.endswith(_BEHIND):
        raise ValueError("not a member with a comment")
    return member[len(_BEFORE) : -len(_BEHIND)].decode("ascii")


def content_of(text: str) -> dict[str, Any]:
    """The mapping that `compact` was given to make this text."""
    content = decoded(text)
    if not isinstance(content, dict):
        raise ValueError("not a member that was written here")
    return content


def decoded(text: str) -> Any:
    """What `compact` was given to make this text; ValueError if it was not made by that."""
    try:
        content, end = _json.raw_decode(text)
    except RecursionError:
        raise ValueError("nested too deeply for a member that was written here") from None
    if end != len(text):
        raise ValueError("not a member that was written here")
    return content


def footer_member(record: bytes, key: Key | None = None) -> bytes:
    """The last 66 bytes of a result: length and SHA-256 of the record member, or its HMAC-SHA256 under a key."""
    digest = hashlib.sha256(record).digest() if key is None else key.sign(record)
    content = len(record).to_bytes(8, "little") + digest
    return (_BEFORE_PLAIN if key is None else _BEFORE_SIGNED) + content + _NOTHING


def record_length(footer: bytes) -> int:
    """Length of the record member that lies before this footer; ValueError if this is no footer."""
    if len(footer) != FOOTER or not footer.startswith(_FOOTER):
        raise ValueError("no footer")
    return int.from_bytes(footer[16:24], "little")


def is_signed(footer: bytes) -> bool:
    """Whether a footer says that it is an HMAC."""
    return footer[12:14] == _SIGNED


def dump(value: object, target: Target, root: str = "", met: list[object] | None = None) -> None:
    """Write a pickle of `value` to `target`, which every process can load that can import its classes.

    Paths below `root` are stored relative to it. Equal code of two notebook sessions gives equal pickles.

    Args:
        met: the classes and functions that are pickled by their name are appended to it.
    """
    content = plain_pickle(value)
    if content is not None:
        target.write(content)
        return
    name_of = real_name if met is None else partial(_noted_name, met)
    reduce = partial(_reduced_path, root) if root else None
    pickling.dump(value, target, reduce=reduce, name_of=name_of, with_cells=False)


def plain_pickle(value: object) -> bytes | None:
    """What `dump` writes for a small value of a built-in type, without cloudpickle.

    None of any other, and of large ones, which are better written in pieces.
    """
    if type(value) in _NUMBERS or (type(value) in (str, bytes) and len(value) <= _LARGE):  # type: ignore[arg-type]
        return pickle.dumps(value, 5)
    return None


def loads(content: bytes | memoryview, root: str = "") -> object:
    """The value of a pickle; paths that lay below the cache lie below `root`."""
    token = _root.set(root)
    try:
        return pickle.loads(content)
    finally:
        _root.reset(token)


def load(file: BinaryIO, root: str = "") -> object:
    """The value of a pickle that is read as it is needed; else as loads()."""
    token = _root.set(root)
    try:
        return pickle.load(file)
    finally:
        _root.reset(token)


def unstorable(value: object, root: str, error: Exception) -> UnstorableResult:
    """Says which part of a result cannot be pickled, and why."""
    way, part = culprit(value, lambda part: _pickles(part, root))
    kind = f"{type(part).__module__}.{type(part).__qualname__}".removeprefix("builtins.")
    return UnstorableResult(
        f"its result{way} (a {kind}) cannot be pickled: {type(error).__name__}: {error}. "
        "Return plain data, or write a file into self.task_directory and return its path"
    )


class _Nowhere:
    def write(self, piece: Any, /) -> None:
        """Forget it."""


def _pickles(value: object, root: str) -> bool:
    try:
        dump(value, _Nowhere(), root)
    except Exception:  # noqa: BLE001  # as above
        return False
    return True


def path_in_cache(*parts: str) -> Path:
    """How a path below the cache is pickled; relative where the cache is not known (plain `pickle.load`)."""
    return Path(_root.get(), *parts)


def _noted_name(met: list[object], definition: object) -> str | None:
    if isinstance(definition, (type, FunctionType)) and is_findable(definition):
        met.append(definition)
    return real_name(definition)


def _reduced_path(root: str, value: object) -> Any:
    if isinstance(value, Path) and str(value).startswith(root + os.sep):
        return path_in_cache, value.relative_to(root).parts
    return NotImplemented
