"""The record of a version in JSON: all that is known of a result without reading it.

A warm run reads little else, so a record that is as `text_of` writes it is taken apart by a pattern, at a third of the
cost of the decoder; what is only for people is decoded when somebody asks for it.
"""
from __future__ import annotations

import functools
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from taskproc.kernel.model import Record, Stamp
from taskproc.store.base import Facts, Place, Version
from taskproc.store.layout import FORMAT
from taskproc.store.members import compact_json, json_object, json_value

_LARGE = 1 << 14  # letters; in a longer one there are hundreds of needs, which the decoder reads once and not twice


def text_of(version: Version) -> str:
    """What is written: every field of the version but its path and payload, as JSON.

    Put together by hand: the encoder takes four times as long, and each result has one.
    """
    record, needs = version.record, version.record.needs
    return (
        f'{{"format":{FORMAT},"name":{_quoted(version.place.name)},"key":{_quoted(version.place.key)},'
        f'"n":{record.number},"nonce":{_quoted(record.nonce)},'
        f'"order":{_quoted(record.stamp.order)},"value":{_quoted(record.stamp.value)},"code":{_quoted(record.code)},'
        f'"settings":{compact_json(dict(record.settings)) if record.settings else "{}"},'
        f'{_observed_text(record)}'
        f'"needs":{compact_json([[key, *stamp] for key, stamp in needs.items()]) if needs else "[]"},'
        f'"head":{version.head},"head_sha256":{_quoted(version.head_digest)},'
        f'"size":{version.size},"sha256":{_quoted(version.digest)},"about":{_about_text(version.about)}}}'
    )


def _observed_text(record: Record) -> str:
    # Only where there is something: without it a record is as those of before, and is read by the pattern
    if not record.observed:
        return ""
    return f'"observed":{compact_json({kind: dict(items) for kind, items in record.observed.items()})},'


def _about_text(about: Mapping[str, object]) -> str:
    versions, captured = about.get("versions"), "captured" not in about
    packages = tuple(versions.items())[1:] if isinstance(versions, dict) else ()
    here = _here(packages)
    if len(about) != len(here) + (3 if captured else 4) or versions is not here["versions"]:
        return compact_json(dict(about))
    end = "}" if captured else ',"captured":false}'
    return f'{_here_text(packages)},"pid":{about["pid"]},"ended":{about["ended"]!r},"seconds":{about["seconds"]!r}{end}'


def parse(text: str) -> Mapping[str, Any]:
    """What a record says: its fields by name. ValueError if it is no JSON."""
    # Where nothing is escaped a string ends at the next quote
    usual = len(text) <= _LARGE and "\\" not in text
    match = _shape().fullmatch(text) if usual else None
    if match is None:
        return json_object(text)
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
        "settings": json_value(settings) if settings != "{}" else {},
        "needs": json_value(needs) if needs != "[]" else [],
        "head": int(head),
        "head_sha256": head_digest,
        "size": int(size),
        "sha256": digest,
        "about": _Unread(about),
    }


def version_of(place: Place, path: str, content: Mapping[str, Any], payload: bytes = b"") -> Version:
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


class _Unread(Mapping[str, object]):
    """What JSON of a known shape says, decoded when somebody asks; most never do."""

    __slots__ = ("text",)

    def __init__(self, text: str):
        self.text = text

    def __getitem__(self, name: str) -> object:
        return json_object(self.text)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(json_object(self.text))

    def __len__(self) -> int:
        return len(json_object(self.text))

    def __repr__(self) -> str:
        return repr(json_object(self.text))

    def __reduce__(self) -> tuple[object, ...]:
        return dict, (json_object(self.text),)


def for_readers(about: Mapping[str, object]) -> Mapping[str, object]:
    """What whoever reads a result may ask of what is said about it. Of most the same, and then one mapping."""
    if isinstance(about, _Unread):
        return _versions_in(about.text[: about.text.index("}") + 1])
    return {name: about[name] for name in ("versions", "path", "signs") if name in about}


def packages_of(about: Mapping[str, object]) -> Mapping[str, str]:
    """Package → version, of those that were reached by the code; an older record does not say."""
    versions = for_readers(about).get("versions")
    return versions if isinstance(versions, Mapping) else {}


@functools.lru_cache(maxsize=64)
def _versions_in(text: str) -> Mapping[str, object]:
    return json_object(text + "}")


def about(facts: Facts, *, captured: bool = True) -> dict[str, object]:
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
    return compact_json(_here(packages))[:-1]


_STRING, _NUMBER, _TIME = '"([^"]*)"', "(0|[1-9][0-9]{0,17})", r"(?:0|[1-9][0-9]*)\.[0-9]+|[1-9](?:\.[0-9]+)?e-[0-9]+"
_FLAT, _PAIR = r"\{[^{}]*\}", '"[^"]*":"[^"]*"'


@functools.cache  # not at import: it takes a millisecond, and who reads nothing does without
def _shape() -> re.Pattern[str]:
    """What `text_of` writes, word for word, where nothing in it is escaped; all else is left to the decoder."""
    return re.compile(
        rf'\{{"format":{FORMAT},"name":{_STRING},"key":{_STRING},"n":{_NUMBER},"nonce":{_STRING},'
        rf'"order":{_STRING},"value":{_STRING},"code":{_STRING},'
        rf'"settings":({_FLAT}),"needs":(\[(?:\[[^][]*\],?)*\]),'
        rf'"head":{_NUMBER},"head_sha256":{_STRING},"size":{_NUMBER},"sha256":{_STRING},'
        rf'"about":(\{{"versions":\{{(?:{_PAIR},)*{_PAIR}\}},"host":"[^"]*","pid":[1-9][0-9]*,'
        rf'"ended":(?:{_TIME}),"seconds":(?:{_TIME})(?:,"captured":false)?\}})\}}'
    )
