"""The payload of a version, read and verified: what is large is hashed while the rest of it is still being read."""
from __future__ import annotations

from hashlib import sha256

from taskproc.store.base import Version
from taskproc.store.compression import Bytes
from taskproc.store.files import Files

LARGE = 1 << 23   # bytes of a file from which a second thread pays
_PIECE = 1 << 22  # bytes that are read at once


def payload_of(files: Files, handle: int, version: Version) -> memoryview | None:
    """What lies between head and record of an open file; None if it is not what was written. May raise OSError."""
    # A byte more than was written: behind the payload there must be a record
    size, start, end = version.size + 1, version.head, version.size
    found = _hashed_on_the_way(files, handle, size, start, end) if size >= LARGE else None
    if found is None:
        content: Bytes = files.read(handle, size, 0)
        found = content, sha256(memoryview(content)[start:end]).hexdigest()
    content, digest = found
    whole = len(content) == size and digest == version.digest
    if not whole or sha256(content[:start]).hexdigest() != version.head_digest:
        return None
    return memoryview(content)[start:end]


def _hashed_on_the_way(files: Files, handle: int, size: int, start: int, end: int) -> tuple[Bytes, str] | None:
    """The first `size` bytes, and the digest of those from `start` to `end`; None: there is no thread to be had."""
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
    """Memory that is not touched before it is read into: to fill it with zeros takes as long as to read."""
    import mmap  # here: few processes read anything large

    try:
        return memoryview(mmap.mmap(-1, size))
    except OSError as error:
        raise MemoryError(f"no memory for a result of {size} bytes") from error
