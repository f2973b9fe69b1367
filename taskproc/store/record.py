"""The record of a version in JSON: all that is known of a result without reading it."""
from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from taskproc.kernel.model import Record, Stamp
from taskproc.store.base import Facts, Place, Version
from taskproc.store.layout import FORMAT


def content_of(version: Version) -> dict[str, Any]:
    """What is written: every field of the version but its path."""
    record = version.record
    return {
        "format": FORMAT,
        "name": version.place.name,
        "key": version.place.key,
        "n": record.number,
        "nonce": record.nonce,
        "order": record.stamp.order,
        "value": record.stamp.value,
        "code": record.code,
        "settings": dict(record.settings),
        "needs": [[key, *stamp] for key, stamp in record.needs.items()],
        "head": version.head,
        "head_sha256": version.head_digest,
        "size": version.size,
        "sha256": version.digest,
        "about": dict(version.about),
    }


def version_of(place: Place, path: str, content: Mapping[str, Any], payload: bytes = b"") -> Version:
    """The version that was written. ValueError, KeyError or TypeError if this is no record of `place`."""
    if content["format"] != FORMAT or content["key"] != place.key:
        raise ValueError("written by another format, or the result of another task")
    record = Record(
        number=content["n"],
        nonce=content["nonce"],
        stamp=Stamp(content["order"], content["value"]),
        code=sys.intern(str(content["code"])),  # that of ten thousand tasks is one
        settings=content["settings"],
        needs={key: Stamp(order, value) for key, order, value in content["needs"]},
    )
    return Version(
        place=place,
        path=path,
        record=record,
        head=content["head"],
        head_digest=content["head_sha256"],
        size=content["size"],
        digest=content["sha256"],
        about=content["about"],
        payload=payload,
    )


def about(facts: Facts) -> dict[str, object]:
    """What is remembered for people: software, host, process, wall-clock time of the end, seconds it took.

    And `untracked`: what it was made from, too, but cannot be watched.
    """
    return {
        **({"untracked": list(facts.untracked)} if facts.untracked else {}),
        **_here(),
        "pid": os.getpid(),
        "ended": time.time(),
        "seconds": round(facts.seconds, 6),
    }


@functools.cache
def _here() -> dict[str, object]:
    """What is the same for all results of a process."""
    import platform  # here: 1 ms, and whoever only reads does without

    return {"versions": {"python": platform.python_version()}, "host": platform.node()}
