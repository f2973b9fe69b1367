"""Microseconds to write the head and the record of a result by hand, as the store does, and by json; and to read it.

python -m benchmarks.workloads.records
"""
import timeit
from collections.abc import Callable
from hashlib import sha256

from taskproc.frozen import replace
from taskproc.kernel.model import Record, Stamp
from taskproc.store import version
from taskproc.store.layout import Place
from taskproc.store.members import compact_json, json_object, text_member

HASH, NONCE = sha256().hexdigest(), "0" * 32
PLACE = Place("module.Task", 123, NONCE)


def microseconds(call: Callable[[], object], count: int = 5_000) -> str:
    """The best of several times, for one call."""
    return f"{min(timeit.repeat(call, number=count, repeat=15)) / count * 1e6:.1f} µs"


def main() -> None:
    """Print one row for each kind of text."""
    about = version.about_result(version.Facts("", {}, seconds=0.1))
    stored = version.Version(PLACE, "path", Record(1, NONCE, Stamp(NONCE, NONCE), HASH, {}), 1, HASH, 2, HASH, about)
    head = {"token": NONCE, "n": 1, "key": NONCE, "nonce": NONCE}
    print("head  ", microseconds(lambda: version.claim_head(NONCE, PLACE, 1, NONCE)),
          "json", microseconds(lambda: text_member(compact_json(head))))  # fmt: skip
    for count in (0, 2, 10):
        needs = {f"{need:032x}": Stamp(NONCE, NONCE) for need in range(count)}
        row(replace(stored, record=replace(stored.record, needs=needs)))


def row(stored: version.Version) -> None:
    """Of a record with so many needs."""
    text = version.record_text(stored)
    content = json_object(text)
    print(f"record with {len(stored.record.needs)} needs:", microseconds(lambda: version.record_text(stored)),
          "json", microseconds(lambda: compact_json(content)),
          "  read", microseconds(lambda: json_object(text)))  # fmt: skip


if __name__ == "__main__":
    main()
