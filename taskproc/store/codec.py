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
import io
import json
import os
import pickle
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path, PurePath
from types import FunctionType
from typing import Any, BinaryIO, Protocol

from taskproc.by_value import DEFINITIONS, pickler_class
from taskproc.errors import UnstorableResult
from taskproc.modules import find_object, is_findable, is_renamed, object_name
from taskproc.store.culprit import culprit
from taskproc.store.rules import Key

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


class Target(Protocol):
    """What a pickle is written to: in pieces, and what is large as it lies in memory, good for the time of the call."""

    def write(self, piece: Any, /) -> object:
        """Take a bytes-like piece."""
        ...


def dumps(
    value: object,
    root: str = "",
    reduce: Callable[[object], object] | None = None,
    met: list[object] | None = None,
) -> bytes:
    """`value` as a pickle that any process can load which can import its classes.

    Classes and functions of `__main__` go by their real name, what cannot be imported (lambdas, local classes) by
    value, paths below `root` as seen from it. `reduce` may answer for an object first; NotImplemented leaves it to the
    rest. `met` is given the classes and functions that go by name.
    """
    target = io.BytesIO()
    dump(value, target, root, reduce, met)
    return target.getvalue()


def dump(
    value: object,
    target: Target,
    root: str = "",
    reduce: Callable[[object], object] | None = None,
    met: list[object] | None = None,
) -> None:
    """Write to `target` what dumps() gives."""
    content = plain_pickle(value)
    if content is not None:
        target.write(content)
    else:
        _make_pickler()(target, root, reduce, met).dump(value)


def plain_pickle(value: object) -> bytes | None:
    """What dumps() gives of a small value for which no reducer is asked, without cloudpickle.

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


def _make_pickler() -> type[Any]:
    global _pickler_class
    if _pickler_class is None:
        by_value: Any = pickler_class()  # here: cloudpickle takes 28 ms to import, and is not needed to read

        class Pickler(by_value):  # type: ignore[misc]  # made when it is asked for
            """Pickles by value, but what runs as __main__ goes by its real name, and the cache may move."""

            def __init__(
                self,
                target: Target,
                root: str,
                reduce: Callable[[object], object] | None,
                met: list[object] | None,
            ):
                super().__init__(target, protocol=5)
                self._root = root
                self._reduce = reduce
                self.brings_cells = reduce is not None  # a job; results are to be equal in each session
                self._met = met

            def reducer_override(self, obj: Any) -> Any:
                if self._reduce is not None and (answer := self._reduce(obj)) is not NotImplemented:
                    return answer
                if isinstance(obj, DEFINITIONS):
                    if self._met is not None and isinstance(obj, (type, FunctionType)) and is_findable(obj):
                        self._met.append(obj)
                    if is_renamed(obj) and is_findable(obj):
                        return find_object, (object_name(obj),)
                elif self._root and isinstance(obj, PurePath) and _lies_below(obj, self._root):
                    return path_in_cache, Path(obj).relative_to(self._root).parts
                return super().reducer_override(obj)

        _pickler_class = Pickler
    return _pickler_class


_pickler_class: type[Any] | None = None


def _lies_below(path: PurePath, root: str) -> bool:
    return isinstance(path, Path) and str(path).startswith(root + os.sep)
