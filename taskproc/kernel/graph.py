"""What the roots need, all the way up, in an order in which needs come first; a cycle is found with its path.

Depth-first, with a stack of our own: a chain of a million links is walked under the default recursion limit.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

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
        if root not in ended:
            _enter(root, needs_of, path)
        while path:
            key, (needs, untold) = path.popitem()
            below = next((need for need in untold if need not in ended), None)
            if below is None:
                ended[key] = needs
                continue
            path[key] = needs, untold
            if below in path:
                raise CycleError(_round_trip(list(path), below, name_of))
            _enter(below, needs_of, path)
    return ended


def dependents(needs: Mapping[K, Iterable[K]]) -> dict[K, list[K]]:
    """The edges turned round: each key → those that need it, in the order of `needs`; all keys are there."""
    found: dict[K, list[K]] = {key: [] for key in needs}
    for key, its_needs in needs.items():
        for need in dict.fromkeys(its_needs):
            found.setdefault(need, []).append(key)
    return found


def _enter(
    key: K, needs_of: Callable[[K], Iterable[K]], path: dict[K, tuple[tuple[K, ...], Iterator[K]]]
) -> None:
    needs = tuple(dict.fromkeys(needs_of(key)))
    path[key] = needs, iter(needs)


def _round_trip(path: list[K], again: K, name_of: Callable[[K], str]) -> str:
    names = [name_of(key) for key in path[path.index(again) :]]
    return f"{names[0]} needs itself: {' -> '.join([*names, names[0]])}"
