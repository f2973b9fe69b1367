"""Survey the standard library by workers that come for their work: a task manager, its workers, and a master.

    python examples/survey.py json email http

This one command starts all three, here. On several machines each is started by itself:

    python -m taskproc.remote key survey.key
    python -m taskproc.remote serve --key-file survey.key --address 127.0.0.1:7007
    python -m taskproc.remote work  --key-file survey.key --address 127.0.0.1:7007 examples/survey.py --jobs 4
    python examples/survey.py json email http --key-file survey.key --address 127.0.0.1:7007
"""
from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskproc.remote import RemoteTaskManager, Server, TaskManager, TaskRaisedException, connect, make_key_file


def do_measure(source: str) -> tuple[int, int, int]:
    """What a worker does: functions, those without a docstring, and lines of the longest one."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    bare = sum(ast.get_docstring(node) is None for node in nodes)
    longest = max(((node.end_lineno or node.lineno) - node.lineno + 1 for node in nodes), default=0)
    return len(nodes), bare, longest


def survey(manager: RemoteTaskManager, package: str) -> str:
    """What the master does: ask for all files of a package, and put together what comes back, in any order."""
    files = sorted((Path(sysconfig.get_path("stdlib")) / package).rglob("*.py"))
    asked = {manager.add_task_request("measure", file.read_text("utf-8", "replace")): file for file in files}
    functions = bare = longest = failed = 0
    for _ in asked:
        try:
            _, result = manager.get_result_with_tag("measure")
        except TaskRaisedException as error:
            print(f"{asked[error.task_id].name}: {error.exception}", file=sys.stderr)
            failed += 1
            continue
        assert isinstance(result, tuple)
        functions, bare, longest = functions + result[0], bare + result[1], max(longest, result[2])
    return f"{package:12} {len(files) - failed:4} files {functions:6} functions {bare:6} bare   longest {longest:4}"


@contextmanager
def all_here(workers: int) -> Iterator[RemoteTaskManager]:
    """A task manager in this process, and workers beside it."""
    with tempfile.TemporaryDirectory() as folder:
        key = str(Path(folder) / "key")
        make_key_file(key)
        with Server(TaskManager(), key=key) as server:
            host, port = server.address
            command = [sys.executable, "-m", "taskproc.remote", "work", __file__, "--key-file", key]
            command += ["--address", f"{host}:{port}", "--jobs", str(workers)]
            with subprocess.Popen(command, stderr=subprocess.DEVNULL), connect(server.address, key) as manager:
                try:
                    yield manager
                finally:
                    manager.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("packages", nargs="*", default=["json", "email", "http"])
    parser.add_argument("--address")
    parser.add_argument("--key-file")
    given = parser.parse_args()
    with connect(given.address, given.key_file) if given.address else all_here(2) as somewhere:
        for name in given.packages:
            print(survey(somewhere, name))
