"""Values to payloads and back: a pickle in gzip members, and two digests of it.

A pickle is compressed as it is made, in blocks of 1 MiB, each a member of its own: threads compress and hash them at
once, they are written in their order, and nobody ever holds the whole pickle, or all that was made of it. What is read
is verified as a whole before; then it is expanded as the unpickler asks for it, right into the arrays it makes.
"""
from __future__ import annotations

import errno
import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from itertools import chain
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any, NamedTuple

from taskproc.errors import CorruptedResult, MissingResult
from taskproc.store.codec import dump, load, loads, plain_pickle, unstorable
from taskproc.store.compression import Bytes, NotGzip, compress, decompress

if TYPE_CHECKING:
    from concurrent.futures import Future

BLOCK = 1 << 20      # bytes of the pickle in a member
_MOST_THREADS = 8
_AHEAD = 2           # blocks a thread that are compressed or wait for it


class Payload(NamedTuple):
    """What was made of a value.

    Attributes:
        rest: what is not written yet: all of a payload of one block, so that it may be written with what follows it.
        size: bytes in all; `digest`: their SHA-256.
        value: SHA-256 of the pickle: the same for the same value, whatever compresses it.
        met: classes and functions that go by name in it.
    """

    rest: bytes
    size: int
    digest: str
    value: str
    met: list[object]


def write_value(
    value: object, append: Callable[[bytes], object], level: int | None = None, root: str = ""
) -> Payload:
    """Give `append` the payload of `value`, but for what it returns as `rest`.

    Raises what `append` raises, and UnstorableResult if `value` cannot be pickled; then a part may have been written.

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
            dump(value, writer, root, met=met)
        except Exception as error:  # whatever a class's own __reduce__ raises
            if error is writer.error:
                raise
            raise unstorable(value, root, error) from error
        return writer.finish(met)
    finally:
        writer.close()


def _payload(content: bytes, level: int | None, met: list[object]) -> Payload:
    """That of a pickle of one block."""
    rest = compress(content, level)
    return Payload(rest, len(rest), sha256(rest).hexdigest(), sha256(content).hexdigest(), met)


def stored_value(payload: Bytes, root: str, what: str, about: Mapping[str, object]) -> object:
    """The value of verified bytes. MissingResult if they do not load, since a class moved or a package is gone."""
    pieces = decompress(payload)
    try:
        first, second = next(pieces, b""), next(pieces, None)
        if second is None:
            return loads(first, root)
        return load(io.BufferedReader(_Pieces(chain((first, second), pieces))), root)
    except NotGzip as error:
        raise CorruptedResult(f"{what} is not gzip: {error}") from error
    except Exception as error:  # whatever a class's own __setstate__ raises
        versions = ", ".join(f"{name} {version}" for name, version in about.items())
        raise MissingResult(
            f"{what} is intact, but does not load any more: {type(error).__name__}: {error}"
            + (f" (written with {versions})" if versions else "")
        ) from error


class _Pieces(io.RawIOBase):
    """Pieces as a file to read from. Each byte is copied once, to where it is to be."""

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
    """A file to pickle into. `error` is what went wrong in writing, if anything did."""

    def __init__(self, append: Callable[[bytes], object], level: int | None):
        self.error: BaseException | None = None
        self._append, self._level = append, level
        self._parts: list[bytes] = []  # of the next block
        self._kept = 0                 # bytes in them
        self._stream: _Stream | None = None

    def write(self, piece: Any, /) -> None:
        """Take a piece of the pickle, and copy what is not used at once."""
        view, start = PickleBuffer(piece).raw(), 0
        # A full block stays until there is more: if it is the only one, no thread is needed
        while self._kept + len(view) - start > BLOCK:
            end = start + BLOCK - self._kept
            self._send(b"".join([*self._parts, view[start:end]]))
            self._parts, self._kept, start = [], 0, end
        self._parts.append(bytes(view[start:]))
        self._kept += len(view) - start

    def finish(self, met: list[object]) -> Payload:
        """What was made, when all is written."""
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
    """Compresses blocks in threads, and appends them in the order in which they come. One thread at a time."""

    def __init__(self, append: Callable[[bytes], object], level: int | None):
        from concurrent.futures import ThreadPoolExecutor  # here: 20 ms, and only what is large needs it

        self._append, self._level = append, level
        self._digest, self._value, self._size = sha256(), sha256(), 0
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        self._ahead = _AHEAD * threads
        self._compressing, self._hashing = ThreadPoolExecutor(threads), ThreadPoolExecutor(1)
        self._waiting: deque[tuple[Future[bytes], Future[None]]] = deque()

    def send(self, block: bytes) -> None:
        """Take the next block; waits while enough are on their way."""
        if len(self._waiting) > self._ahead:
            self._append_next()
        try:
            compressed = self._compressing.submit(compress, block, self._level)
            hashed = self._hashing.submit(self._value.update, block)
        except RuntimeError as error:  # a limit of threads
            raise OSError(errno.EAGAIN, f"cannot compress: {error}") from error
        self._waiting.append((compressed, hashed))

    def finish(self, met: list[object]) -> Payload:
        """What was made, when all is sent."""
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
