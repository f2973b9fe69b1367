"""Content to gzip members and back: what shrinks is deflated, what does not is stored, and both are read by any gzip.

How it is compressed depends on its bytes and the level alone. Two versions of zlib deflate differently all the same:
what is to be equal everywhere is a digest of the content, never one of the members.
"""
from __future__ import annotations

import struct
import zlib
from collections.abc import Generator, Iterator
from typing import Union

TINY = 2048          # content up to this is stored: with head and record it takes one page of a disk either way
SMALL = 1 << 14      # content up to this is deflated at level 9 where no level is asked for: 5 ms at most
LARGE_LEVEL = 6      # and beyond: 2 % more bytes than 9 makes, 5 x as fast (benchmarks/workloads/large.py, 2026-11)
_NOISE = 0.9         # what shrinks to more than this is stored: random floats do to 0.94, after 40 ms a MiB

_HEAD = b"\x1f\x8b\x08\x00" + bytes(5) + b"\xff"     # of a stored member: no name, no time, unknown system
_STORED = struct.Struct("<BHH")                      # of a stored block: whether it is the last, its size, and ~size
_END = struct.Struct("<II")                          # of a member: CRC and size
_LONGEST = 0xFFFF                                    # bytes in a stored block
_FULL = _STORED.pack(0, _LONGEST, 0)                 # before one that is full, and not the last
_READ = 1 << 16                                      # bytes that are inflated at once

Bytes = Union[bytes, memoryview]


class NotGzip(Exception):
    """Bytes that are no gzip members, or not whole."""


def compress(content: Bytes, level: int | None = None) -> bytes:
    """One gzip member.

    Args:
        level: 0: stored; 1 to 9: deflated like that; None: what pays. What does not shrink is stored at any level.
    """
    if len(content) <= TINY:
        return _stored(content)
    if level is None:
        level = 9 if len(content) <= SMALL else 0 if _is_noise(content) else LARGE_LEVEL
    if level == 0:
        return _stored(content)
    squeezer = zlib.compressobj(level, zlib.DEFLATED, 31)
    deflated = squeezer.compress(content) + squeezer.flush()
    return deflated if len(deflated) < len(content) else _stored(content)


def decompress(members: Bytes) -> Iterator[Bytes]:
    """The content of gzip members, in pieces; what was stored is not copied. NotGzip, when that is reached."""
    rest = memoryview(members)
    while rest:
        stored = _stored_pieces(rest)
        if stored is not None:
            pieces, end = stored
            yield from pieces
            rest = rest[end:]
        else:
            rest = yield from _inflated(rest)


def _is_noise(content: Bytes) -> bool:
    """By what its middle shrinks to; rows that repeat within that are seen."""
    start = (len(content) - SMALL) // 2
    sample = content[start : start + SMALL]
    return len(zlib.compress(sample, 1)) > _NOISE * len(sample)


def _stored(content: Bytes) -> bytes:
    parts: list[Bytes] = [_HEAD]
    rest, size = content, len(content)
    while size > _LONGEST:
        rest, size = memoryview(rest), size - _LONGEST
        parts += (_FULL, rest[:_LONGEST])
        rest = rest[_LONGEST:]
    parts += (_STORED.pack(1, size, size ^ 0xFFFF), rest, _END.pack(zlib.crc32(content), len(content)))
    return b"".join(parts)


def _stored_pieces(members: memoryview) -> tuple[list[memoryview], int] | None:
    """What lies in a first member that was stored here, and where it ends; None: zlib is to read it, or to complain.

    Its CRC is not looked at: a payload is verified before, by what is stronger.
    """
    if members[: len(_HEAD)] != _HEAD:
        return None
    pieces, at, last = [], len(_HEAD), 0
    while not last:
        if len(members) < at + _STORED.size:
            return None
        last, size, check = _STORED.unpack_from(members, at)
        at += _STORED.size
        if last > 1 or size ^ check != 0xFFFF:
            return None
        pieces.append(members[at : at + size])
        at += size
    end = at + _END.size
    return (pieces, end) if end <= len(members) else None


def _inflated(members: memoryview) -> Generator[bytes, None, memoryview]:
    """Pieces of the first member; returns what lies behind it."""
    expander, at = zlib.decompressobj(31), 0
    while not expander.eof:
        part = members[at : at + _READ]
        if not part:
            raise NotGzip("it ends in the middle of a member")
        try:
            piece = expander.decompress(part)
        except zlib.error as error:
            raise NotGzip(str(error)) from error
        at += len(part)
        if piece:
            yield piece
    return members[at - len(expander.unused_data) :]
