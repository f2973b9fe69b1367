"""What the roots need, all the way up, in an order in which needs come first; a cycle is found with its path.

Depth-first, with a stack of our own: a chain of a million links is walked under the default recursion limit.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from taskproc.errors import CycleError
from taskproc.kernel.model import K


def closure(
    roots: Iterable[K], needs_of: Callable[[K], Iterable[K]], name_of: Callable[[K], str] = repr
) -> dict[K, tuple[K, ...]]:
    """Everything that `roots` need, themselves included: key → its needs, each once, in the order of `needs_of`.

    A key comes after all its needs, and otherwise in the order in which it was met. `needs_of` is asked once for each
    key. O(keys + edges).

    Raises:
        CycleError: a key needs itself; the message has the path, in the words of `name_of`.
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
            needs, untold = path[key]
            for need in untold:
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
                path.popitem()  # not `del`: a dict looks for its last key among all that were there
    return ended


def _round_trip(path: list[K], again: K, name_of: Callable[[K], str]) -> str:
    names = [name_of(key) for key in path[path.index(again) :]]
    return f"{names[0]} needs itself: {' -> '.join([*names, names[0]])}"
