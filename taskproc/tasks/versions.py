"""Which fresh results were made with other versions of packages than are installed now. It makes none of them stale."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from taskproc.store.version import package_versions
from taskproc.text import counted

if TYPE_CHECKING:
    from taskproc.tasks.known_versions import KnownVersions

_SHOWN = 3  # versions of a package that are named


def other_versions(known: KnownVersions) -> Iterator[str]:
    """A line for each package that has another version than when results of the graph were made which were found.

    It asks for what is known by now, of judged tasks; no file is opened for it.
    """
    if not known.conditions.reaches_packages():
        return
    found: dict[tuple[str, str], Counter[str]] = {}
    for key, version in known.in_use.items():
        task = known.graph.tasks[key]
        now = {} if key in known.made or task._taskproc.version is not None else known.conditions.code(task).packages
        then = package_versions(version.about) if now else {}
        for name, installed in now.items():
            if then.get(name, installed) != installed:
                found.setdefault((name, installed), Counter())[then[name]] += 1
    for (name, installed), counts in sorted(found.items()):
        many = counts.total() > 1
        versions = [version for version, _ in counts.most_common()]
        more = [f"{len(versions) - _SHOWN} more versions"] if len(versions) > _SHOWN else []
        yield (
            f"{counted(counts.total(), 'fresh result')} {'were' if many else 'was'} made with {name} "
            f"{', '.join([*versions[:_SHOWN], *more])}; {name} {installed} is installed now: name it in task_packages "
            f"to rerun {'them' if many else 'it'}"
        )
