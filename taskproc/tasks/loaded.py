"""The code that a far end has loaded, where it is not what the run has looked at.

A worker imports modules when it first needs them. A file may have been edited since the main process imported it, and
what a program has set there, as `settings.rate = 0.1`, no worker knows. Its result was made by its own code.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from taskproc.kernel.rebuild import some_names
from taskproc.modules import main_name
from taskproc.source.fingerprint import digest_of
from taskproc.store.disk import DiskStore
from taskproc.tasks.given import given_to
from taskproc.tasks.source import fingerprint


class Loaded(NamedTuple):
    """Digest of the code that runs here, and in words which items are others than in the main process.

    And the versions of the packages that it reaches here, which may be another machine; None: not known.
    """

    code: str
    differing: str
    packages: Mapping[str, str] | None = None


_known: dict[tuple[object, ...], Loaded] = {}


def loaded_code(task: Any, code: str, store: DiskStore) -> Loaded:
    """What code `task` runs here, where the run has `code`. Asked once per class, before anything of it runs.

    Only what was loaded at both ends is compared: what `__main__` defines was sent, and not all that stands around it.
    """
    key = (type(task), *given_to(task), code)
    if key not in _known:
        _known[key] = _loaded_code(task, code, store)
    return _known[key]


def _loaded_code(task: Any, code: str, store: DiskStore) -> Loaded:
    name = task._taskproc.place.name
    then = store.code(name, code) or {}
    items, texts = then.get("items"), then.get("texts")
    if not isinstance(items, Mapping) or not isinstance(texts, Mapping):
        return Loaded(code, "")  # cleared by somebody: nothing to compare with
    here = fingerprint(type(task), given_to(task))
    others = [item for item in here.items if _is_other(item, items, here.items)]
    if not others:
        return Loaded(code, "", here.packages)
    mixed = {**items, **{item: here.items[item] for item in others}}
    content = {"items": mixed, "texts": {**texts, **{item: here.texts[item] for item in others}}}
    found = digest_of(mixed)
    store.keep_code(name, found, {**then, **content, "untracked": list(here.untracked)})
    return Loaded(found, some_names(others), here.packages)


def _is_other(item: str, then: Mapping[str, str], here: Mapping[str, str]) -> bool:
    """Whether an item that is there at both ends is not the same."""
    if then.get(item, here[item]) == here[item] or item.startswith(f"{main_name()}:"):
        return False
    # Which of several lambdas is `#2` depends on all that is reached
    return "#" not in item and f"{item}#2" not in then and f"{item}#2" not in here
