"""Play the corpus and print what became of it: `python -m tests.source.corpus --only constants --list`."""
from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.source.corpus.play import VERDICTS, Play, play
from tests.source.corpus.scenario import Scenario, scenarios, themes


def main(words: Sequence[str] | None = None) -> int:
    """Play what is asked for. 0: nothing silent, and nothing broken."""
    options = _options(words)
    chosen = scenarios(frozenset(filter(None, options.only.split(","))))
    chosen = [each for each in chosen if options.name in each.name][options.first :: options.every]
    plays: list[Play] = []
    skipped: list[Scenario] = []
    started = time.process_time(), time.monotonic()
    for scenario in chosen:
        if scenario.lacks():
            skipped.append(scenario)
            continue
        plays.append(play(scenario))
        if options.json:
            print(_line(plays[-1]), flush=True)
        elif options.list and plays[-1].verdict != "right":
            _show(plays[-1])
    if not options.json:
        print(table(plays, skipped))
        print(f"{len(plays)} plays in {time.monotonic() - started[1]:.0f} s")
    return 1 if any(each.verdict in ("silent", "broken") for each in plays) else 0


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.source.corpus", description=__doc__)
    parser.add_argument("--only", default="", help=f"themes, with commas; of {', '.join(themes())}")
    parser.add_argument("--name", default="", help="only scenarios with this in their names")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="only each K-th of what was chosen")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="and of these from number N on")
    parser.add_argument("--list", action="store_true", help="tell each that did not go right")
    parser.add_argument("--json", action="store_true", help="an object a line for each play, and no table")
    return parser.parse_args(words)


def _line(played: Play) -> str:
    scenario = played.scenario
    return json.dumps({"theme": scenario.theme, "name": scenario.name, "where": scenario.where,
                       "expect": scenario.expect, "verdict": played.verdict, "detail": played.detail})


def _show(played: Play) -> None:
    scenario = played.scenario
    print(f"{played.verdict:9} {scenario.where}: {scenario.name} (expect: {scenario.expect})", flush=True)
    for line in played.detail.strip().splitlines()[-4:]:
        print(f"          {line[:300]}")


def table(plays: Sequence[Play], skipped: Sequence[Scenario]) -> str:
    """Verdicts by theme, as Markdown."""
    rows = {name: Counter(each.verdict for each in plays if each.scenario.theme == name) for name in themes()}
    lost = Counter(each.theme for each in skipped)
    rows = {name: row for name, row in rows.items() if row or lost[name]}
    rows["all"] = Counter(each.verdict for each in plays)
    lost["all"] = len(skipped)
    lines = ["| theme | " + " | ".join([*VERDICTS, "left out"]) + " |", "|---" * (len(VERDICTS) + 2) + "|"]
    for name, row in rows.items():
        lines.append("| " + " | ".join([name, *(str(row[verdict]) for verdict in VERDICTS), str(lost[name])]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
