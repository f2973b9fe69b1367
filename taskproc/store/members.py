"""The gzip members that results, claims and records consist of: a payload, and empty members that carry JSON.

A result file is a row of gzip members, so that `gzip -dc FILE` is the pickle and nothing else:

    [head]     empty; its comment says whose attempt it is: token, number, key
    [payload]  the pickle, compressed: see payload.py
    [record]   empty; its comment is the record, JSON
    [footer]   empty; its extra field is the length and the SHA-256 or HMAC-SHA256 of the record: 66 bytes, always

The CRC of gzip protects nothing here: an unpickler stops at its last opcode and never reads that far.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

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

_compact, _json = json.JSONEncoder(separators=(",", ":")), json.JSONDecoder()  # once: json.dumps makes one per call


def comment_member(content: Mapping[str, object]) -> bytes:
    """An empty gzip member that has JSON as its comment."""
    return text_member(compact_json(content))


def text_member(text: str) -> bytes:
    """An empty gzip member that has `text`, JSON as `compact_json` makes it, as its comment."""
    return _BEFORE + text.encode("ascii") + _BEHIND


def compact_json(content: object) -> str:
    """JSON without blanks."""
    return _compact.encode(content)


def read_comment(member: bytes) -> dict[str, Any]:
    """The content of a member that comment_member() made; ValueError if the bytes differ in any way."""
    content = json_object(comment(member))
    if comment_member(content) != member:
        raise ValueError("not a member that was written here")
    return content


def comment(member: bytes) -> str:
    """The comment of a member whose bytes a digest has proven: unlike in read_comment, they are not compared."""
    if not member.startswith(_BEFORE) or not member.endswith(_BEHIND):
        raise ValueError("not a member with a comment")
    return member[len(_BEFORE) : -len(_BEHIND)].decode("ascii")


def json_object(text: str) -> dict[str, Any]:
    """The object of a text that `compact_json` made; else ValueError."""
    content = json_value(text)
    if not isinstance(content, dict):
        raise ValueError("not a member that was written here")
    return content


def json_value(text: str) -> Any:
    """The value of a text that `compact_json` made; else ValueError."""
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
    """Length of the record member before this footer; ValueError if this is not a footer."""
    if len(footer) != FOOTER or not footer.startswith(_FOOTER):
        raise ValueError("no footer")
    return int.from_bytes(footer[16:24], "little")


def is_signed(footer: bytes) -> bool:
    """Whether a footer says that it is an HMAC."""
    return footer[12:14] == _SIGNED
