"""A version of a result: what is known of it without reading its value, and the JSON in which that is written.

A *version* is a published result, immutable. Besides the payload, its file holds a *head*, which says whose attempt it
is, and a *record*, which says all that is known without reading the payload. An *accept file* names other code that was
declared to give the same result. It is bound to one version by the digests of its head, which no two attempts share,
and of its payload. If it is torn, of another version, or unsigned where results are signed, it is ignored.

A warm run reads little else than records, so heads and records are written by hand, and a record in exactly that form
is read by a pattern. Everything else is left to the decoder.
"""
from __future__ import annotations

import functools
import hmac
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Union

from taskproc.frozen import frozen
from taskproc.kernel.model import Record, Stamp
from taskproc.store.codec import compact, content_of, decoded, read_comment, text_member
from taskproc.store.layout import FORMAT, Place
from taskproc.store.rules import Key

TINY_PAYLOAD = 512  # bytes of a payload that goes with its version, so that who reads it need not open a file
LONGEST_ACCEPT = 1 << 20  # bytes; fifteen thousand digests
_LARGE = 1 << 14  # letters; in a longer one there are hundreds of needs, which the decoder reads once and not twice


@frozen
class Version:
    """A published result: its record is verified, its payload is not.

    Attributes:
        path: where it lies, for people and for `load`.
        head: bytes before the payload; `size`: bytes before the record; both with their SHA-256.
        about: what else the record says: versions of the software, host, wall-clock times.
        payload: its payload, if that is tiny and was at hand; as unverified as what is read from a file.
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
    """What a result was made from (see Record), and what else is to be remembered of it.

    Attributes:
        mark: of the classes and functions whose names stand in the pickled value: what goes behind the value's digest.
            Equal bytes of an object whose class is another now do not do the same.
        named: a digest of the value that is the same however the value was made, given the cache and the data
            directory; None: that of the pickle will do. The directory is empty where what lies in it is not known.
        level: of gzip, 0 to 9; None: what pays.
        packages: name → version of the packages that the code reached. It decides nothing.
        observed: as in a Record; unseen: what could not be, in words.
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
        """The value half of a stamp: `=` and a digest by name, or that of the pickle, and what stands beside it.

        Args:
            digest, met: of the pickle, and what goes by name in it.
            files: digest of the files in the data directory `home`, which belong to the value; None: not known.
            former: the value half of the version before. What has the pickle that it had keeps what it had, for older
                versions have no digest by name.
        """
        mark = self.mark(met)
        by_pickle = f"{digest}{mark}"
        named = self.named(value, root, home if files is not None else "")
        if files is None:
            return f"{by_pickle}+{os.urandom(8).hex()}"
        beside = f"+{files}" if files else ""
        if named is None or (not files and former() == by_pickle):
            return by_pickle + beside
        return f"={named}{mark}{beside}"


Pick = Callable[[Iterator[Version]], Union[Version, None]]


def claim_head(token: str, place: Place, number: int, nonce: str) -> bytes:
    """That of attempt `number` at a place, made in the name of the run `token`."""
    # As the encoder would write it; each claim has one
    return text_member(
        f'{{"token":{_quoted(token)},"n":{number},"key":{_quoted(place.key)},"nonce":{_quoted(nonce)}}}'
    )


def head_content(start: bytes) -> dict[str, object]:
    """What the head at the beginning of a claim says; empty if it is not whole."""
    end = start.find(b"\x00", 10)
    try:
        return read_comment(start[: end + 11]) if end > 0 else {}
    except ValueError:
        return {}


def head_token(start: bytes) -> str:
    """In whose name a claim was made; empty if its head is not whole."""
    return str(head_content(start).get("token", ""))


def record_text(version: Version) -> str:
    """What is written: every field of the version but its path and payload, as JSON.

    Put together by hand: the encoder takes four times as long, and each result has one.
    """
    record, needs = version.record, version.record.needs
    return (
        f'{{"format":{FORMAT},"name":{_quoted(version.place.name)},"key":{_quoted(version.place.key)},'
        f'"n":{record.number},"nonce":{_quoted(record.nonce)},'
        f'"order":{_quoted(record.stamp.order)},"value":{_quoted(record.stamp.value)},"code":{_quoted(record.code)},'
        f'"settings":{compact(dict(record.settings)) if record.settings else "{}"},'
        f'{_observed_text(record)}'
        f'"needs":{compact([[key, *stamp] for key, stamp in needs.items()]) if needs else "[]"},'
        f'"head":{version.head},"head_sha256":{_quoted(version.head_digest)},'
        f'"size":{version.size},"sha256":{_quoted(version.digest)},"about":{_about_text(version.about)}}}'
    )


def _observed_text(record: Record) -> str:
    # Only where there is something: without it a record is as those of before, and is read by the pattern
    if not record.observed:
        return ""
    return f'"observed":{compact({kind: dict(items) for kind, items in record.observed.items()})},'


def _about_text(about: Mapping[str, object]) -> str:
    versions, captured = about.get("versions"), "captured" not in about
    packages = tuple(versions.items())[1:] if isinstance(versions, dict) else ()
    here = _here(packages)
    if len(about) != len(here) + (3 if captured else 4) or versions is not here["versions"]:
        return compact(dict(about))
    end = "}" if captured else ',"captured":false}'
    return f'{_here_text(packages)},"pid":{about["pid"]},"ended":{about["ended"]!r},"seconds":{about["seconds"]!r}{end}'


def parse_record(text: str) -> Mapping[str, Any]:
    """What a record says: its fields by name. ValueError if it is no JSON."""
    # Where nothing is escaped a string ends at the next quote
    usual = len(text) <= _LARGE and "\\" not in text
    match = _shape().fullmatch(text) if usual else None
    if match is None:
        return content_of(text)
    name, key, number, nonce, order, value, code, *parts = match.groups()
    settings, needs, head, head_digest, size, digest, about = parts
    return {
        "format": FORMAT,
        "name": name,
        "key": key,
        "n": int(number),
        "nonce": nonce,
        "order": order,
        "value": value,
        "code": code,
        "settings": decoded(settings) if settings != "{}" else {},
        "needs": decoded(needs) if needs != "[]" else [],
        "head": int(head),
        "head_sha256": head_digest,
        "size": int(size),
        "sha256": digest,
        "about": _LazyObject(about),
    }


def version_from(place: Place, path: str, content: Mapping[str, Any], payload: bytes = b"") -> Version:
    """The version that was written. ValueError, KeyError or TypeError if this is no record of `place`."""
    if content["format"] != FORMAT or content["key"] != place.key:
        raise ValueError("written by another format, or the result of another task")
    needs = {key: Stamp(order, value) for key, order, value in content["needs"]} if content["needs"] else {}
    code = sys.intern(str(content["code"]))  # that of ten thousand tasks is one
    stamp = Stamp(content["order"], content["value"])
    observed = content.get("observed", {})
    record = Record(content["n"], content["nonce"], stamp, code, needs, content["settings"], observed=observed)
    digests = content["head"], content["head_sha256"], content["size"], content["sha256"]
    return Version(place, path, record, *digests, content["about"], payload)


class _LazyObject(Mapping[str, object]):
    """What JSON of a known shape says, decoded when somebody asks; most never do."""

    __slots__ = ("text",)

    def __init__(self, text: str):
        self.text = text

    def __getitem__(self, name: str) -> object:
        return content_of(self.text)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(content_of(self.text))

    def __len__(self) -> int:
        return len(content_of(self.text))

    def __repr__(self) -> str:
        return repr(content_of(self.text))

    def __reduce__(self) -> tuple[object, ...]:
        return dict, (content_of(self.text),)


def about_for_readers(about: Mapping[str, object]) -> Mapping[str, object]:
    """What whoever reads a result may ask of what is said about it. Of most the same, and then one mapping."""
    if isinstance(about, _LazyObject):
        return _versions_in(about.text[: about.text.index("}") + 1])
    return {name: about[name] for name in ("versions", "path", "signs") if name in about}


def package_versions(about: Mapping[str, object]) -> Mapping[str, str]:
    """Package → version, of those that were reached by the code; an older record does not say."""
    versions = about_for_readers(about).get("versions")
    return versions if isinstance(versions, Mapping) else {}


@functools.lru_cache(maxsize=64)
def _versions_in(text: str) -> Mapping[str, object]:
    return content_of(text + "}")


def about_result(facts: Facts, *, captured: bool = True) -> dict[str, object]:
    """What is remembered for people: software, host, process, wall-clock time of the end, seconds it took.

    Of the software the versions of Python, and of the packages that the code reached. And `untracked`: what it was made
    from, too, but cannot be watched; `captured`: false if what it printed has no log; `unseen`: what it may have
    touched, too, and nobody saw.
    """
    return {
        **({"untracked": list(facts.untracked)} if facts.untracked else {}),
        **({"unseen": list(facts.unseen)} if facts.unseen else {}),
        **_here(tuple(facts.packages.items())),
        "pid": os.getpid(),
        "ended": time.time(),
        "seconds": round(facts.seconds, 6),
        **({} if captured else {"captured": False}),
    }


@functools.lru_cache(maxsize=64)
def _here(packages: tuple[tuple[str, str], ...] = ()) -> dict[str, object]:
    """What is the same for all results of a process whose code reaches these packages."""
    import platform  # here: 1 ms, and whoever only reads does without

    return {"versions": {"python": platform.python_version(), **dict(packages)}, "host": platform.node()}


@functools.lru_cache(maxsize=64)
def _here_text(packages: tuple[tuple[str, str], ...] = ()) -> str:
    return compact(_here(packages))[:-1]


_STRING, _NUMBER, _TIME = '"([^"]*)"', "(0|[1-9][0-9]{0,17})", r"(?:0|[1-9][0-9]*)\.[0-9]+|[1-9](?:\.[0-9]+)?e-[0-9]+"
_FLAT, _PAIR = r"\{[^{}]*\}", '"[^"]*":"[^"]*"'


@functools.cache  # not at import: it takes a millisecond, and who reads nothing does without
def _shape() -> re.Pattern[str]:
    """What `record_text` writes, word for word, where nothing in it is escaped; all else is left to the decoder."""
    return re.compile(
        rf'\{{"format":{FORMAT},"name":{_STRING},"key":{_STRING},"n":{_NUMBER},"nonce":{_STRING},'
        rf'"order":{_STRING},"value":{_STRING},"code":{_STRING},'
        rf'"settings":({_FLAT}),"needs":(\[(?:\[[^][]*\],?)*\]),'
        rf'"head":{_NUMBER},"head_sha256":{_STRING},"size":{_NUMBER},"sha256":{_STRING},'
        rf'"about":(\{{"versions":\{{(?:{_PAIR},)*{_PAIR}\}},"host":"[^"]*","pid":[1-9][0-9]*,'
        rf'"ended":(?:{_TIME}),"seconds":(?:{_TIME})(?:,"captured":false)?\}})\}}'
    )


def accept_text(version: Version, codes: Iterable[str], key: Key | None) -> bytes:
    """The bytes of an accept file."""
    content = _accept_content(version, codes)
    if key is not None:
        content["hmac"] = _accept_signature(content, key)
    return json.dumps(content).encode("ascii") + b"\n"


def accepted_codes(text: bytes, version: Version, key: Key | None) -> frozenset[str] | None:
    """The digests that an accept file has for `version`; None if it is not good for that."""
    try:
        found = json.loads(text)
        codes = [str(code) for code in found["codes"]]
        signature = str(found.get("hmac", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    content = _accept_content(version, codes)
    expected = "" if key is None else _accept_signature(content, key)
    if not hmac.compare_digest(signature.encode("ascii", "replace"), expected.encode("ascii")):
        return None
    if (found.get("head"), found.get("sha256")) != (content["head"], content["sha256"]):
        return None
    return frozenset(codes)


def _accept_content(version: Version, codes: Iterable[str]) -> dict[str, object]:
    return {"head": version.head_digest, "sha256": version.digest, "codes": sorted(set(codes))}


def _accept_signature(content: dict[str, object], key: Key) -> str:
    # The word in front: what is signed here is never taken for a record
    return key.sign(b"accept\x00" + json.dumps(content, sort_keys=True).encode("ascii")).hex()
