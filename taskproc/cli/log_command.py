"""`log`: what a task printed, and what it prints while it runs, also on another host that shares the folder."""
from __future__ import annotations

import codecs
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator

from taskproc.cli.cache_output import opened, print_json, suggest
from taskproc.cli.show_command import one_task
from taskproc.cli.usage import DONE, FAILED, output, say
from taskproc.ledger.attempts import StoredAttempt, newest_attempt
from taskproc.ledger.entries import opened_task
from taskproc.ledger.identifiers import Catalogue, Located
from taskproc.ledger.logs import Log
from taskproc.store import layout
from taskproc.store.claims import is_held
from taskproc.store.disk import DiskStore
from taskproc.streams import is_terminal
from taskproc.text import printable, printable_lines

LOOK_EVERY = 0.1  # seconds, while a task is followed
_CHUNK = 1 << 16


def log_command(given: Namespace) -> int:
    """The output of the newest attempt of a task; with `-f` until the attempt ends, and then FAILED if it failed."""
    catalogue = Catalogue(opened(given.output))
    store, task = catalogue.store, one_task(catalogue, given.what)
    name = f"{printable(task.name)}#{catalogue.short(task.id)}"
    attempt = _newest(store, task)
    if attempt is None:
        say(f"{name} never ran")
        return FAILED
    log = Log(store, task, "stderr" if given.stderr else "stdout", attempt.number)
    follows = given.follow and attempt.state == "claimed"
    parts = _followed(log, lambda: _runs(store, task, attempt.number)) if follows else _stored(log)
    has_printed = _print_parts(given, log, name, parts)
    if follows:
        return _report_end(store, task, attempt.number, name)
    if not has_printed:
        say(f"{name} printed nothing on {_NAMES[log.stream]}")
    _suggest_next(given, log, attempt, catalogue.short(task.id), Log(store, task, _OTHER[log.stream], attempt.number))
    return DONE


_NAMES = {"stdout": "standard output", "stderr": "standard error"}
_OTHER = {"stdout": "stderr", "stderr": "stdout"}


def _newest(store: DiskStore, task: Located) -> StoredAttempt | None:
    with opened_task(store, task) as folder:
        return None if folder is None else newest_attempt(store, folder, store.files.listdir(folder))


def _runs(store: DiskStore, task: Located, number: int) -> bool:
    """Whether an attempt is still running. Costs a read of its claim."""
    with opened_task(store, task) as folder:
        if folder is None or not store.files.has(folder, layout.claim_file(number)):
            return False
        return is_held(store, folder, number)


def _stored(log: Log) -> Iterator[bytes]:
    place = 0
    while part := log.read(place, _CHUNK):
        place += len(part)
        yield part


def _followed(log: Log, runs: Callable[[], bool]) -> Iterator[bytes]:
    """What is printed until the attempt ends. All that it printed is in its log when its claim is gone."""
    place, goes_on = 0, True
    while goes_on:
        goes_on = runs()
        while part := log.read(place, _CHUNK):
            place += len(part)
            yield part
        if goes_on:
            time.sleep(LOOK_EVERY)


def _print_parts(given: Namespace, log: Log, name: str, parts: Iterator[bytes]) -> bool:
    """Write the parts as they come: as they are into a pipe, and harmless for a terminal. Returns whether there are."""
    if given.as_json:
        lines = _lines(parts)
        print_json({"task": name, "stream": log.stream, "attempt": log.number, "text": line} for line in lines)
        return True
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    shown = is_terminal(sys.stdout)
    has_printed = False
    for part in parts:
        has_printed = True
        with output():
            if shown or not hasattr(sys.stdout, "buffer"):
                sys.stdout.write(printable_lines(decoder.decode(part).replace("\r\n", "\n").replace("\r", "\n")))
            else:
                sys.stdout.flush()
                sys.stdout.buffer.write(part)
            sys.stdout.flush()
    return has_printed


def _lines(parts: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)
    if rest:
        yield rest.decode("utf-8", "replace")


def _report_end(store: DiskStore, task: Located, number: int, name: str) -> int:
    attempt = _newest(store, task)
    if attempt is None or attempt.number != number:
        say(f"{name}: attempt {number} was cleared, or another one has begun")
        return DONE
    if attempt.state in ("good", "claimed"):
        say(f"{name} is done")
        return DONE
    say(f"{name} failed: {printable(attempt.error)}".removesuffix(": "))
    return FAILED


def _suggest_next(given: Namespace, log: Log, attempt: StoredAttempt, short: str, other: Log) -> None:
    if attempt.state == "claimed":
        suggest(given, f"log -f{' --stderr' * given.stderr} {short}", "follows it while it runs")
    elif other.size():
        suggest(given, f"log{' --stderr' * (not given.stderr)} {short}", f"shows its {_NAMES[other.stream]}")
    else:
        suggest(given, f"show {short}", "shows all that is known of it")
