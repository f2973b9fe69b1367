"""What an attempt printed, read from its files while it runs or afterwards. No link is followed."""
from __future__ import annotations

from taskproc.errors import LinkInCache
from taskproc.ledger.identifiers import Located
from taskproc.store import layout
from taskproc.store.disk import DiskStore


class Log:
    """One log of one attempt. It may appear, and grow, while it is read.

    Args:
        stream: stdout, stderr, stdout_caller or stderr_caller.
        number: of the attempt.
    """

    def __init__(self, store: DiskStore, task: Located, stream: str, number: int):
        self.stream, self.number = stream, number
        self._store, self._levels = store, (task.class_folder, "results", str(task.id))
        self._name = layout.log_file(stream, number)

    def read(self, start: int, most: int) -> bytes:
        """At most `most` bytes from this place on; empty if there are none, or no such file."""
        try:
            with self._store.held(*self._levels) as folder:
                handle = self._store.files.read_only(folder, self._name)
            try:
                return self._store.files.read(handle, most, start)
            finally:
                self._store.files.close(handle)
        except (OSError, LinkInCache):
            return b""  # it printed nothing, or was cleared; or it is a link

    def size(self) -> int:
        """Bytes; 0 if there is no file."""
        try:
            with self._store.held(*self._levels) as folder:
                return self._store.files.tail(folder, self._name, 0)[1]
        except (OSError, LinkInCache):
            return 0

    def end(self, most: int) -> bytes:
        """The last bytes, at most so many."""
        return self.read(max(0, self.size() - most), most)
