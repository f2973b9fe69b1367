"""`python -m taskproc.run.prefix_end FILE`: the far end of a prefix command. It runs the one job in FILE.

It writes FILE.started before it touches the job, with its process id and the variables of a cluster, and FILE.outcome,
whole or not at all, when the job has ended. For a job with a timeout it writes FILE.began when the clock starts, and
FILE.timedout when the time is over. The exit code is 0, or 1 if the job failed.
"""
from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

from taskproc.kernel.model import Failed, Problem
from taskproc.pickling import load
from taskproc.run.capture import flush_all, own_descriptors
from taskproc.run.far_end import Setup, be_far_end, on_begin
from taskproc.run.group import GRACE, own_peak
from taskproc.run.keeper import be_subreaper, end_children
from taskproc.run.lifeline import hold_on_if_given
from taskproc.run.prefix_job import cluster_variables, job_file
from taskproc.run.problem import sentence
from taskproc.run.usage_meter import work_as
from taskproc.run.worker import end_process, run
from taskproc.streams import write_error

USAGE = "usage: python -m taskproc.run.prefix_end FILE"


def main(arguments: list[str]) -> int:
    """Run the job and return the exit code."""
    if len(arguments) != 1:
        write_error(USAGE)
        return 2
    held = hold_on_if_given()
    file = Path(arguments[0]).absolute()  # the setup changes the folder
    try:
        setup, job = pickle.loads(file.read_bytes())
    except FileNotFoundError:
        write_error(f"taskproc: {file} cannot be seen here; is its folder shared with this host?")
        return 1
    be_subreaper()  # on another machine there is no keeper above us
    job_of_cluster = [f"{name}={value}" for name, value in cluster_variables(os.environ).items()]
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
            os.setpgid(0, 0)  # or a timeout could end the group of a whole scheduler
        except PermissionError:
            pass  # this process leads a session already
    _watch_over(file, seconds)


def _set_up_and_run(setup: Setup, job: bytes) -> bytes:
    try:
        setup.apply()
    except OSError as error:
        what = f"the working directory {setup.folder!r} cannot be used where the command ran the task"
        text = f"{what}: {sentence(error)}"
        hint = "hint: run from a folder that exists there under the same path, or make it visible there"
        return pickle.dumps(Failed(Problem("prefix", f"{text}\n\n{hint}")), 5)
    own_descriptors()
    faulthandler.enable(2)  # a crash in C code then names its place in the log of the job
    return run(job)


def _watch_over(file: Path, seconds: float) -> None:
    """End our process group when the time is over, as the near end does: a command may not pass on its signals."""
    job_file(file, "began").touch()
    threading.Thread(target=_end_later, args=(file, seconds), name="taskproc-timeout", daemon=True).start()
    # That thread cannot run while C code holds the interpreter; the one that faulthandler starts can
    faulthandler.dump_traceback_later(seconds + 2 * GRACE, exit=True, file=2)


def _end_later(file: Path, seconds: float) -> None:
    time.sleep(seconds)
    job_file(file, "timedout").touch()
    os.killpg(os.getpgrp(), signal.SIGTERM)
    time.sleep(GRACE)
    os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)  # the first process of a container cannot be killed from within


if __name__ == "__main__":
    be_far_end()
    end_process(main(sys.argv[1:]))
