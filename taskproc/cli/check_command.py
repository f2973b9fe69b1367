"""`check`: damaged, dead, foreign and left-over files of a cache, or of some of its tasks."""
from __future__ import annotations

import os
from argparse import Namespace
from collections import Counter

from taskproc.cli.cache_output import opened, print_json, suggest
from taskproc.cli.meter import Meter
from taskproc.cli.usage import DONE, FAILED, say, tell
from taskproc.ledger.identifiers import Catalogue
from taskproc.store.check import Finding, check
from taskproc.store.disk import DiskStore
from taskproc.text import counted, printable


def check_command(given: Namespace) -> int:
    """A line for each finding, and the number of each kind."""
    store = opened(given.output)
    only = _chosen(store, given.what) if given.what else None
    meter = Meter()
    looked, results, total = 0, 0, 0
    if meter.moves:
        total = sum(1 for _ in store.places()) if only is None else sum(map(len, only.values()))

    def note(has_result: bool) -> None:
        nonlocal looked, results
        looked, results = looked + 1, results + has_result
        if meter.moves:
            meter.show(lambda: f"checking: {looked:,} of {counted(total, 'task')}, {looked / max(total, looked):.0%}")

    counts: Counter[str] = Counter()
    for finding in check(store, note, only):
        meter.wipe()
        counts[finding.kind] += 1
        _print_finding(given, finding, os.path.relpath(finding.path, store.root))
    meter.wipe()
    findings = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items())) or "nothing wrong"
    say(f"{counted(results, 'task')} with a result; {findings}")
    if counts["leftover"]:
        suggest(given, "clear", "empties the trash")
    else:
        suggest(given, "du", "shows what takes space")
    return FAILED if counts["damaged"] else DONE


def _print_finding(given: Namespace, finding: Finding, path: str) -> None:
    if given.as_json:
        print_json([{"kind": finding.kind, "path": path, "text": finding.text}])
    else:
        tell(f"{finding.kind:<8}  {printable(path)}  {printable(finding.text)}")


def _chosen(store: DiskStore, words: list[str]) -> dict[str, set[int]]:
    """Folder of a class → ids of the tasks that words mean."""
    catalogue = Catalogue(store)
    folder, tasks = catalogue.choose(words)
    chosen: dict[str, set[int]] = {}
    for task in tasks or catalogue.located(folder):
        chosen.setdefault(task.class_folder, set()).add(task.id)
    return chosen
