"""What an accept file says: other code that was declared to give the same result as the code that made a version.

It is bound to that very version by the digests of its head, which no two attempts share, and of its payload. Torn, of
another version, or not signed where results are: then it says nothing.
"""
from __future__ import annotations

import hmac
import json
from collections.abc import Iterable

from taskproc.store.base import Version
from taskproc.store.keys import Key

LONGEST = 1 << 20  # bytes; fifteen thousand digests


def encode(version: Version, codes: Iterable[str], key: Key | None) -> bytes:
    """The bytes of an accept file."""
    content = _content(version, codes)
    if key is not None:
        content["hmac"] = _signature(content, key)
    return json.dumps(content).encode("ascii") + b"\n"


def decode(text: bytes, version: Version, key: Key | None) -> frozenset[str] | None:
    """The digests that an accept file has for `version`; None if it is not good for that."""
    try:
        found = json.loads(text)
        codes = [str(code) for code in found["codes"]]
        signature = str(found.get("hmac", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    content = _content(version, codes)
    expected = "" if key is None else _signature(content, key)
    if not hmac.compare_digest(signature.encode("ascii", "replace"), expected.encode("ascii")):
        return None
    if (found.get("head"), found.get("sha256")) != (content["head"], content["sha256"]):
        return None
    return frozenset(codes)


def _content(version: Version, codes: Iterable[str]) -> dict[str, object]:
    return {"head": version.head_digest, "sha256": version.digest, "codes": sorted(set(codes))}


def _signature(content: dict[str, object], key: Key) -> str:
    # The word in front: what is signed here is never taken for a record
    return key.sign(b"accept\x00" + json.dumps(content, sort_keys=True).encode("ascii")).hex()
