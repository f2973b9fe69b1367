"""`check`: damaged, dead, foreign and left-over files of a cache."""
from __future__ import annotations

import os
from argparse import Namespace

from taskproc.cli.cache_output import opened
from taskproc.cli.meter import Meter
from taskproc.cli.usage import DONE, FAILED, say, tell
from taskproc.store.check import check
from taskproc.text import counted, printable


def check_command(given: Namespace) -> int:
    """`check -o DIR`: a line for each finding, and the number of each kind."""
    store = opened(given.output)
    counts: dict[str, int] = {}
    meter = Meter()
    total = sum(1 for _ in store.places()) if meter.moves else 0
    looked, results = 0, 0

    def note(has_result: bool) -> None:
        nonlocal looked, results
        looked, results = looked + 1, results + has_result
        if meter.moves:
            meter.show(lambda: f"checking: {looked:,} of {counted(total, 'task')}, {looked / max(total, looked):.0%}")

    for finding in check(store, note):
        meter.wipe()
        counts[finding.kind] = counts.get(finding.kind, 0) + 1
        path = os.path.relpath(finding.path, store.root)
        tell(f"{finding.kind:<8}  {printable(path)}  {printable(finding.text)}")
    meter.wipe()
    findings = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items())) or "nothing wrong"
    say(f"{counted(results, 'task')} with a result; {findings}")
    return FAILED if "damaged" in counts else DONE
