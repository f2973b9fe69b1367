"""`python -m taskproc.run.entry FILE`: the far end of a prefix command; runs the one job that stands in FILE.

It leaves FILE.started before it touches the job, with its process id and what a cluster has set for it, and
FILE.outcome, whole or not at all, when that has ended; for a job that may run only so long, FILE.began when its clock
starts, and FILE.timedout. Exit code 0, or 1 if the job failed.
"""
from __future__ import annotations

import faulthandler
import os
import pickle
import sys
from functools import partial
from pathlib import Path

from taskproc.kernel.model import Failed, Problem
from taskproc.pickling import load
from taskproc.run import cluster
from taskproc.run.capture import flush_all, own_descriptors
from taskproc.run.group import own_peak
from taskproc.run.keeper import be_subreaper, end_children
from taskproc.run.lifeline import hold_on_if_given
from taskproc.run.problem import sentence
from taskproc.run.setup import Setup, be_far_end
from taskproc.run.timeout import on_begin, watch_over
from taskproc.run.usage_meter import work_as
from taskproc.run.wire import job_file
from taskproc.run.worker import end_process, run
from taskproc.streams import write_error

USAGE = "usage: python -m taskproc.run.entry FILE"


def main(arguments: list[str]) -> int:
    """The exit code."""
    if len(arguments) != 1:
        write_error(USAGE)
        return 2
    held = hold_on_if_given()
    file = Path(arguments[0]).absolute()  # the setup changes the folder
    try:
        setup, job = pickle.loads(file.read_bytes())
    except FileNotFoundError:
        write_error(f"taskproc: {file} is not to be seen here; is its folder shared with this host?")
        return 1
    be_subreaper()  # where the command has put us below no keeper, but on another machine
    job_of_cluster = [f"{name}={value}" for name, value in cluster.variables(os.environ).items()]
    job_file(file, "started").write_text("\n".join([f"{os.getpid()} {own_peak()}", *job_of_cluster]))
    on_begin(partial(_begin, file, held))
    work_as(lambda: "prefix")
    content = _set_up_and_run(setup, job)
    flush_all()
    end_children()
    temporary = job_file(file, f"outcome.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(job_file(file, "outcome"))
    return 1 if isinstance(load(content), Failed) else 0


def _begin(file: Path, held: bool, seconds: float) -> None:
    if not held:
        try:
            os.setpgid(0, 0)  # or the group that is to be ended may be that of a whole scheduler
        except PermissionError:
            pass  # it leads a session already
    watch_over(file, seconds)


def _set_up_and_run(setup: Setup, job: bytes) -> bytes:
    try:
        setup.apply()
    except OSError as error:
        what = f"the working directory {setup.folder!r} cannot be used where the command ran the task"
        text = f"{what}: {sentence(error)}"
        hint = "hint: run from a folder that is there under the same path, or make it visible there"
        return pickle.dumps(Failed(Problem("prefix", f"{text}\n\n{hint}")), 5)
    own_descriptors()
    faulthandler.enable(2)  # a crash in C code then tells its place in the log of the job
    return run(job)


if __name__ == "__main__":
    be_far_end()
    end_process(main(sys.argv[1:]))
