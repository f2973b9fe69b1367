"""`du`: how many bytes of a cache are results, data directories, logs and earlier versions, class by class."""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from taskproc.cli.cache_output import NEVER, Column, amount_text, opened, print_json, print_table, suggest
from taskproc.cli.usage import DONE
from taskproc.ledger.sizes import KINDS, ClassUsage, class_usages, rest_size, trash_size
from taskproc.text import printable

_COLUMNS = (
    Column("task"), Column("results", rank=4), Column("data", rank=5), Column("logs", rank=2),
    Column("earlier", rank=3), Column("other", rank=1), Column("total"),
)  # fmt: skip


def du_command(given: Namespace) -> int:
    """A line per class, the largest first, then the trash, the rest of the cache, and the total."""
    store = opened(given.output)
    usages = sorted(class_usages(store), key=lambda usage: (-usage.bytes, usage.task))
    trash, rest = trash_size(store), rest_size(store)
    total = sum(usage.bytes for usage in usages) + trash + rest
    if given.as_json:
        print_json(_fields(usages, trash, rest, total))
        return DONE
    rows = [[printable(usage.task), *_cells(usage), amount_text(usage.bytes)] for usage in usages]
    others = {"(trash)": trash, "(rest)": rest, "total": total}
    rows += [[name, *[""] * len(KINDS), amount_text(size)] for name, size in others.items()]
    print_table(_COLUMNS, rows)
    if trash:
        suggest(given, "clear", "empties the trash")
    elif usages:
        suggest(given, f"list {printable(usages[0].task)} --sort size", "shows the largest tasks of the largest class")
    return DONE


def _cells(usage: ClassUsage) -> list[str]:
    return [amount_text(size) if (size := getattr(usage, kind)) else NEVER for kind in KINDS]


def _fields(usages: Sequence[ClassUsage], trash: int, rest: int, total: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {"kind": "class", "task": usage.task, **{kind: getattr(usage, kind) for kind in KINDS}, "bytes": usage.bytes}
        for usage in usages
    ]
    nothing: dict[str, object] = {str(kind): None for kind in KINDS}
    sums: dict[str, object] = {kind: sum(getattr(usage, kind) for usage in usages) for kind in KINDS}
    rows.append({"kind": "trash", "task": None, **nothing, "bytes": trash})
    rows.append({"kind": "rest", "task": None, **nothing, "bytes": rest})
    rows.append({"kind": "total", "task": None, **sums, "bytes": total})
    return rows
