"""Whether a stored result is still good, and if not, why: one function per reason.

A result is good if it was made by the present code, and from the present stamps of its needs (verifying traces: Mokhov,
Mitchell, Peyton Jones, "Build systems à la carte", 2018). Times are not compared.
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Protocol, TypeVar

from taskproc.frozen import frozen
from taskproc.kernel.model import Reason, Record, Stale, Stamp

NEW = Reason("new", "no result is stored")
FORCED = Reason("forced", "it was cleared or forced")

_NAMES = 3  # names in a message; the others are counted

# Kind of a setting → its name in messages, and whether its text is shown
SETTINGS = {
    "version": ("task_version", True),
    "package": ("package", True),
    "environment": ("environment variable", False),
    "attribute": ("attribute", False),
}


@frozen
class Present:
    """The code, needs and settings from which a result would be made now.

    Attributes:
        code: digest of the present code; None: the code does not count.
        needs: key of each need → the stamp of its present result.
        settings: as in a Record.
        above: only records with a higher number count; a user has ordered the others to be computed again.
    """

    code: str | None
    needs: Mapping[str, Stamp]
    settings: Mapping[str, str] = field(default_factory=dict)
    above: int = 0


class Recorded(Protocol):
    """A stored version, which has a record."""

    @property
    def record(self) -> Record:
        """The record of the run."""
        ...


V = TypeVar("V", bound=Recorded)


def judge(
    versions: Iterable[V],
    now: Present,
    *,
    name_of: Callable[[str], str] = str,
    change_of: Callable[[str], str] = lambda code: "the source changed",
    sight_of: Callable[[Record], Reason | None] = lambda record: None,
) -> V | Stale:
    """The newest version whose record is good now, or why the newest of all is not.

    Args:
        versions: newest first; read only to the first good one.
        name_of: key of a need → its name in messages. Also called with keys that only a record contains.
        change_of: code digest of a record → how it differs from the present code, in words.
        sight_of: the reason why observed items of a record make it stale, or None; called last.
    """
    seen: Reason | None = None
    newest: Record | None = None
    for version in versions:
        record = version.record
        good = is_good(record, now)
        reason = sight_of(record) if good and record.observed else None
        if good and reason is None:
            return version
        if newest is None:
            newest, seen = record, reason
        if record.number <= now.above:
            break
    if newest is None:
        return Stale(NEW)
    return Stale(seen or reason_of(newest, now, name_of, change_of))


def is_good(record: Record, now: Present) -> bool:
    """Whether there is no reason to compute it again. Called for every result, so it must be fast."""
    return (
        record.number > now.above
        and (now.code is None or now.code == record.code or now.code in record.accepted)
        and now.settings == record.settings
        and now.needs == record.needs
    )


def reason_of(record: Record, now: Present, name_of: Callable[[str], str], change_of: Callable[[str], str]) -> Reason:
    """Why a record is not good; see `judge`."""
    reason = (
        forced_reason(record, now.above)
        or code_reason(record, now.code, change_of)
        or setting_reason(record, now.settings)
        or edge_reason(record, now.needs, name_of)
        or need_reason(record, now.needs, name_of)
    )
    assert reason is not None, "not good, and for no reason [this is a bug]"
    return reason


def forced_reason(record: Record, above: int) -> Reason | None:
    """The result was made before the order to compute it again."""
    return FORCED if record.number <= above else None


def code_reason(record: Record, code: str | None, change_of: Callable[[str], str]) -> Reason | None:
    """The result was made by different code, and the present code was not accepted for it."""
    if code is None or code == record.code or code in record.accepted:
        return None
    return Reason("code", change_of(record.code))


def setting_reason(record: Record, settings: Mapping[str, str]) -> Reason | None:
    """The result was made with different settings: another version of a package, another value of a variable."""
    if settings == record.settings:
        return None
    names = [name for name in {**record.settings, **settings} if settings.get(name) != record.settings.get(name)]
    kinds = [name.partition(" ")[0] for name in names]
    texts = [_setting(name, record.settings.get(name), settings.get(name)) for name in names[:_NAMES]]
    more = [f"and {len(names) - _NAMES} more"] if len(names) > _NAMES else []
    return Reason(next((kind for kind in SETTINGS if kind in kinds), kinds[0]), "; ".join([*texts, *more]))


def _setting(name: str, then: str | None, now: str | None) -> str:
    kind, _, rest = name.partition(" ")
    word, tells = SETTINGS.get(kind, (kind, False))
    subject = f"{word} {rest}".rstrip()
    if then is None or now is None:
        return f"{subject} counts {'now' if then is None else 'no more'}"
    return f"{subject} {then} → {now}" if tells else f"{subject} changed"


def changed_items(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """How two sets of code items, name → digest, differ, in words; empty if they do not."""
    parts = [
        ("source of {} changed", [item for item in now if item in then and now[item] != then[item]]),
        ("source of {} is used now", [item for item in now if item not in then]),
        ("source of {} is not used any more", [item for item in then if item not in now]),
    ]
    return _sentence(parts)


def edge_reason(record: Record, needs: Mapping[str, Stamp], name_of: Callable[[str], str] = str) -> Reason | None:
    """The result was made from other needs."""
    if needs.keys() == record.needs.keys():
        return None
    parts = [
        ("upstream {} is needed now", [key for key in needs if key not in record.needs]),
        ("upstream {} is not needed any more", [key for key in record.needs if key not in needs]),
    ]
    return Reason("need", _sentence(parts, name_of))


def need_reason(record: Record, needs: Mapping[str, Stamp], name_of: Callable[[str], str] = str) -> Reason | None:
    """The result was made from another version of a need: with another value, or the same value by another order."""
    if needs == record.needs:
        return None
    both = [(key, stamp, record.needs[key]) for key, stamp in needs.items() if key in record.needs]
    values = [key for key, now, then in both if now.value != then.value]
    orders = [key for key, now, then in both if now.value == then.value and now.order != then.order]
    if not values and not orders:
        return None
    parts = [("upstream {} gave a new value", values), ("upstream {} ran again", orders)]
    return Reason("need", _sentence(parts, name_of), (*values, *orders))


def order_of(nonce: str, needs: Mapping[str, Stamp]) -> str:
    """The order half of a stamp: 32 hex digits from `nonce` and the orders of the needs, sorted by key."""
    parts = [part.encode() for part in (nonce, *[needs[key].order for key in sorted(needs)])]
    # the lengths distinguish ("ab", "c") from ("a", "bc")
    return hashlib.blake2b(b"".join([b"%d:%b" % (len(part), part) for part in parts]), digest_size=16).hexdigest()


def _sentence(parts: Iterable[tuple[str, list[str]]], name_of: Callable[[str], str] = str) -> str:
    return "; ".join(text.format(some_names(keys, name_of)) for text, keys in parts if keys)


def some_names(keys: list[str], name_of: Callable[[str], str] = str) -> str:
    """The first names, and the number of the others."""
    more = len(keys) - _NAMES
    # "and 1 more" would be longer than the name
    if more < 2:
        return ", ".join(map(name_of, keys))
    return f"{', '.join(map(name_of, keys[:_NAMES]))} and {more} more"
