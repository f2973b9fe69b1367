"""Is a stored result still good, and if not, why not: one predicate per reason.

A result is good when the code that made it is the present code, and the stamps of its needs are those it was made from
(verifying traces: Mokhov, Mitchell, Peyton Jones, "Build systems à la carte", 2018). No times are compared.
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from taskproc.kernel.model import Fresh, Reason, Record, Stale, Stamp

NEW = Reason("new", "no result is stored")
FORCED = Reason("forced", "it was ordered to be computed anew")

# More names than these only say that there are many.
_NAMES = 3


@dataclass(frozen=True, slots=True)
class Good:
    """The stored result of `record` is good."""

    record: Record

    @property
    def verdict(self) -> Fresh:
        """What the plan is told."""
        return Fresh(self.record.stamp)


def judge(
    records: Iterable[Record],
    *,
    code: Mapping[str, str] | None,
    needs: Mapping[str, Stamp],
    above: int = 0,
    name_of: Callable[[str], str] = str,
) -> Good | Stale:
    """The newest record that is good now, or why the newest of all is not.

    Args:
        records: newest first; read no further than to the first good one.
        code: fingerprint of the present code, item → digest; None: the code does not count.
        needs: key of each need → the stamp of its present result.
        above: only records with a higher number count, the others were ordered to be made anew.
        name_of: key of a need → what people call it. Also asked for keys that only a record knows.
    """
    first: Reason | None = None
    for record in records:
        reason = (
            forced_reason(record, above)
            or code_reason(record, code)
            or edge_reason(record, needs, name_of)
            or need_reason(record, needs, name_of)
        )
        if reason is None:
            return Good(record)
        first = first or reason
        if record.number <= above:
            break
    return Stale(first or NEW)


def forced_reason(record: Record, above: int) -> Reason | None:
    """It was made before the order to make it anew."""
    return FORCED if record.number <= above else None


def code_reason(record: Record, code: Mapping[str, str] | None) -> Reason | None:
    """It was made by other code."""
    if code is None or code == record.code:
        return None
    changed = [item for item in code if item in record.code and code[item] != record.code[item]]
    parts = [
        ("source of {} changed", changed),
        ("source of {} is used now", [item for item in code if item not in record.code]),
        ("source of {} is not used any more", [item for item in record.code if item not in code]),
    ]
    return Reason("code", _sentence(parts))


def edge_reason(record: Record, needs: Mapping[str, Stamp], name_of: Callable[[str], str] = str) -> Reason | None:
    """It was made from other needs."""
    if needs.keys() == record.needs.keys():
        return None
    parts = [
        ("upstream {} is needed now", [name_of(key) for key in needs if key not in record.needs]),
        ("upstream {} is not needed any more", [name_of(key) for key in record.needs if key not in needs]),
    ]
    return Reason("need", _sentence(parts))


def need_reason(record: Record, needs: Mapping[str, Stamp], name_of: Callable[[str], str] = str) -> Reason | None:
    """It was made from another result of a need: of another value, or of the same value made by another order."""
    if needs == record.needs:
        return None
    both = [(key, stamp, record.needs[key]) for key, stamp in needs.items() if key in record.needs]
    values = [name_of(key) for key, now, then in both if now.value != then.value]
    orders = [name_of(key) for key, now, then in both if now.value == then.value and now.order != then.order]
    parts = [("upstream {} gave a new value", values), ("upstream {} was computed anew", orders)]
    return Reason("need", _sentence(parts)) if values or orders else None


def order_of(nonce: str, needs: Mapping[str, Stamp]) -> str:
    """The order half of a stamp: 32 hex digits from `nonce` and the orders of the needs, sorted by key."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (nonce, *(needs[key].order for key in sorted(needs))):
        encoded = part.encode()
        # the length tells ("ab", "c") from ("a", "bc")
        digest.update(b"%d:%b" % (len(encoded), encoded))
    return digest.hexdigest()


def _sentence(parts: Iterable[tuple[str, list[str]]]) -> str:
    return "; ".join(text.format(_some(names)) for text, names in parts if names)


def _some(names: list[str]) -> str:
    more = len(names) - _NAMES
    # "and 1 more" would be longer than the name
    if more < 2:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMES])} and {more} more"
