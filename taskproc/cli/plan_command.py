"""The command `plan`: what a run would do and cost, before it starts."""
from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from taskproc.cli.cache_output import print_json
from taskproc.cli.entry_commands import build_entry, set_loglevel
from taskproc.cli.forecast_text import forecast_lines, forecast_rows
from taskproc.cli.options import Options
from taskproc.cli.plan_rows import next_command
from taskproc.cli.usage import DONE, UsageError, guarded, say, tell
from taskproc.store.cache import ActiveCache, Cache, is_cache
from taskproc.tasks.forecast import Forecast, forecast
from taskproc.tasks.task import Task
from taskproc.text import terminal_width

STALE = 3  # exit code of `plan --exit-code` if something would run


def plan_entry(cls: type[Task], options: Options) -> int:
    """Show what a run of the entry task would do. Returns the exit code."""
    set_loglevel(options.loglevel)
    if options.more.get("against"):
        return _plan_against(cls, options, options.more["against"])
    found = entry_forecast(cls, options)
    if options.more.get("json"):
        print_json(forecast_rows(found))
    else:
        tell("\n".join(forecast_lines(found, terminal_width(sys.stdout))))
        # An edit is what a person looks at first; without one there is nothing left but to run
        command = "why" if any(edit.cause.kind == "code" for edit in found.edits) else "run"
        say(f"\nhint: {next_command(command, options)}")
    return _code(found, options)


def _code(found: Forecast, options: Options) -> int:
    return STALE if options.more.get("exit_code") and found.runs_something() else DONE


def _plan_against(cls: type[Task], options: Options, name: str) -> int:
    """Show the plans of the working tree and of a revision side by side."""
    from taskproc.cli.against import find_revision, revision_rows  # here: 20 ms, and only for this option
    from taskproc.cli.against_text import against_lines

    if not options.script:
        raise UsageError("--against needs a script or a module: `taskproc plan SCRIPT --against REV`", hint="")
    revision = find_revision(cls, name)
    found = entry_forecast(cls, options)
    now, then = list(forecast_rows(found)), revision_rows(revision, options)
    if options.more.get("json"):
        print_json({"row": row["row"], "side": "now", "revision": None, **row} for row in now)
        print_json({"row": row["row"], "side": "then", "revision": revision.commit, **row} for row in then)
    else:
        tell("\n".join(against_lines(now, then, name, terminal_width(sys.stdout))))
        say(f"\nhint: {next_command('plan', options)}")
    return _code(found, options)


def plan_into(path: str, words: Sequence[str]) -> int:
    """Write the rows of a plan to a file. For `--against`, in the process of the revision. Returns the exit code."""
    from taskproc.cli.defaults import populated
    from taskproc.cli.entry_class import load_entry
    from taskproc.cli.options import parse_options
    from taskproc.cli.table import COMMANDS
    from taskproc.store.contents import Contents

    Contents.remembers = False  # of files in a folder that is removed in a moment

    def write() -> int:
        cls = load_entry(words[0])
        options = parse_options("taskproc plan", cls, words[1:], populated(), COMMANDS["plan"])
        set_loglevel(options.loglevel)
        rows = [json.dumps(row) for row in forecast_rows(entry_forecast(cls, options))]
        Path(path).write_text("".join(f"{row}\n" for row in rows), "utf-8")
        return DONE

    return guarded(write)


def entry_forecast(cls: type[Task], options: Options) -> Forecast:
    """What a run with these options would do. A missing folder is not created; it is treated as an empty cache."""
    cache = Cache(options.output)
    with cache if is_cache(options.output) else ActiveCache(cache):
        return forecast(
            build_entry(cls, options),
            1 if options.exec_type == "local" else options.num_workers,
            rate_limits=options.rate_limits,
            detect_source_change=options.detect_source_change,
            force=options.force_entrypoint,
        )
