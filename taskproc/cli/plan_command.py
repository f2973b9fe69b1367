"""The command `plan`: what a run would do and cost, before it starts."""
from __future__ import annotations

from taskproc.cli.entry_commands import build_entry, set_loglevel
from taskproc.cli.forecast_text import forecast_lines, forecast_rows
from taskproc.cli.options import Options
from taskproc.cli.plan_rows import next_command, print_rows, shown_width
from taskproc.cli.usage import DONE, say, tell
from taskproc.store.cache import ActiveCache, Cache, is_cache
from taskproc.tasks.forecast import Forecast, forecast
from taskproc.tasks.task import Task

STALE = 3  # exit code of `plan --exit-code` if something would run


def plan_entry(cls: type[Task], options: Options) -> int:
    """Show what a run of the entry task would do. Returns the exit code."""
    set_loglevel(options.loglevel)
    found = entry_forecast(cls, options)
    if options.more.get("json"):
        print_rows(forecast_rows(found))
    else:
        tell("\n".join(forecast_lines(found, shown_width())))
        # An edit is what a person looks at first; without one there is nothing left but to run
        command = "why" if any(edit.cause.kind == "code" for edit in found.edits) else "run"
        say(f"\nhint: {next_command(command, options)}")
    return STALE if options.more.get("exit_code") and found.runs_something() else DONE


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
