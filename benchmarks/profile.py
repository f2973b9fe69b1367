"""Where our time goes: `python -m benchmarks.profile W1i W2` prints the functions that take most, by their own time.

W1 is that of the main process, W1i all in one process, W2 a warm run, W8 a large array. `--spy` samples all processes
with py-spy instead, also the workers, and slows them less.
"""
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.environment import Environment, prepare, present
from benchmarks.session import WORKLOADS

# Program, what it is told before that, what it is told, and how large
RUNS = {
    "W1": ("fan_in", "", "default", 10_000),
    "W1i": ("fan_in", "", "inline", 10_000),
    "W2": ("fan_in", "default", "default", 10_000),
    "W8": ("large", "", "random", 500),
    "W8c": ("large", "", "compressible", 50),
}

# The program is imported rather than run, so that its classes are found under the name of a module
PROFILED = """
import cProfile, pstats, sys
name, how, count, folder, shown = sys.argv[1:]
sys.path.insert(0, ".")
profile = cProfile.Profile()
profile.enable()
program = __import__(name)
print(program.main(how, int(count), folder))
profile.disable()
pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(int(shown))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a profile of each workload."""
    options = _parser().parse_args(arguments)
    environment = present() if options.no_peers else prepare(options.environment, lambda text: None)
    for workload in options.workloads or RUNS:
        name, before, how, count = RUNS[workload]
        with _folder(options.folder, name, environment) as folder:
            size = str(options.count or count)
            if before:
                _run(environment, folder, [f"{name}.py", before, size, "results"])
            print(f"=== {workload}: {name}.py {how} {size}", flush=True)
            if options.spy:
                _spy(environment, folder, [f"{name}.py", how, size, "results"], options.top)
            else:
                _run(environment, folder, ["-c", PROFILED, name, how, size, "results", str(options.top)])
    return 0


@contextmanager
def _folder(above: Path, name: str, environment: Environment) -> Iterator[Path]:
    """A new folder with a program in it; its pages have been read, its imports compiled."""
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-", dir=above))
    try:
        shutil.copy(WORKLOADS / f"{name}.py", folder)
        _run(environment, folder, ["-c", f"import {name}"])
        yield folder
    finally:
        shutil.rmtree(folder)


def _run(environment: Environment, folder: Path, arguments: Sequence[str]) -> None:
    os.sync()
    subprocess.run([environment.python, *arguments], cwd=folder, env=environment.variables(), check=True)


def _spy(environment: Environment, folder: Path, program: Sequence[str], top: int) -> None:
    """Samples of all processes, by the innermost function."""
    spy = Path(environment.python).with_name("py-spy")
    if not spy.exists():
        print(f"no {spy}", file=sys.stderr)
        return
    command = [str(spy), "record", "--subprocesses", "--rate", "500", "--format", "raw", "-o", "samples", "--"]
    subprocess.run([*command, environment.python, *program], cwd=folder, env=environment.variables(), check=True,
                   stderr=subprocess.DEVNULL)
    samples: Counter[str] = Counter()
    for line in (folder / "samples").read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        samples[stack.rpartition(";")[2]] += int(count)
    for function, times in samples.most_common(top):
        print(f"{100 * times / samples.total():5.1f} %  {function}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description="Show where our time goes.")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    add = parser.add_argument
    add("workloads", nargs="*", metavar="W1i", help=f"of {', '.join(RUNS)} (default: all)")
    add("--count", type=int, metavar="N", help="how large (default: as in the table)")
    add("--top", type=int, default=25, metavar="N", help="how many functions (default: 25)")
    add("--spy", action="store_true", help="sample with py-spy, workers too")
    add("--no-peers", action="store_true", help="with the Python that runs this")
    add("--folder", type=Path, default=Path(), metavar="DIR", help="where the new folders are made (default: here)")
    add("--environment", type=Path, default=cache / "taskproc-benchmarks", metavar="DIR",
        help="where py-spy is installed (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
