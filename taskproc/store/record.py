"""The record of a version in JSON: all that is known of a result without reading it."""
from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from taskproc.kernel.model import Record, Stamp
from taskproc.store.base import Facts, Place, Version
from taskproc.store.codec import compact
from taskproc.store.layout import FORMAT


def text_of(version: Version) -> str:
    """What is written: every field of the version but its path and payload, as JSON.

    Put together by hand: the encoder takes four times as long, and each result has one.
    """
    record, needs = version.record, version.record.needs
    return (
        f'{{"format":{FORMAT},"name":{_quoted(version.place.name)},"key":{_quoted(version.place.key)},'
        f'"n":{record.number},"nonce":{_quoted(record.nonce)},'
        f'"order":{_quoted(record.stamp.order)},"value":{_quoted(record.stamp.value)},"code":{_quoted(record.code)},'
        f'"settings":{compact(dict(record.settings)) if record.settings else "{}"},'
        f'"needs":{compact([[key, *stamp] for key, stamp in needs.items()]) if needs else "[]"},'
        f'"head":{version.head},"head_sha256":{_quoted(version.head_digest)},'
        f'"size":{version.size},"sha256":{_quoted(version.digest)},"about":{_about_text(version.about)}}}'
    )


def _about_text(about: Mapping[str, object]) -> str:
    here = _here()
    if len(about) != len(here) + 3 or about.get("versions") is not here["versions"]:
        return compact(dict(about))
    return f'{_here_text()},"pid":{about["pid"]},"ended":{about["ended"]!r},"seconds":{about["seconds"]!r}}}'


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


@functools.cache
def _here_text() -> str:
    return compact(_here())[:-1]
