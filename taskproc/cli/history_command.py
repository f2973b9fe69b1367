"""`history`: the runs that were, newest first, or one of them whole."""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

from taskproc.cli.cache_output import (
    Column,
    opened,
    print_json,
    print_table,
    seconds_text,
    suggest,
    tell_lines,
    time_text,
)
from taskproc.cli.status_command import ending_text, state_fields
from taskproc.cli.usage import DONE, UsageError, say
from taskproc.ledger.argument_texts import Arguments, last_part
from taskproc.ledger.journal import Run
from taskproc.ledger.run_state import RunState, RunStates, past_runs, reasons_of, saved_seconds
from taskproc.store.disk import DiskStore
from taskproc.store.layout import FEWEST_DIGITS
from taskproc.text import counted, did_you_mean, padded, printable

_COLUMNS = (
    Column("run"), Column("when", left=True, rank=3), Column("by", left=True, rank=1), Column("status", left=True),
    Column("ran"), Column("fresh", rank=5), Column("failed", rank=6), Column("took"), Column("saved", rank=2),
    Column("what", left=True, middle=True),
)  # fmt: skip
_SLOWEST = 5
_FAILURES = 10


def history_command(given: Namespace) -> int:
    """A line for each run; with its id, or the first characters of it, what a run did and why."""
    store = opened(given.output)
    states, reader = list(past_runs(store)), RunStates(store)
    if given.run:
        _show_run(given, _chosen(states, given.run), reader)
        return DONE
    if given.as_json:
        print_json({**state_fields(state), "saved": saved_seconds(reader, state.run)} for state in states)
    elif states:
        print_table(_COLUMNS, [_row(state, reader) for state in states])
        suggest(given, f"history {states[0].run.run}", "shows what a run did, and why")
    else:
        say("no run has left a journal")
    return DONE


def _chosen(states: list[RunState], word: str) -> RunState:
    matching = [state for state in states if state.run.run.startswith(word) or state.run.run.endswith(f"-{word}")]
    if len(matching) == 1:
        return matching[0]
    names = [state.run.run for state in states]
    if matching:
        raise UsageError(f"{word!r} may be any of {len(matching)} runs: {', '.join(one.run.run for one in matching)}")
    raise UsageError(f"no run {word!r} has left a journal{did_you_mean(word, names)}", "`history` shows all")


def _row(state: RunState, reader: RunStates) -> tuple[str, ...]:
    run, counts = state.run, state.counts
    began = run.head.get("began")
    return (
        run.run,
        time_text(float(began) if isinstance(began, (int, float)) else None),
        printable(str(run.head.get("user") or "-")),
        run.status,
        f"{counts['done']:,}",
        f"{counts['fresh']:,}",
        f"{counts['failed']:,}",
        seconds_text(state.age),
        seconds_text(saved_seconds(reader, run)),
        printable(what_for(run)),
    )


def what_for(run: Run) -> str:
    """`Main(lr=0.1)`, as far as the journal says what was run."""
    name = str(run.head.get("entry", "")).rpartition(".")[2]
    arguments = run.head.get("arguments")
    if not isinstance(arguments, dict):
        return f"{name}(…)"
    texts = Arguments({"args": arguments}).texts(lambda inner, key, known: f"{last_part(inner)}#{key[:FEWEST_DIGITS]}")
    return f"{name}({', '.join(f'{argument}={text}' for argument, text in texts.items())})"


def _show_run(given: Namespace, state: RunState, reader: RunStates) -> None:
    if given.as_json:
        reasons = [{"kind": kind, "text": text, "tasks": dict(classes)}
                   for (kind, text), classes in reasons_of(state.run).items()]  # fmt: skip
        print_json([{**state_fields(state), "saved": saved_seconds(reader, state.run), "reasons": reasons}])
        return
    tell_lines(_lines(state, reader))
    suggest(given, "list --sort seconds", "shows the slowest tasks of the cache")


def _lines(state: RunState, reader: RunStates) -> Iterator[str]:
    run, head = state.run, state.run.head
    commit = head.get("commit")
    facts = {
        "run": f"{run.run} {ending_text(state)}",
        "what": what_for(run),
        "command": " ".join(map(str, head.get("argv", []))),
        "where": f"{head.get('user')} on {head.get('host')}, process {head.get('pid')}, in {head.get('cwd')}",
        "commit": f"{commit}{' and changes to it' * bool(head.get('dirty'))}" if commit else "-",
        "versions": ", ".join(f"{name} {version}" for name, version in dict(head.get("versions", {})).items()),
        "saved": f"about {seconds_text(saved_seconds(reader, run))}, by results that were fresh",
    }
    yield from (f"{padded(name, 8)}  {printable(text)}" for name, text in facts.items())
    yield from reason_lines_of(run)
    slowest = sorted((one for one in run.tasks.values() if one.seconds), key=lambda one: -(one.seconds or 0.0))
    for trace in slowest[:_SLOWEST]:
        yield printable(f"{seconds_text(trace.seconds)}  {trace.task}#{trace.key[:6]}")
    for trace in [one for one in run.tasks.values() if one.state == "failed"][:_FAILURES]:
        yield printable(f"failed: {trace.task}#{trace.key[:6]}: {trace.message}")


def reason_lines_of(run: Run) -> Iterator[str]:
    """Why a run ran what it ran: a line for each reason, with the classes that it concerned."""
    for (_, text), classes in sorted(reasons_of(run).items(), key=lambda item: -sum(item[1].values())):
        named = ", ".join(f"{counted(count, 'task')} of {name.rpartition('.')[2]}" for name, count in classes.items())
        yield printable(f"{text}: {named}")


def why_run(store: DiskStore, word: str) -> list[str]:
    """The lines of `why --run`: why a run of the past ran what it ran."""
    state = _chosen(list(past_runs(store)), word)
    return [f"{state.run.run} {ending_text(state)}", *reason_lines_of(state.run)]
