"""Values to payloads and back: a pickle in gzip members, and two digests of it.

A pickle is compressed while it is made, in blocks of 1 MiB, each a member of its own. Threads compress and hash several
blocks at once, and they are written in order, so the whole pickle is never in memory. To read a payload, it is first
verified as a whole, then decompressed as the unpickler needs it, directly into the arrays.

Data that shrinks is deflated, other data is stored; any gzip reads both. The compression depends only on the bytes and
the level. But versions of zlib differ, so values are compared by a digest of the content, never of the members.
"""
from __future__ import annotations

import errno
import io
import os
import pickle
import struct
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Union

from taskproc.errors import CorruptedResult, MissingResult
from taskproc.store.codec import cache_root, dump_result, plain_pickle, unstorable
from taskproc.store.files import Files
from taskproc.store.version import Version

if TYPE_CHECKING:
    from concurrent.futures import Future

BLOCK = 1 << 20      # bytes of the pickle in a member
_MOST_THREADS = 8
_AHEAD = 2           # blocks for each thread that are compressed or wait for it
LARGE = 1 << 23   # bytes of a file from which on a second thread pays
_PIECE = 1 << 22  # bytes that are read at once
TINY = 2048          # content up to this is stored: with head and record it takes one page of a disk anyway
SMALL = 1 << 14      # content up to this is deflated at level 9 unless a level is given: 5 ms at most
LARGE_LEVEL = 6      # else: 2 % more bytes than level 9, 5 x as fast (benchmarks/workloads/large.py, 2026-11)
_NOISE = 0.9         # what shrinks to more than this is stored: random floats shrink to 0.94, in 40 ms per MiB

_HEAD = b"\x1f\x8b\x08\x00" + bytes(5) + b"\xff"     # of a stored member: no name, no time, unknown system
_STORED = struct.Struct("<BHH")                      # of a stored block: whether it is the last, its size, and ~size
_END = struct.Struct("<II")                          # of a member: CRC and size
_LONGEST = 0xFFFF                                    # bytes in a stored block
_FULL = _STORED.pack(0, _LONGEST, 0)                 # before one that is full, and not the last
_READ = 1 << 16                                      # bytes that are inflated at once

Bytes = Union[bytes, memoryview]

# Modules whose classes results may contain, and that were renamed: old caches name them
_RENAMED = {
    "taskproc.commands.record": "taskproc.commands.descriptors",
    "taskproc.maps.options": "taskproc.maps.map_options",
    "taskproc.run.raised": "taskproc.errors",
}


class NotGzip(Exception):
    """Bytes that are not gzip members, or incomplete."""


class Payload(NamedTuple):
    """The payload of a value.

    Attributes:
        rest: bytes that are not written yet: a payload of one block, which is written together with the record.
        size: of the payload in bytes.
        digest: SHA-256 of the payload.
        value: SHA-256 of the pickle, which does not depend on the compression.
        met: classes and functions that the pickle names.
    """

    rest: bytes
    size: int
    digest: str
    value: str
    met: list[object]


def write_value(
    value: object, append: Callable[[bytes], object], level: int | None = None, root: str = ""
) -> Payload:
    """Write the payload of `value` by `append`, except for `rest` of the answer.

    Raises whatever `append` raises, and UnstorableResult if `value` cannot be pickled. Part of it may be written then.

    Args:
        level: see compress.
        root: see dumps.
    """
    content = plain_pickle(value)
    if content is not None and len(content) <= BLOCK:
        return _payload(content, level, [])
    met: list[object] = []
    writer = _Writer(append, level)
    try:
        try:
            dump_result(value, writer, root, met=met)
        except Exception as error:  # whatever a class's own __reduce__ raises
            if error is writer.error:
                raise
            raise unstorable(value, root, error) from error
        return writer.finish(met)
    finally:
        writer.close()


def _payload(content: bytes, level: int | None, met: list[object]) -> Payload:
    """The payload of a pickle of one block."""
    rest = compress(content, level)
    return Payload(rest, len(rest), sha256(rest).hexdigest(), sha256(content).hexdigest(), met)


def stored_value(payload: Bytes, root: str, what: str, about: Mapping[str, object]) -> object:
    """The value of verified bytes. MissingResult if they do not load, as when a class was moved.

    Args:
        root: path of the cache.
        what: names the result in errors.
        about: versions of the packages that wrote it, for errors.
    """
    pieces = decompress(payload)
    try:
        first, second = next(pieces, b""), next(pieces, None)
        if second is None:
            return loads(first, root)
        return load_result(io.BufferedReader(_Pieces(chain((first, second), pieces))), root)
    except NotGzip as error:
        raise CorruptedResult(f"{what} is not gzip: {error}") from error
    except Exception as error:  # whatever a class's own __setstate__ raises
        versions = ", ".join(f"{name} {version}" for name, version in about.items())
        raise MissingResult(
            f"{what} is intact, but does not load any more: {type(error).__name__}: {error}"
            + (f" (written with {versions})" if versions else "")
        ) from error


def loads(content: bytes | memoryview, root: str = "") -> object:
    """The value of a pickle; paths that were below the cache are now below `root`."""
    token = cache_root.set(root)
    try:
        return pickle.loads(content)
    except ModuleNotFoundError as error:
        if error.name not in _RENAMED:
            raise
        return _ResultUnpickler(io.BytesIO(content)).load()
    finally:
        cache_root.reset(token)


def load_result(file: BinaryIO, root: str = "") -> object:
    """The value of a pickle that is read piece by piece; else as loads()."""
    token = cache_root.set(root)
    try:
        return _ResultUnpickler(file).load()
    finally:
        cache_root.reset(token)


class _ResultUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        definition: object = super().find_class(_RENAMED.get(module, module), name)
        return definition


class _Pieces(io.RawIOBase):
    """A file to read pieces from. Each byte is copied once, to its final place."""

    def __init__(self, pieces: Iterator[Bytes]):
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class _Writer:
    """A file to pickle into. `error` is the error of a failed write."""

    def __init__(self, append: Callable[[bytes], object], level: int | None):
        self.error: BaseException | None = None
        self._append, self._level = append, level
        self._parts: list[bytes] = []  # of the next block
        self._held = 0                 # bytes in the parts
        self._stream: _Stream | None = None

    def write(self, piece: Any, /) -> None:
        """Take a piece of the pickle. The part that is not used at once is copied."""
        view, start = pickle.PickleBuffer(piece).raw(), 0
        # A full block waits until there is more: if it is the only one, no thread is needed
        while self._held + len(view) - start > BLOCK:
            end = start + BLOCK - self._held
            self._send(b"".join([*self._parts, view[start:end]]))
            self._parts, self._held, start = [], 0, end
        self._parts.append(bytes(view[start:]))
        self._held += len(view) - start

    def finish(self, met: list[object]) -> Payload:
        """The payload, after everything was written."""
        last = b"".join(self._parts)
        if self._stream is None:
            return _payload(last, self._level, met)
        self._stream.send(last)
        return self._stream.finish(met)

    def close(self) -> None:
        """End the threads."""
        if self._stream is not None:
            self._stream.close()

    def _send(self, block: bytes) -> None:
        try:
            if self._stream is None:
                self._stream = _Stream(self._append, self._level)
            self._stream.send(block)
        except BaseException as error:
            self.error = error
            raise


class _Stream:
    """Compresses blocks in threads, and appends them in order. For one thread at a time."""

    def __init__(self, append: Callable[[bytes], object], level: int | None):
        from concurrent.futures import ThreadPoolExecutor  # here: 20 ms, and only what is large needs it

        self._append, self._level = append, level
        self._digest, self._value, self._size = sha256(), sha256(), 0
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        self._ahead = _AHEAD * threads
        self._compressing, self._hashing = ThreadPoolExecutor(threads), ThreadPoolExecutor(1)
        self._waiting: deque[tuple[Future[bytes], Future[None]]] = deque()

    def send(self, block: bytes) -> None:
        """Take the next block; waits while enough blocks are in the threads."""
        if len(self._waiting) > self._ahead:
            self._append_next()
        try:
            compressed = self._compressing.submit(compress, block, self._level)
            hashed = self._hashing.submit(self._value.update, block)
        except RuntimeError as error:  # a limit on threads
            raise OSError(errno.EAGAIN, f"cannot compress: {error}") from error
        self._waiting.append((compressed, hashed))

    def finish(self, met: list[object]) -> Payload:
        """The payload, after everything was sent."""
        while self._waiting:
            self._append_next()
        return Payload(b"", self._size, self._digest.hexdigest(), self._value.hexdigest(), met)

    def close(self) -> None:
        """End the threads."""
        self._compressing.shutdown(cancel_futures=True)
        self._hashing.shutdown(cancel_futures=True)

    def _append_next(self) -> None:
        compressed, hashed = self._waiting.popleft()
        member = compressed.result()
        self._digest.update(member)
        self._append(member)
        self._size += len(member)
        hashed.result()


def read_payload(files: Files, handle: int, version: Version) -> memoryview | None:
    """The payload of a version, read from its open file; None if it differs from what was written."""
    # One byte more than was written: after the payload there must be a record
    size, start, end = version.size + 1, version.head, version.size
    hashed = _read_and_hash(files, handle, size, start, end) if size >= LARGE else None
    if hashed is None:
        content: Bytes = files.read(handle, size, 0)
        hashed = content, sha256(memoryview(content)[start:end]).hexdigest()
    content, digest = hashed
    whole = len(content) == size and digest == version.digest
    if not whole or sha256(content[:start]).hexdigest() != version.head_digest:
        return None
    return memoryview(content)[start:end]


def _read_and_hash(files: Files, handle: int, size: int, start: int, end: int) -> tuple[Bytes, str] | None:
    """The first `size` bytes, and the digest of those from `start` to `end`; None if no thread can be started.

    A thread hashes each piece while the next one is read.
    """
    from concurrent.futures import ThreadPoolExecutor  # here: 20 ms, and only what is large needs it

    content, digest, at = _memory(size), sha256(), 0
    with ThreadPoolExecutor(1) as hashing:
        while count := files.read_into(handle, content[at : at + _PIECE], at):
            piece = content[max(at, start) : min(at + count, end)]
            try:
                hashing.submit(digest.update, piece)
            except RuntimeError:  # a limit
                return None
            at += count
    return content[:at], digest.hexdigest()


def _memory(size: int) -> memoryview:
    """Memory that is not touched before it is read into: filling it with zeros would double the time."""
    import mmap  # here: few processes read a large result

    try:
        return memoryview(mmap.mmap(-1, size))
    except OSError as error:
        raise MemoryError(f"no memory for a result of {size} bytes") from error


def compress(content: Bytes, level: int | None = None) -> bytes:
    """One gzip member.

    Args:
        level: 0: stored; 1 to 9: deflated at that level; None: the best choice. Data that does not shrink is stored.
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
    """The content of gzip members, in pieces; stored content is not copied. NotGzip when an invalid part is reached."""
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
    """Whether the middle of the content hardly shrinks; rows that repeat within the sample do."""
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
    """The content of the first member and where it ends, if it was stored here; None: leave it to zlib.

    The CRC is not checked: the payload was verified by a stronger digest.
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
    """Yield pieces of the first member; return the bytes after it."""
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
