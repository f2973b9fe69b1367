"""Everything that the roots need, directly and indirectly, needs first; a cycle is reported with its path.

Depth-first, with an explicit stack, so that a chain of a million nodes is walked under the default recursion limit.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from taskproc.errors import CycleError
from taskproc.kernel.model import K


def closure(
    roots: Iterable[K], needs_of: Callable[[K], Iterable[K]], name_of: Callable[[K], str] = repr
) -> dict[K, tuple[K, ...]]:
    """Everything that `roots` need, themselves included: key → its needs, each once, in the order of `needs_of`.

    A key comes after all its needs, and otherwise in the order of its first use. O(keys + edges).

    Args:
        needs_of: the needs of a key; called once for each key.
        name_of: the name of a key in messages.

    Raises:
        CycleError: a key needs itself; the message shows the path.
    """
    ended: dict[K, tuple[K, ...]] = {}
    path: dict[K, tuple[tuple[K, ...], Iterator[K]]] = {}
    for root in roots:
        if root in ended:
            continue
        needs = tuple(dict.fromkeys(needs_of(root)))
        path[root] = needs, iter(needs)
        while path:
            key = next(reversed(path))
            needs, remaining = path[key]
            for need in remaining:
                if need in ended:
                    continue
                if need in path:
                    raise CycleError(_round_trip(list(path), need, name_of))
                above = tuple(dict.fromkeys(needs_of(need)))
                if above:
                    path[need] = above, iter(above)
                    break
                ended[need] = ()
            else:
                ended[key] = needs
                path.popitem()  # not `del`, after which the dict searches for its last key through all deleted entries
    return ended


def _round_trip(path: list[K], again: K, name_of: Callable[[K], str]) -> str:
    names = [name_of(key) for key in path[path.index(again) :]]
    return f"{names[0]} needs itself: {' -> '.join([*names, names[0]])}"
