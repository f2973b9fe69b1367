"""Command: words that are futures, files that are futures of others, and when it runs again."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import BuildError, CommandFailed, FailedTaskError, TaskTimeout
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.command import Command, CommandResult, DataDirectory, Output
from taskproc.tasks.future import Const, Future, FutureList
from taskproc.tasks.inputs import InputFile
from taskproc.tasks.task import Task
from tests.gone import is_gone
from tests.pace import limit
from tests.plain import plain

pytestmark = pytest.mark.skipif(os.name != "posix", reason="runs the tools of POSIX")


class Give(Task):
    """Returns its argument."""

    def __init__(self, value: object):
        self.value = value

    def run_task(self) -> object:
        return self.value


class Leave(Task):
    """Writes a file into its data directory."""

    def run_task(self) -> None:
        (self.task_directory / "file").write_text("left\n")


class Read(Task):
    """The content of a file."""

    def __init__(self, file: Future[Path]):
        self.file = file

    def run_task(self) -> str:
        return Path(self.file.get_result()).read_text()


class Labelled(Command):
    """A subclass with its own arguments."""

    task_label = "gpu"

    def __init__(self, text: str):
        super().__init__(["printf", "%s", text])


def run(task: Any, **options: Any) -> tuple[Any, int]:
    """The result, and how many tasks ran."""
    value, stats = task.run_graph(**{"executor": LocalExecutor(), **options})
    return value, sum(stats["stats"].values())


def failure(task: Any, **options: Any) -> Any:
    """The failure that a run ends with."""
    with pytest.raises(FailedTaskError) as caught:
        run(task, **options)
    (found,) = caught.value.failures
    return found


def echo(*words: object) -> Command:
    """Prints its words, each between brackets."""
    return Command(["printf", "[%s]", *words])  # type: ignore[list-item]  # any may be among them


def test_the_result_tells_how_it_went(cache: Cache) -> None:
    """Words, exit code, time and files; words that were futures appear as their results."""
    result, _ = run(echo("a", Const(1)))

    assert isinstance(result, CommandResult)
    assert ("printf", "[%s]", "a", "1") == result.words
    assert (0, "[a][1]", "") == (result.exit_code, result.text, result.stderr.read_text())
    assert result.seconds > 0


def test_words_may_be_futures_of_many_kinds(cache: Cache, tmp_path: Path) -> None:
    """Paths, numbers, results, elements of results, input files, files of other commands, their directories."""
    (tmp_path / "input").write_text("read")
    first = Command(["printf", "x"], stdout="sub/out.txt")
    given = Give({"key": [tmp_path / "a", 2]})
    left = Leave()

    result, _ = run(
        echo(
            Path("p"), 1.5, Give("g"), given["key"][1], given["key"], InputFile(tmp_path / "input"),
            first.output("sub/out.txt"), first, (DataDirectory(left), "/file"), ("--n=", Const(3)),
            FutureList([Const("x"), Const("y")]),
        )
    )

    out = first.get_result()["sub/out.txt"]
    words = ["p", "1.5", "g", "2", tmp_path / "a", "2", tmp_path / "input", out, out]
    words += [left.task_directory / "file", "--n=3", "x", "y"]
    assert "".join(f"[{word}]" for word in words) == result.text


def test_equal_commands_are_one_task(cache: Cache, tmp_path: Path) -> None:
    """However their words were written; a difference in anything but the timeout makes another task."""
    one = Command(["tool", str(tmp_path), "1"])

    assert one is Command(("tool", tmp_path, 1), timeout=3)
    assert one is Command(argv=["tool", tmp_path, 1])
    assert Command(["a"], inputs=["b"], outputs=["c"], stdin="d", exit_codes=[1], env={"A": 1}, cwd="e") is Command(
        ["a"], inputs=(InputFile("b"),), outputs=("c",), stdin=InputFile(Path("d")), exit_codes=(1,), env={"A": "1"},
        cwd=Path("e"),
    )
    others = [
        Command(["tool"]), Command(["tool", tmp_path, 1], stdout="a"), Command(["tool", tmp_path, 1], env={"A": 1})]
    assert len({one, *others}) == 4


def test_it_is_run_once(cache: Cache) -> None:
    """The second run runs nothing."""
    assert 1 == run(echo("a"))[1]
    assert 0 == run(echo("a"))[1]


def test_outputs_are_files_in_its_directory(cache: Cache) -> None:
    """Named by a word, by the option for stdout, or in the list; other files may be read, too."""
    script = 'echo 1 > "$1"; echo 2 > "$2/b"; echo 3 > c; echo 4'
    command = Command(
        ["sh", "-c", script, "sh", Output("deep/a"), Output(".")], cwd=Output("."), outputs=["b", "c"], stdout="d"
    )

    result, _ = run(command)

    assert ["1\n", "2\n", "3\n", "4\n"] == [result[name].read_text() for name in ("deep/a", "b", "c", "d")]
    assert result["d"] == result.stdout == Path(os.fspath(result))
    assert result.directory == command.task_directory
    with pytest.raises(KeyError, match="wrote no 'e'; there is b, c, d, deep"):
        result["e"]


def test_what_lies_below_reads_its_files(cache: Cache) -> None:
    """As a future of a path, or with the command itself as its stdout; in a pipe of three."""
    lines = Command(["printf", "b\\na\\nb\\n"])
    unique = Command(["sort", "-u"], stdin=lines, stdout="sorted")
    count = Command(["wc", "-l"], stdin=unique.output("sorted"))

    assert "2" == run(count)[0].text.strip()
    assert ("a\nb\n", 1) == run(Read(unique.output("sorted")))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["workers", "threads", "prefix"])
def test_it_runs_wherever_tasks_run(cache: Cache, where: str) -> None:
    """In worker processes, in threads, behind a command."""
    first = Command(["sh", "-c", 'echo told >&2; echo out > "$0"', Output("file")])
    command = Command(["cat", first.output("file")])
    with ThreadPoolExecutor(2) as pool:
        options = {"workers": {"executor": None}, "threads": {"executor": pool},
                   "prefix": {"executor": None, "prefixes": {Command.task_name: "nice"}}}[where]
        result, _ = run(command, **options)

    assert ("out\n", "told\n") == (result.text, first.task_stderr.read_text())


def test_it_goes_where_its_cache_goes(tmp_path: Path) -> None:
    """Its result consists of paths in the cache, wherever that is."""
    with Cache(tmp_path / "one"):
        run(Command(["printf", "x"], stdout="file"))
    (tmp_path / "one").rename(tmp_path / "two")

    with Cache(tmp_path / "two"):
        result, count = run(Command(["printf", "x"], stdout="file"))

    assert (0, tmp_path / "two", "x") == (count, result["file"].parents[4], result.text)


def test_environment_and_folder(cache: Cache, tmp_path: Path) -> None:
    """Variables are added to the existing ones."""
    result, _ = run(Command(["sh", "-c", 'pwd; echo "$A $HOME"'], cwd=tmp_path, env={"A": ("x", Const(1))}))

    assert f"{tmp_path}\nx1 {os.environ.get('HOME', '')}\n" == result.text


def test_a_failure_shows_the_command_and_what_it_said(cache: Cache) -> None:
    """Once, with the file that contains all of it."""
    found = failure(Command(["sh", "-c", "seq 20 >&2; exit 3"]))

    assert isinstance(found.error, CommandFailed)
    assert 3 == found.error.exit_code
    last = "\n".join(map(str, range(11, 21)))
    assert f"command sh -c 'seq 20 >&2; exit 3' exited with code 3\n{last}" == str(found.error)
    assert "last lines of its log" not in str(found)
    assert [str(number) for number in range(1, 21)] == found.stderr.read_text().split()


@pytest.mark.slow
def test_a_failure_in_a_worker_says_the_same(cache: Cache) -> None:
    """The exception comes back with its exit code."""
    found = failure(Command(["sh", "-c", "echo why >&2; kill -9 $$"]), executor=None)

    assert (CommandFailed, -9) == (type(found.error), found.error.exit_code)
    assert str(found.error).endswith("was killed by signal 9 (SIGKILL)\nwhy")
    assert "why\n" == found.stderr.read_text()


def test_other_exit_codes_may_be_right(cache: Cache) -> None:
    """Such as that of a grep that finds nothing."""
    assert 1 == run(Command(["false"], exit_codes=[0, 1]))[0].exit_code


def test_an_output_that_is_missing_is_a_failure(cache: Cache) -> None:
    """Even if the command has succeeded."""
    for command in (Command(["true", Output("a")]), Command(["true"], outputs=["a"])):
        assert "succeeded, but did not write its output 'a'" in str(failure(command).error)


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_a_timeout_ends_it_anywhere(cache: Cache, executor: str) -> None:
    """Also where a task_timeout is not supported."""
    with ThreadPoolExecutor(1) if executor == "threads" else LocalExecutor() as pool:
        found = failure(Command(["sleep", "1000"], timeout=0.05), executor=pool)

    assert isinstance(found.error, TaskTimeout)
    assert "command sleep 1000 timed out after 0.05 s" in str(found.error)


class Slow(Command):
    """Reports its process id and does not end."""

    task_timeout = 0.3

    def __init__(self, told: str):
        super().__init__(["sh", "-c", 'echo $$ > "$0"; exec sleep 1000', told])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_a_task_timeout_of_a_subclass_ends_the_command_too(cache: Cache, tmp_path: Path) -> None:
    """Together with the worker that has started it."""
    found = failure(Slow(str(tmp_path / "told")), executor=None)

    assert isinstance(found.error, TaskTimeout)
    assert is_gone(int((tmp_path / "told").read_text()))


def test_what_is_no_word_is_refused(cache: Cache) -> None:
    """At the definition, with its place."""
    with pytest.raises(BuildError, match="argv of Command must be a list of words, got 'ls -l': no shell splits it"):
        Command("ls -l")
    with pytest.raises(BuildError, match="argv of Command is empty"):
        Command([])
    for word, what in ((True, "True .bool."), ({}, "dict"), (b"x", "bytes"), (None, "NoneType"), ("a\0", "NUL")):
        with pytest.raises(BuildError, match=f"word 1 of argv of Command is .*{what}"):
            Command(["tool", word])  # type: ignore[list-item]
    with pytest.raises(BuildError, match="cwd of Command"):
        Command(["tool"], cwd=None or [])  # type: ignore[arg-type]
    with pytest.raises(BuildError, match="env 'A' of Command"):
        Command(["tool"], env={"A": None})  # type: ignore[dict-item]
    with pytest.raises(BuildError, match="an input of Command must be a path or a future, got 3"):
        Command(["tool"], inputs=[3])  # type: ignore[list-item]


@pytest.mark.parametrize("name", ["", "/abs", "../up", "a/../../b", 3])
def test_outputs_stay_in_their_folder(cache: Cache, name: Any) -> None:
    """In each of the ways to name them."""
    for build in (lambda: Output(name), lambda: Command(["a"], outputs=[name]), lambda: Command(["a"]).output(name)):
        with pytest.raises(BuildError, match="a relative path that stays in its folder"):
            build()


def test_a_future_that_is_no_word_is_a_failure(cache: Cache) -> None:
    """The message shows its value."""
    assert "is {'a': 1} (dict), which is not a string, path or number" in str(failure(echo(Give({"a": 1}))).error)
    assert "gave 2 words where one is needed" in str(failure(echo(("a", Give(["b", "c"])))).error)


def test_the_content_of_inputs_counts(cache: Cache, tmp_path: Path) -> None:
    """Among the words, in the list, and on stdin."""
    file = tmp_path / "file"
    commands = [lambda: Command(["cat", InputFile(file)]), lambda: Command(["cat", file], inputs=[file]),
                lambda: Command(["cat"], stdin=file)]
    for text in ("one", "two"):
        file.write_text(text)
        assert [(text, 1)] * 3 == [(result.text, count) for result, count in (run(build()) for build in commands)]
        assert [0] * 3 == [run(build())[1] for build in commands]


def test_the_version_of_the_tool_counts(tmp_path: Path) -> None:
    """It is read once in a block; if it changes, the command runs again, and the reason says so."""
    tool = tmp_path / "tool"

    def release(version: int) -> None:
        tool.write_text(f"#!/bin/sh\n[ $1 = -V ] && echo v >> '{tmp_path}/asked'; echo {version}\n")
        tool.chmod(0o755)

    def build(word: str) -> Command:
        return Command([tool, word], version=[str(tool), "-V"])

    ran = []
    for version in (1, 1, 2):
        release(version)
        with Cache(tmp_path / "cache"):
            if version == 2:
                assert "tool_version changed" in str(build("a").explain())
            ran += [run(build("a"))[1], run(build("b"))[1]]

    assert [1, 1, 0, 0, 1, 1] == ran
    assert 3 == len((tmp_path / "asked").read_text().split())
    with Cache(tmp_path / "cache"), pytest.raises(BuildError, match="a tool could not be determined.*no-such"):
        Command(["a"], version=["no-such-tool"])


def test_a_subclass_has_its_own_arguments_and_labels(cache: Cache) -> None:
    """And is identified by them."""
    assert "x" == run(Labelled("x"))[0].text
    assert (Labelled("x"), "gpu") == (Labelled(text="x"), Labelled.task_labels[1])


def test_text_is_bounded(cache: Cache) -> None:
    """Large output is read from the file."""
    result, _ = run(Command(["head", "-c", "70000", "/dev/zero"]))

    with pytest.raises(ValueError, match="printed 70,000 bytes: read"):
        _ = result.text
    assert 70_000 == result.stdout.stat().st_size


def test_what_is_shown_is_the_command(cache: Cache) -> None:
    """Not its nine options."""
    command = Command(["sort", "-k 1", InputFile("a.txt"), ("-o", Output("b"))], stdout="c")

    assert "Command(sort '-k 1' InputFile('a.txt') -oOutput(name='b'))" == plain(repr(command))
    assert "Labelled(text='x')" == plain(repr(Labelled("x")))


O_ASYNC = 0o20000  # of Linux
SCRIPT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from taskproc import Cache, Command

if __name__ == "__main__":
    with Cache("cache"):
        command = Command(["sh", "-c", "echo $$ > told; trap '' HUP; sleep 1000 & wait"])
    command.run_graph(executor=ThreadPoolExecutor(1) if sys.argv[1] == "threads" else None)
"""


def started(folder: Path, environ: dict[str, str], where: Sequence[str]) -> tuple[subprocess.Popen[str], int]:
    """A script that runs a command which does not end, and the process id of the command."""
    (folder / "script.py").write_text(SCRIPT)
    os.mkfifo(folder / "told")
    words = [sys.executable, "script.py", *where]
    process = subprocess.Popen(words, cwd=folder, env=environ, stderr=subprocess.PIPE, text=True)
    return process, int((folder / "told").read_text())


def wait_until_tied(pid: int) -> None:
    """Wait until the kernel will end it with its parent: for some microseconds it runs without that."""
    until = time.monotonic() + limit(20)
    while not any(int(flags, 8) & O_ASYNC for flags in flags_of_files(pid)):
        assert time.monotonic() < until


def flags_of_files(pid: int) -> list[str]:
    texts = [text_of(path) for path in Path(f"/proc/{pid}/fdinfo").iterdir()]
    return [line.split()[1] for text in texts for line in text.splitlines() if line.startswith("flags:")]


def text_of(path: Path) -> str:
    """The content of a file; empty if the file was removed after it was listed."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fdinfo"), reason="needs Linux")
def test_descriptors_may_be_closed_while_they_are_looked_at() -> None:
    """Descriptors of a process that opens and closes one all the time are listed without an error."""
    words = [sys.executable, "-c", "while True: open('/dev/null').close()"]
    with subprocess.Popen(words) as busy:
        try:
            found = [flags_of_files(busy.pid) for _ in range(2_000)]
        finally:
            busy.kill()

    assert all(len(flags) >= 3 for flags in found)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
@pytest.mark.parametrize("where", ["threads", "workers"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_its_run(tmp_path: Path, environ: dict[str, str], where: str, number: int) -> None:
    """Whether interrupted or killed; in threads, one signal is enough, because a command can be ended there."""
    process, pid = started(tmp_path, environ, [where])
    wait_until_tied(pid)
    process.send_signal(number)
    _, said = process.communicate(timeout=limit(60))

    assert is_gone(pid)
    assert ("interrupted: 0 of 1 done" in said) == (number == signal.SIGINT), said
