"""The head of a claim: whose attempt it is. It stays the head of the result that the claim becomes."""
from __future__ import annotations

from json.encoder import encode_basestring_ascii as _quoted

from taskproc.store.base import Place
from taskproc.store.members import read_comment, text_member


def head_of(token: str, place: Place, number: int, nonce: str) -> bytes:
    """That of attempt `number` at a place, made in the name of the run `token`."""
    # As the encoder would write it; each claim has one
    return text_member(
        f'{{"token":{_quoted(token)},"n":{number},"key":{_quoted(place.key)},"nonce":{_quoted(nonce)}}}'
    )


def content_of(start: bytes) -> dict[str, object]:
    """What the head at the beginning of a claim says; empty if it is not whole."""
    end = start.find(b"\x00", 10)
    try:
        return read_comment(start[: end + 11]) if end > 0 else {}
    except ValueError:
        return {}


def token_of(start: bytes) -> str:
    """In whose name a claim was made; empty if its head is not whole."""
    return str(content_of(start).get("token", ""))
