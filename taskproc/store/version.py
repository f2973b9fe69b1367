"""A version of a result: what is known of it without reading its value, and the JSON in which that is written.

A *version* is a published result, immutable. Besides the payload, its file holds a *head*, which says whose attempt it
is, and a *record*, which says all that is known without reading the payload. An *accept file* names other code that was
declared to give the same result. It is bound to one version by the digests of its head, which no two attempts share,
and of its payload. If it is torn, of another version, or unsigned where results are signed, it is ignored.

Every task that runs writes a head and a record, so their JSON is put together by hand. The decoder reads it.
"""
from __future__ import annotations

import functools
import hmac
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Union

from taskproc.frozen import frozen
from taskproc.kernel.model import Record, Stamp, Usage
from taskproc.machine import user_name
from taskproc.store.layout import FORMAT, Place
from taskproc.store.members import compact_json, read_comment, text_member
from taskproc.store.rules import Key

_FIELDS = 12  # of what a usual record is about
TINY_PAYLOAD = 512  # bytes of a payload that is held in its version, so that no file is opened to read it
_NO_LOG = ',"captured":false}'
LONGEST_ACCEPT = 1 << 20  # bytes; fifteen thousand digests
NO_USAGE = Usage()


@frozen
class Version:
    """A published result: its record is verified, its payload is not.

    Attributes:
        path: of its file, for people and for `load`.
        head, head_digest: bytes before the payload, and their SHA-256.
        size, digest: bytes before the record, and the SHA-256 of the payload.
        about: the rest of the record: versions of the software, host, wall-clock times; see about_result.
        payload: if it is tiny and was read along with the record; not verified, like the bytes of a file.
    """

    place: Place
    path: str
    record: Record
    head: int = 0
    head_digest: str = ""
    size: int = 0
    digest: str = ""
    about: Mapping[str, object] = field(default_factory=dict)
    payload: bytes = b""


@frozen
class Facts:
    """What a result was made from (see Record), and what else is recorded with it.

    Attributes:
        seconds: for which the task ran.
        level: of gzip, 0 to 9; None: whatever pays.
        mark: gives the text behind the value's digest, from the classes and functions whose names are in the pickle.
            An object with equal bytes but a changed class is a different value.
        packages: name → version of the packages that the code reached. It decides nothing.
        named: gives a digest that does not depend on how the value was made, from the value, the path of the cache and
            the data directory; None: use the digest of the pickle. The directory is empty if its files are not known.
        observed: as in a Record.
        unseen: what could not be observed, in words.
        usage: what the attempt used.
    """

    code: str
    needs: Mapping[str, Stamp]
    settings: Mapping[str, str] = field(default_factory=dict)
    untracked: Sequence[str] = ()
    seconds: float = 0.0
    level: int | None = None
    mark: Callable[[Sequence[object]], str] = lambda things: ""
    packages: Mapping[str, str] = field(default_factory=dict)
    named: Callable[[object, str, str], str | None] = lambda value, root, home: None
    observed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    unseen: Sequence[str] = ()
    usage: Usage = NO_USAGE

    def value(
        self,
        value: object,
        digest: str,
        met: Sequence[object],
        *,
        files: str | None = "",
        root: str = "",
        home: str = "",
        former: Callable[[], str] = str,
    ) -> str:
        """The value half of a stamp: `=` and the digest by `named`, or the digest of the pickle; then mark and files.

        Args:
            digest: of the pickle.
            met: classes and functions that are named in the pickle.
            files: digest of the files in the data directory `home`, which belong to the value; None: not known.
            root: path of the cache.
            former: gives the value half of the version before. An equal pickle keeps it, for older versions have no
                digest by `named`.
        """
        mark = self.mark(met)
        by_pickle = f"{digest}{mark}"
        named = self.named(value, root, home if files is not None else "")
        if files is None:
            return f"{by_pickle}+{os.urandom(8).hex()}"
        suffix = f"+{files}" if files else ""
        if named is None or (not files and former() == by_pickle):
            return by_pickle + suffix
        return f"={named}{mark}{suffix}"


Pick = Callable[[Iterator[Version]], Union[Version, None]]


def claim_head(token: str, place: Place, number: int, nonce: str) -> bytes:
    """The head of attempt `number` at `place`, made by the run `token`."""
    # As the encoder writes it, in 0.4 instead of 2.4 µs (benchmarks/workloads/records.py, 2026-12)
    return text_member(f'{{"token":{_quoted(token)},"n":{number},"key":{_quoted(place.key)},"nonce":{_quoted(nonce)}}}')


def read_head(start: bytes) -> dict[str, object]:
    """The fields of the head at the start of a claim; empty if it is incomplete."""
    end = start.find(b"\x00", 10)
    try:
        return read_comment(start[: end + 11]) if end > 0 else {}
    except ValueError:
        return {}


def record_text(version: Version) -> str:
    """Every field of the version except its path and payload, as JSON.

    Written by hand, in 3.3 instead of 7.3 µs for a task without needs (benchmarks/workloads/records.py, 2026-12).
    """
    record, needs = version.record, version.record.needs
    return (
        f'{{"format":{FORMAT},"name":{_quoted(version.place.name)},"key":{_quoted(version.place.key)},'
        f'"n":{record.number},"nonce":{_quoted(record.nonce)},'
        f'"order":{_quoted(record.stamp.order)},"value":{_quoted(record.stamp.value)},"code":{_quoted(record.code)},'
        f'"settings":{compact_json(dict(record.settings)) if record.settings else "{}"},'
        f"{_observed_text(record)}"
        f'"needs":{compact_json([[key, *stamp] for key, stamp in needs.items()]) if needs else "[]"},'
        f'"head":{version.head},"head_sha256":{_quoted(version.head_digest)},'
        f'"size":{version.size},"sha256":{_quoted(version.digest)},"about":{_about_text(version.about)}}}'
    )


def _observed_text(record: Record) -> str:
    # Only if there is something, so that a record without it looks like older ones
    if not record.observed:
        return ""
    return f'"observed":{compact_json({kind: dict(items) for kind, items in record.observed.items()})},'


def _about_text(about: Mapping[str, Any]) -> str:
    versions, captured = about.get("versions"), "captured" not in about
    packages = tuple(versions.items())[1:] if isinstance(versions, dict) else ()
    count = len(about) if captured else len(about) - 1
    if count != _FIELDS or versions is not _here(packages)["versions"] or about["worker"] is None:
        return compact_json(dict(about))
    peak, data = about["peak"], about["data"]
    # A float in a fixed number of digits takes a quarter of the time of one in as many as it has
    return (
        f'{_place_text(packages, about["pid"], about["worker"], about["run"])},"ended":{about["ended"]:.3f},'
        f'"seconds":{about["seconds"]:.6f},"began":{about["began"]:.3f},"cpu":{about["cpu"]:.6f},'
        f'"peak":{"null" if peak is None else peak},"data":{"null" if data is None else data}'
        f'{"}" if captured else _NO_LOG}'
    )


def version_from(place: Place, path: str, content: Mapping[str, Any], payload: bytes = b"") -> Version:
    """The version with the fields of a record. ValueError, KeyError or TypeError if it is not a record of `place`."""
    if content["format"] != FORMAT or content["key"] != place.key:
        raise ValueError("written by another format, or the result of another task")
    needs = {key: Stamp(order, value) for key, order, value in content["needs"]} if content["needs"] else {}
    code = sys.intern(str(content["code"]))  # ten thousand tasks have the same
    stamp = Stamp(content["order"], content["value"])
    observed = content.get("observed", {})
    record = Record(content["n"], content["nonce"], stamp, code, needs, content["settings"], observed=observed)
    digests = content["head"], content["head_sha256"], content["size"], content["sha256"]
    return Version(place, path, record, *digests, content["about"], payload)


def about_for_readers(about: Mapping[str, object]) -> Mapping[str, object]:
    """The part of `about` that readers of a result use. Most records with the same versions share one mapping."""
    versions = about.get("versions")
    if "path" in about or "signs" in about or not isinstance(versions, Mapping):
        return {name: about[name] for name in ("versions", "path", "signs") if name in about}
    return _only_versions(tuple(zip(versions, map(str, versions.values()))))


@functools.lru_cache(maxsize=64)
def _only_versions(versions: tuple[tuple[str, str], ...]) -> Mapping[str, object]:
    return {"versions": dict(versions)}


def package_versions(about: Mapping[str, object]) -> Mapping[str, str]:
    """Package → version, of Python and the packages that the code reached; older records have only Python."""
    versions = about.get("versions")
    return versions if isinstance(versions, Mapping) else {}


def about_result(facts: Facts, *, captured: bool = True, data: int | None = 0) -> dict[str, object]:
    """What is recorded for people: versions of Python and packages, host, user, process, wall-clock time of the end,
    seconds; when the attempt began, its cpu, peak and worker (see Usage), the id of its run.

    Also, if there is any: `untracked`, inputs that cannot be watched; `unseen`, what the task may have touched without
    being observed; and `captured`, false if its output has no log. What is not known is None, and records of older
    versions do not have all fields.

    Args:
        data: bytes of the files in the data directory; None: not known.
    """
    here = _here(tuple(facts.packages.items()) if facts.packages else ())
    began, cpu, peak, worker, run = facts.usage
    about = {
        "versions": here["versions"], "host": here["host"], "user": here["user"],
        "pid": os.getpid(), "ended": time.time(), "seconds": facts.seconds,
        "began": began, "cpu": cpu, "peak": peak, "run": run, "worker": worker, "data": data,
    }  # fmt: skip
    if facts.untracked:
        about["untracked"] = list(facts.untracked)
    if facts.unseen:
        about["unseen"] = list(facts.unseen)
    if not captured:
        about["captured"] = False
    return about


@functools.lru_cache(maxsize=64)
def _here(packages: tuple[tuple[str, str], ...] = ()) -> dict[str, object]:
    """The part that is the same for all results of a process whose code reaches these packages."""
    import platform  # here: 1 ms, and only needed to write

    versions = {"python": platform.python_version(), **dict(packages)}
    return {"versions": versions, "host": platform.node(), "user": user_name()}


@functools.lru_cache(maxsize=64)
def _place_text(packages: tuple[tuple[str, str], ...], pid: int, worker: str, run: str | None) -> str:
    """The part that is the same for all results of a run that are made there, without the brace at its end."""
    return compact_json({**_here(packages), "pid": pid, "worker": worker, "run": run})[:-1]


def accept_text(version: Version, codes: Iterable[str], key: Key | None) -> bytes:
    """The content of an accept file that names `codes` for `version`."""
    content = _accept_content(version, codes)
    if key is not None:
        content["hmac"] = _accept_signature(content, key)
    return json.dumps(content).encode("ascii") + b"\n"


def accepted_codes(text: bytes, version: Version, key: Key | None) -> frozenset[str] | None:
    """The digests of code in an accept file; None if it is not a valid one for `version`."""
    try:
        content = json.loads(text)
        codes = [str(code) for code in content["codes"]]
        signature = str(content.get("hmac", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    valid = _accept_content(version, codes)
    expected = "" if key is None else _accept_signature(valid, key)
    if not hmac.compare_digest(signature.encode("ascii", "replace"), expected.encode("ascii")):
        return None
    if (content.get("head"), content.get("sha256")) != (valid["head"], valid["sha256"]):
        return None
    return frozenset(codes)


def _accept_content(version: Version, codes: Iterable[str]) -> dict[str, object]:
    return {"head": version.head_digest, "sha256": version.digest, "codes": sorted(set(codes))}


def _accept_signature(content: dict[str, object], key: Key) -> str:
    # With a word in front, so that this signature never fits a record
    return key.sign(b"accept\x00" + json.dumps(content, sort_keys=True).encode("ascii")).hex()
