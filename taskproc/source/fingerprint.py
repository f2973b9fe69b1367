"""The fingerprint: item → digest of all the code that classes and functions reach inside the user's project.

Reached is what the code names, and what those names are bound to now; nothing of the user's is run for it, and nothing
imported. Each name ends in one of four ways. It is followed: a function or class of the user's. It is counted: by the
statements that bind or change it, and by its value at the time of asking. It is known by the version of a package. Or
it is listed as untracked. Of names that functions of the project assign or change in place (`global X`, `X[...] = `,
`X.append()`) the value does not count: such registries, counters and memos depend on what has run so far, and would
make each result stale that was computed by a process with another past.
"""
from __future__ import annotations

import gc
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field

from taskproc.frozen import frozen
from taskproc.source.dump import digest
from taskproc.source.packages import versions_of
from taskproc.source.walk import Walk

FORMAT = 2  # of this way of looking at code: one that gives other items or texts for the same code has another number


class _One:
    """Lets one thread walk at a time: what is known of a file is found in it once, and is known by being the same."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """A lock that nobody holds: in a child whoever held the other one is not there."""
        self.lock = threading.RLock()


_one = _One()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_one.renew)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's search for cycles, which would take as long as the rest: nodes of syntax come by the 100,000.

    Nor does it look at them all as soon as it is on again: to freeze what there is, and thaw it, takes it for old.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # what others froze is to stay so
            gc.freeze()
            gc.unfreeze()
        gc.enable()


@frozen
class Fingerprint:
    """What code was reached.

    Attributes:
        items: `module:qualname` → 32 hex digits, sorted by name. A function that another one of this name precedes has
            `#2` behind it.
        texts: the same names → source, of bytecode none. What its names are bound to, and the value of a name, stand
            below it in comments. A value that has no source stands there as canonical JSON.
        untracked: what could not be followed: its place, `module:qualname`, and what it is or does there.
        digest: 32 hex digits over the items.
        packages: top-level package → version, of what is installed and was reached, sorted by name.
    """

    items: Mapping[str, str]
    texts: Mapping[str, str]
    untracked: tuple[str, ...]
    digest: str
    packages: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> dict[str, object]:
        """What is kept of it, so that a later run can say what has changed."""
        texts = {"items": dict(self.items), "texts": dict(self.texts), "untracked": list(self.untracked)}
        return {"format": FORMAT, **texts}

    def called(self, name: str, instead: str) -> Fingerprint:
        """The same with `name`, and what stands in it, under the name that it has `instead` of its own."""

        def renamed(item: str) -> str:
            inside = item == name or item.startswith((f"{name}.", f"{name}#"))
            return instead + item[len(name) :] if inside else item

        items = dict(sorted((renamed(item), value) for item, value in self.items.items()))
        texts = {renamed(item): text for item, text in self.texts.items()}
        shown = {item: texts[item] for item in items}
        return Fingerprint(items, shown, self.untracked, digest_of(items), self.packages)


def fingerprint(
    things: Sequence[object],
    *,
    ends: Callable[[object], bool] = lambda thing: False,
    settings: frozenset[str] = frozenset(),
    near: Sequence[type] = (),
) -> Fingerprint:
    """The fingerprint of classes, functions and modules; of a module what it defines itself.

    Where the source of a function is not found as it was loaded, its bytecode counts, which is not the same on every
    Python; a warning says so once.

    Args:
        ends: whether a class is not to be followed, though something reaches it.
        settings: names of class attributes that do not count as code.
        near: classes that are not followed and whose instances the code gets: attributes of theirs that it reads count.

    Costs 10 µs per item when nothing has changed since it was asked for before.
    """
    walk = Walk(ends, settings)
    for cls in near:
        walk.end(cls)
    with _one.lock, _uncollected():
        walk.run(things)
    items = dict(sorted(walk.items.items()))
    return Fingerprint(
        items=items,
        texts={name: walk.texts[name] for name in items},
        untracked=tuple(sorted(walk.untracked)),
        digest=digest_of(items),
        packages=versions_of(walk.packages),
    )


def digest_of(items: Mapping[str, str]) -> str:
    """32 hex digits over items of code, sorted by name."""
    return digest(json.dumps(items, separators=(",", ":")))
