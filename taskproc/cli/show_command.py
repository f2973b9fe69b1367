"""`show`: all that is known of one task. Its value is loaded only if that is asked for."""
from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from taskproc.cli.cache_output import amount_text, opened, print_json, seconds_text, suggest, time_text
from taskproc.cli.list_command import entry_fields
from taskproc.cli.meter import Meter
from taskproc.cli.usage import DONE, UsageError, tell
from taskproc.ledger.detail import Detail, Neighbour, detail
from taskproc.ledger.entries import Entry
from taskproc.ledger.identifiers import Catalogue, Located
from taskproc.ledger.logs import Log
from taskproc.text import cut_in_middle, exception_text, padded, printable, terminal_width, width_of

_MOST = 10          # neighbours, code items and files that are shown
_TAIL = 4096        # bytes of a log that are read for its last lines
_TAIL_LINES = 10
_LONGEST_REPR = 200

Line = tuple[str, str]


def show_command(given: Namespace) -> int:
    """A block of lines about one task; with `--value`, its result is loaded and described, too."""
    catalogue = Catalogue(opened(given.output))
    task = one_task(catalogue, given.what)
    meter = Meter()
    all_of_it = detail(
        catalogue, task, lambda done, total: meter.show(lambda: f"looking for its readers: {done:,} of {total:,} tasks")
    )
    meter.wipe()
    value = _described_value(all_of_it.entry) if given.value else None
    if given.as_json:
        print_json([{**_fields(all_of_it, task), "value": value}])
    else:
        _print_block(all_of_it, task, value)
        _suggest_next(given, all_of_it)
    return DONE


def one_task(catalogue: Catalogue, words: Sequence[str]) -> Located:
    """The one task that words mean: an id, or a class and an id. Raises UsageError if that is not one task."""
    folder, tasks = catalogue.choose(words)
    candidates = tasks or [*catalogue.located(folder)]
    if len(candidates) == 1:
        return candidates[0]
    several = f"{len(tasks)} tasks are given" if tasks else f"{printable(words[0])} has {len(candidates):,} tasks"
    raise UsageError(f"{several}: give the id of one task", hint="`list CLASS` shows the ids of its tasks")


def _described_value(entry: Entry) -> dict[str, object]:
    """Type, shape, length and the start of the repr of its value, which is loaded."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # where its classes are, as for a script that is run here
    value: Any = entry.load()
    kind = type(value)
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  # whatever a class of the user raises
        text = f"<its __repr__ raised {type(error).__name__}: {exception_text(error)}>"
    return {
        "type": kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}",
        "shape": _shape(value),
        "length": _length(value),
        "repr": cut_in_middle(printable(text), _LONGEST_REPR),
    }


def _shape(value: Any) -> list[int] | None:
    shape = getattr(value, "shape", None)
    is_plain = isinstance(shape, tuple) and all(isinstance(size, int) for size in shape)
    return [*shape] if is_plain else None  # type: ignore[misc]  # it is a tuple then


def _length(value: Any) -> int | None:
    try:
        return len(value)
    except Exception:  # noqa: BLE001  # it has none, or whatever a class of the user raises
        return None


def _fields(known: Detail, task: Located) -> dict[str, object]:
    about = known.attempt.about
    return {
        **entry_fields(known.entry),
        "task_id": task.id,
        "path": known.path,
        "pid": about.get("pid"),
        "traceback": about.get("traceback"),
        "packages": dict(known.packages),
        "settings": dict(known.settings),
        "code": known.code or None,
        "items": list(known.items),
        "untracked": [str(each) for each in about.get("untracked", ())],
        "inputs": [_neighbour_fields(each) for each in known.inputs],
        "readers": [_neighbour_fields(each) for each in known.readers],
        "files": [{"path": path, "bytes": size} for path, size in known.files],
        "logs": [_log_fields(log) for log in known.logs],
    }


def _neighbour_fields(neighbour: Neighbour) -> dict[str, object]:
    return {"id": neighbour.id, "key": neighbour.key, "task": neighbour.task, "call": neighbour.call}


def _log_fields(log: Log) -> dict[str, object]:
    return {"stream": log.stream, "bytes": log.size(), "tail": log.end(_TAIL).decode("utf-8", "replace")}


def _print_block(known: Detail, task: Located, value: Mapping[str, object] | None) -> None:
    """A heading, then a name and a text in each line, which is cut to the width of a terminal."""
    entry, columns = known.entry, terminal_width(sys.stdout)
    tell(f"{printable(entry.task)}#{entry.id}  {entry.state}")
    lines = [*_lines(known, task), *_value_lines(value)]
    width = max(width_of(name) for name, _ in lines)
    last = ""
    for name, text in lines:
        start = f"  {padded(name if name != last else '', width)}  "
        tell((start + (text if columns is None else cut_in_middle(text, max(columns - width_of(start), 8)))).rstrip())
        last = name


def _lines(known: Detail, task: Located) -> Iterator[Line]:
    entry, about = known.entry, known.attempt.about
    for name, text in entry.arguments.items():
        yield "arguments", f"{name}={text}"
    if entry.error:
        yield "error", printable(entry.error)
    yield from (("error", f"  {printable(line)}") for line in str(about.get("traceback") or "").splitlines())
    yield from _made_lines(entry)
    if known.packages:
        yield "with", ", ".join(f"{printable(name)} {printable(number)}" for name, number in known.packages.items())
    yield "size", amount_text(entry.bytes)
    versions = f", versions {', '.join(map(str, entry.versions))}" if entry.versions else ""
    yield "attempt", f"{entry.attempt}{versions}"
    yield "folder", printable(os.path.relpath(known.path))
    yield "key", entry.key
    yield "task_id", str(task.id)
    yield from _few("reads", [_neighbour_text(each) for each in known.inputs])
    yield from _few("read by", [_neighbour_text(each) for each in known.readers])
    yield from _few("code", [printable(item) for item in known.items])
    yield from _few("not watched", [printable(str(each)) for each in about.get("untracked", ())])
    yield from _few("settings", [f"{printable(name)}: {printable(each)}" for name, each in known.settings.items()])
    yield from _few("files", [f"{printable(path)}  {amount_text(size)}" for path, size in known.files])
    for log in known.logs:
        tail = log.end(_TAIL).decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
        yield from ((log.stream, printable(line)) for line in tail)


def _made_lines(entry: Entry) -> Iterator[Line]:
    """When, where, by whom, and what it took."""
    words = [time_text(entry.when)]
    for word, value in (("on", entry.host), ("by", entry.user), ("in run", entry.run)):
        words += [f"{word} {printable(value)}"] if value else []
    words += [f"({printable(entry.worker)})"] if entry.worker else []
    yield "began" if entry.state == "claimed" else "ended", " ".join(words)
    took = [f"{seconds_text(entry.seconds)}"] if entry.seconds is not None else []
    took += [f"{seconds_text(entry.cpu)} of CPU"] if entry.cpu is not None else []
    took += [f"peak memory {amount_text(entry.peak_memory)}"] if entry.peak_memory is not None else []
    if took:
        yield "took", ", ".join(took)


def _neighbour_text(neighbour: Neighbour) -> str:
    return f"{neighbour.id}  {neighbour.call or '(its results were cleared)'}"


def _few(name: str, texts: Sequence[str]) -> Iterator[Line]:
    yield from ((name, text) for text in texts[:_MOST])
    if len(texts) > _MOST:
        yield name, f"… and {len(texts) - _MOST:,} more"


def _value_lines(value: Mapping[str, object] | None) -> Iterator[Line]:
    if value is None:
        return
    sizes = [f"{name} {value[name]}" for name in ("shape", "length") if value[name] is not None]
    yield "value", ", ".join([str(value["type"]), *sizes])
    yield "value", str(value["repr"])


def _suggest_next(given: Namespace, known: Detail) -> None:
    entry = known.entry
    if known.logs or entry.state == "claimed":
        follows = " -f" if entry.state == "claimed" else ""
        suggest(given, f"log{follows} {entry.id}", "shows what it printed")
    elif entry.versions and not given.value:
        suggest(given, f"show {entry.id} --value", "loads its value")
    else:
        suggest(given, f"list {printable(entry.task)}", "shows the other tasks of its class")
