"""Laws of the command line as a whole: which command runs, what it prints where, and its exit code."""
from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskproc.cli.defaults import DefaultArguments
from taskproc.cli.main import main, run_class
from taskproc.tasks.task import Task
from tests.pace import limit
from tests.plain import plain

Write = Callable[..., str]
Capture = pytest.CaptureFixture[str]
NO_FOLDER = "give it with -o DIR, or set TASKPROC_CACHE, or `cache` in [tool.taskproc] of pyproject.toml"


def run(*words: str) -> int:
    """Run a command with its tasks in this process."""
    return main([*words, "-o", "cache", "-t", "local"])


class Entry(Task):
    """An entry task of a module."""

    def __init__(self, word: str = "world"):
        self.word = word

    def run_task(self) -> None:
        print("hello", self.word)


def test_the_entry_task_is_run(script: Write, capsys: Capture) -> None:
    """The output of the entry task goes to stdout, messages to stderr, and the exit code is 0."""
    assert 0 == run(script(), "--x", "4")

    out, err = capsys.readouterr()
    assert "the square is 16\n" == out
    assert ["task", "Square", "Main"] == [line.split()[0] for line in err.splitlines()[:-1]]
    assert "2 done in " in err.splitlines()[-1]


@pytest.mark.parametrize("where", ["thread", "process"])
def test_what_was_captured_is_repeated(script: Write, capfdbinary: pytest.CaptureFixture[bytes], where: str) -> None:
    """The output of the entry task is repeated after the run, byte for byte, on the same stream."""
    source = (
        "from taskproc import Task\nimport sys\nclass Main(Task):\n    def run_task(self):\n"
        "        print('ünï')\n        sys.stdout.flush()\n        print('aside', file=sys.stderr)\n        return 5\n"
    )

    assert 0 == main([script(source), "-o", "cache", "-t", where, "-n", "1", "--dont-show-progress"])

    out, err = capfdbinary.readouterr()
    assert "ünï\n".encode() == out
    assert err.startswith(b"1 done in ")
    assert err.endswith(b"\naside\n")


def test_a_result_is_shown_where_nothing_was_printed(script: Write, capsys: Capture) -> None:
    """The result of an entry task that prints nothing is shown, except None."""
    source = "from taskproc import Task\nclass Main(Task):\n    def __init__(self, x: int = 0):\n        self.x = x\n"
    source += "    def run_task(self):\n        return [self.x] if self.x else None\n"
    path = script(source)

    assert 0 == main([path, "-o", "cache", "-t", "thread", "--x", "7"])
    assert "[7]\n" == capsys.readouterr().out
    assert 0 == main([path, "-o", "cache", "-t", "thread"])
    assert "" == capsys.readouterr().out


def test_the_entry_task_runs_each_time(script: Write, capsys: Capture) -> None:
    """The entry task runs each time; with --dont-force-entrypoint it is cached, and its output repeated."""
    words = [script(), "-o", "cache", "-t", "thread"]
    main(words)
    main(words)
    assert "1 done, 1 fresh in" in capsys.readouterr().err

    assert 0 == main([*words, "--dont-force-entrypoint"])

    out, err = capsys.readouterr()
    assert "the square is 9\n" == out
    assert err.startswith("0 done, 2 fresh in ")


def test_source_changes_are_seen_unless_refused(script: Write, capsys: Capture) -> None:
    """An edited class runs again; with -D its result is used."""
    source = (
        "from taskproc import Task\nclass Part(Task):\n    def run_task(self):\n        return 1\n"
        "class Main(Task):\n    def __init__(self):\n        self.part = Part()\n"
        "    def run_task(self):\n        print(self.part.get_result())\n"
    )
    run(script(source))
    edited = source.replace("return 1", "return 2")

    run(script(edited), "-D")
    kept = capsys.readouterr().out
    run(script(edited))

    assert "1\n1\n" == kept
    assert "2\n" == capsys.readouterr().out


def test_a_failed_task_is_told(script: Write, capsys: Capture) -> None:
    """A failure has exit code 1, the output, the error with the end of its log, and no frame of taskproc."""
    assert 1 == main([script(), "-o", "cache", "-t", "thread", "--fails"])

    out, err = capsys.readouterr()
    assert "the square is 9\n" == out
    assert "task Main(x=3, fails=True) failed: ValueError: as asked" in plain(err)
    assert "  | ValueError: as asked" in err
    assert f"log: {os.path.join('cache', 'job.Main', 'results')}" in err
    assert f"taskproc{os.sep}tasks" not in err


def test_an_entry_that_fails_after_it_was_done(script: Write, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output of the failed attempt is repeated, though the earlier result stays in use."""
    path, text = Path(script()), Path(script()).read_text()
    text = text.replace('"the square is"', "os.environ.get('SAYS')").replace("self.fails:", "'SAYS' in os.environ:")
    path.write_text(f"import os\n{text}")
    assert 0 == main([str(path), "-o", "cache", "-t", "thread"])
    assert "None 9\n" == capsys.readouterr().out
    monkeypatch.setenv("SAYS", "failed")

    assert 1 == main([str(path), "-o", "cache", "-t", "thread"])
    assert "failed 9\n" == capsys.readouterr().out



def test_an_error_while_building_is_the_users(script: Write, capsys: Capture) -> None:
    """An exception of `__init__` has exit code 1 and its traceback."""
    source = "from taskproc import Task\nclass Main(Task):\n    def __init__(self):\n        raise TypeError('mine')\n"
    source += "    def run_task(self): pass\n"

    assert 1 == run(script(source))

    err = capsys.readouterr().err
    assert "job.py\", line 4, in __init__" in err
    assert "TypeError: mine" in err
    assert "build.py" not in err


def test_a_script_that_raises_is_told(script: Write, capsys: Capture) -> None:
    """An exception of a script has exit code 1 and its traceback."""
    assert 1 == run(script("x = 1\n1 / 0\n"))

    err = capsys.readouterr().err
    assert "job.py\", line 2, in <module>" in err
    assert "ZeroDivisionError" in err
    assert "importlib" not in err
    assert "taskproc" not in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"which script\?"),
        (["frobnicate"], r"neither a script .* nor a command \(run, plan, why, accept, rerun, list, .*completion\)"),
        (["-o", "cache", "job.py"], "the script must come before its options, got '-o'"),
        (["--verison"], r"the script must come before its options, got '--verison'. Did you mean '--version'"),
        (["list", "--loglevel", "info", "-o", "cache"], r"--loglevel. Its options are --help, --output"),
        (["list", "--outptu=x"], r"unrecognized arguments: --outptu=x. Did you mean '--output'"),
        (["list", "--loglevel"], r"--loglevel. Its options are --help, --output"),
        (["list"], "no cache folder is given: -o DIR"),
        (["list", "-o", "cache", "--outptu", "x"], r"Did you mean '--output'"),
        (["lsit"], r"\. Did you mean 'list'\?"),
        (["jbo.py"], r"no such file: 'jbo\.py'\. Did you mean 'job\.py'\?"),
        (["package.module"], r"To run a module: `\w+ run package\.module`"),
        (["run", "job:Sqare", "-o", "cache"], r"its tasks are Square, Main\. Did you mean 'Square'\?"),
        (["job.py", "-o", "cache", "--nmu-workers", "3"], r"--nmu-workers \(did you mean --num-workers\?\)"),
        (["job.py", "-o", "cache", "--kwargs", '{"fail": 1}'], r"unknown parameter 'fail' .* Did you mean 'fails'\?"),
        (["nowhere.py"], "no such file: 'nowhere.py'"),
        (["run"], r"which script\?"),
        (["job.py"], "no cache folder is given: -o DIR"),
        (["job.py", "-o", "job.py"], "cache path .* is .* file"),
        (["job.py", "-o", "cache", "--x", "y"], "argument --x: expected int, got 'y'"),
        (["job.py", "-o", "cache", "--rate-limits", '{"a": 0}'], "rate limit of label 'a' must be at least 1, got 0"),
        (["job.py", "-o", "cache", "--dry-run", "--rate-limits", '{"a": 0}'], "must be at least 1"),
    ],
    ids=str,
)
def test_wrong_usage(script: Write, capsys: Capture, words: list[str], message: str) -> None:
    """Wrong usage has exit code 2 and one sentence on stderr, without stdout and traceback."""
    script()

    assert 2 == main(words)

    out, err = capsys.readouterr()
    assert "" == out
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert re.search(message, err)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["job.py"], NO_FOLDER),
        (["why", "job.py"], NO_FOLDER),
        (["why"], "see `taskproc why --help`"),
        (["list"], NO_FOLDER),
        (["empty.py"], "define `class Main(Task)` in it"),
        (["frobnicate"], "see `taskproc --help`"),
        (["why", "nowhere.py"], None),
        (["nowhere.py"], None),
    ],
    ids=str,
)
def test_a_hint_can_be_followed(
    script: Write, capsys: Capture, monkeypatch: pytest.MonkeyPatch, words: list[str], hint: str | None
) -> None:
    """A hint names existing help or what to write, and never leads back to itself."""
    Path(script()).with_name("empty.py").write_text("")
    monkeypatch.setattr(sys, "argv", ["taskproc"])

    assert 2 == main(words)

    _, _, told = capsys.readouterr().err.partition("\n\nhint: ")
    assert (hint or "") == told.rstrip()


def test_help_is_told_on_stdout(script: Write, capsys: Capture) -> None:
    """The help of the program, of a script and of each command goes to stdout."""
    assert 0 == main(["--help"]) == main(["run", "--help"])
    assert "taskproc SCRIPT -o DIR" in capsys.readouterr().out
    assert 0 == main([script(), "--help"])
    assert "Print a square." in capsys.readouterr().out
    assert 0 == main(["why", "--help"]) == main(["accept", "-h"])
    assert "taskproc SCRIPT -o DIR" in capsys.readouterr().out
    assert 0 == main(["why", script(), "--help"])
    why = capsys.readouterr().out
    assert "Show why Main is fresh" in why
    assert "Run Main" not in why
    assert 0 == main(["accept", script(), "--help"])
    assert "Declare stored results of Main" in capsys.readouterr().out
    assert 0 == main(["list", "--help"]) == main(["clear", "-h"])
    assert "-o DIR" in capsys.readouterr().out


COMMANDS = {
    "run": ("Run Main, and all tasks it needs", "number of tasks that run at once; default: the number of"),
    "why": ("Show why Main is fresh or would run", "--kwargs"),
    "accept": ("Declare stored results of Main", "--kwargs"),
    "list": ("Show the classes of a cache", "CLASS"),
    "show": ("Show all that is known of one task", "ID"),
    "log": ("Show what a task printed", "go on until the attempt ends"),
    "du": ("Show the bytes of each class", "--json"),
    "check": ("Read all files of a cache", "-o DIR"),
    "clear": ("Remove the results", "CLASS|ID …"),
    "status": ("Show the runs that are on their way", "until they have ended"),
    "history": ("Show the runs that were", "the id of a run"),
    "gc": ("Show which results may be deleted", "delete; without it, nothing changes"),
    "rerun": ("Run one task of a cache alone", "stop in the debugger"),
    "completion": ("Print a script that completes", "the shell: bash, zsh, fish"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_each_command_has_its_own_help(capsys: Capture, command: str, flag: str) -> None:
    """Each command has its own help on stdout: usage, purpose and options."""
    assert 0 == main([command, flag])

    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith(f"usage: taskproc {command} ")
    assert [] == [words for words in COMMANDS[command] if words not in shown]
    assert "commands:" not in shown


def test_help_shows_the_defaults_that_a_script_has_set(script: Write, capsys: Capture) -> None:
    """The help shows the defaults that the script sets by DefaultArguments."""
    path = script(
        "from taskproc import DefaultArguments\n"
        "DefaultArguments(output='there', num_workers=3, exec_type='thread', on_error='continue', loglevel='error',\n"
        "    rate_limits={'gpu': 2}, prefixes={'gpu': 'srun'}, kwargs={'x': 8}, show_progress=False,\n"
        "    detect_source_change=False, force_entrypoint=False).populate()\n" + Path(script()).read_text("utf-8")
    )

    for words in ([path], ["run", path], ["why", path]):
        assert 0 == main([*words, "--help"])
        shown = " ".join(capsys.readouterr().out.split())
        told = ["there", "3", "thread", "continue", "error", '{"gpu": 2}', '{"gpu": "srun"}', '{"x": 8}', "8"]
        assert [] == [value for value in told if f"default: {value} " not in f"{shown} "]
        assert 3 == shown.count("(as is the default here)")


def test_a_cache_is_not_made_among_other_files(script: Write, tmp_path: Path, capsys: Capture) -> None:
    """A folder with other files is refused without --force; a cache, an empty folder and hidden files are not."""
    path = script()
    script("", "src/module.py")
    script("", "hidden/.gitkeep")

    assert 2 == main([path, "-o", "src", "-t", "local"])
    err = capsys.readouterr().err
    assert "error: the folder 'src' is not a cache and not empty: it contains 'module.py'\n\nhint: " in err
    assert "--force" in err
    assert ["module.py"] == os.listdir(tmp_path / "src")
    assert 0 == main([path, "-o", "src", "-t", "local", "--force"])
    assert 0 == main([path, "-o", "src", "-t", "local"])
    assert 0 == main([path, "-o", "hidden", "-t", "local"])
    (tmp_path / "hidden" / "taskproc.json").unlink()
    assert 0 == main([path, "-o", "hidden", "-t", "local"])
    (tmp_path / "src" / "taskproc.json").unlink()
    assert 0 == main([path, "-o", "src", "-t", "local"])


def test_a_parameter_called_force_stays_one(script: Write, capsys: Capture) -> None:
    """A parameter of a script called `force` is not taken for the option."""
    source = "from taskproc import Task\nclass Main(Task):\n    def __init__(self, force: bool = False):\n"
    source += "        self.force = force\n    def run_task(self):\n        print(self.force)\n"

    assert 0 == run(script(source), "--force")
    assert "True\n" == capsys.readouterr().out


def test_results_under_an_old_name_are_told_of(script: Write, capsys: Capture) -> None:
    """Results under the old name of a script in a package are reported until there are some under the new one."""
    script("", "pkg/__init__.py")
    path = script(name="pkg/job.py")
    pinned = "    task_pinned_name = 'job.{}'\n"
    old = Path(path).read_text("utf-8")
    for name in ("Square", "Main"):
        old = old.replace(f"class {name}(Task):\n", f"class {name}(Task):\n{pinned.format(name)}")
    script(old, path)
    assert 0 == run(path)
    assert "note: " not in capsys.readouterr().err
    script(name=path)

    assert 0 == run(path)
    err = capsys.readouterr().err
    assert "note: the cache has results of 'job.Main', which may be the former name of 'pkg.job.Main'" in err
    assert 0 == run(path)
    assert "note: " not in capsys.readouterr().err


def test_the_version_is_told(capsys: Capture) -> None:
    """The version is one line that begins with the name."""
    assert 0 == main(["--version"])
    assert capsys.readouterr().out.startswith("taskproc ")


def test_a_command_wins_over_a_file_of_its_name(script: Write, capsys: Capture) -> None:
    """A file called `run` needs a path; a file of any other name is a script."""
    script(name="run")
    script(name="job")

    assert 0 == run("run", "job")
    assert 0 == run(os.path.join(".", "run"))
    assert 0 == run("job")
    assert 2 == run("run")

    assert "the square is 9\n" * 3 == capsys.readouterr().out


def test_a_dry_run_runs_nothing(script: Write, capsys: Capture) -> None:
    """A dry run prints on stdout what would run and why, and runs nothing."""
    path = script()
    run(path, "--x", "2")
    capsys.readouterr()

    assert 0 == run(path, "--dry-run")
    out = capsys.readouterr().out
    assert ["at most 2 of 2 tasks would run", "  job.Square  1", "  job.Main    1", ""] == out.splitlines()[:4]
    assert "  Square(x=3)   because no result is stored" in plain(out).splitlines()

    assert 0 == run(path, "--x", "2", "--dry-run", "--dont-force-entrypoint")
    assert "0 of 2 tasks would run\n" == capsys.readouterr().out


def test_a_long_dry_run_is_cut(script: Write, capsys: Capture) -> None:
    """A long dry run shows some tasks and counts all."""
    source = (
        "from taskproc import Task\nclass Part(Task):\n    def __init__(self, n):\n        self.n = n\n"
        "    def run_task(self): pass\n"
        "class Main(Part):\n    def __init__(self):\n        self.parts = [Part(n) for n in range(99)]\n"
    )

    assert 0 == run(script(source), "--dry-run")

    lines = capsys.readouterr().out.splitlines()
    assert "at most 100 of 100 tasks would run" == lines[0]
    assert "  … and 80 more" == lines[-1]
    assert 20 == sum(" because " in line for line in lines)


def test_defaults_of_a_script_are_in_force(script: Write, capsys: Capture) -> None:
    """Defaults that a script populates act like options."""
    path = script(
        "from taskproc.cli.defaults import DefaultArguments\n"
        "DefaultArguments(output='there', exec_type='local', kwargs={'x': 5}, show_progress=False).populate()\n"
        + Path(script()).read_text("utf-8")
    )

    assert 0 == main([path])

    out, err = capsys.readouterr()
    assert "the square is 25\n" == out
    assert err.startswith("2 done in ")
    assert 1 == len(err.splitlines())
    assert Path("there", "job.Main").is_dir()


def test_a_task_runs_as_a_command(capsys: Capture) -> None:
    """Task.cli ends the process with the exit code, and takes arguments and defaults."""
    with pytest.raises(SystemExit) as caught:
        Entry.cli(["-t", "local", "--word", "you"], DefaultArguments(output="cache"))

    assert 0 == caught.value.code
    assert "hello you\n" == capsys.readouterr().out
    assert 2 == run_class(Entry, ["--wrod", "you", "-o", "cache"])
    assert "did you mean --word?" in capsys.readouterr().err


def test_the_loglevel_is_that_of_taskprocs_logger(script: Write, caplog: pytest.LogCaptureFixture) -> None:
    """The log level applies to the logger of taskproc: with `error`, the warning of an unknown label is not shown."""
    words = ["--rate-limits", '{"gpu": 1}']

    run(script(), *words, "-l", "error")
    assert [] == caplog.messages
    run(script(), *words)
    assert ["gpu" in message for message in caplog.messages] == [True]
    assert logging.WARNING == logging.getLogger("taskproc").level


def child(*words: str) -> subprocess.Popen[str]:
    """A command in its own process."""
    paths = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, *words], env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.slow
def test_an_interrupted_run_says_how_far_it_came(script: Write) -> None:
    """Ctrl-C ends the run with exit code 130 and one line, and finished results stay."""
    source = (
        "from taskproc import Task\nimport sys, time\n"
        "class Quick(Task):\n    def run_task(self): pass\n"
        "class Main(Task):\n    def __init__(self):\n        self.quick = Quick()\n"
        "    def run_task(self):\n        open('started', 'w').close()\n        time.sleep(60)\n"
    )
    os.mkfifo("started")
    process = child("-m", "taskproc", script(source), "-o", "cache", "--dont-show-progress")
    Path("started").read_text()  # returns when Main has opened and closed it

    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=limit(30))

    assert 130 == process.returncode
    assert "" == out
    assert "interrupted: 1 of 2 done, 1 stopped; run again to resume\n" == err


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_nothing(script: Write) -> None:
    """A closed stdout ends neither the run nor in a traceback."""
    source = "from taskproc import Task\nclass Main(Task):\n    def run_task(self):\n        print('x\\n' * 200_000)\n"
    process = child("-m", "taskproc", script(source), "-o", "cache", "--dont-show-progress")
    assert process.stdout is not None
    assert process.stderr is not None

    assert "x\n" == process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()

    assert 0 == process.wait(timeout=limit(30))
    assert err.startswith("1 done in ")
    assert 1 == len(err.splitlines())


@pytest.mark.slow
def test_the_ways_to_start_share_one_cache(script: Write) -> None:
    """Starts by script, by module and as the script itself share their results."""
    path = script(Path(script()).read_text("utf-8") + "\nif __name__ == '__main__':\n    Main.cli()\n")
    ways = [["-m", "taskproc", path], ["-m", "job"], [path]]

    words = ("-o", "cache", "--dont-show-progress", "-t", "local")
    ends = [child(*way, *words).communicate(timeout=limit(60)) for way in ways]

    assert ["the square is 9\n"] * 3 == [out for out, _ in ends]
    assert ["2 done", "1 done, 1 fresh", "1 done, 1 fresh"] == [err.rpartition(" in ")[0] for _, err in ends]


def objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects of a log for programs; each line is one."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_log_for_programs(script: Write, environ: dict[str, str], tmp_path: Path) -> None:
    """Standard error has only JSON objects: warnings, events, the end, and the output of the entry task."""
    source = (
        "import logging, sys\nfrom taskproc import Task\nclass Main(Task):\n    def __init__(self):\n"
        "        logging.getLogger('taskproc').warning('it is late')\n    def run_task(self):\n"
        "        print('aside', file=sys.stderr)\n        print('out')\n"
    )
    words = [sys.executable, "-m", "taskproc", script(source), "-o", "cache", "-n", "1", "--log-format", "json"]

    done = subprocess.run(
        words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=limit(100), check=True
    )

    assert "out\n" == done.stdout
    events = objects(done.stderr)
    assert ["log", "begin", "stale", "started", "done", "end", "output"] == [each["event"] for each in events]
    assert ("warning", "it is late") == (events[0]["level"], events[0]["text"])
    assert ("job.Main", "aside\n") == (events[2]["class"], events[-1]["text"])


def test_failures_in_a_log_for_programs(script: Write, capsys: Capture) -> None:
    """A failure is logged with all its details; the exit code is 1."""
    words = [script(), "-o", "cache", "-t", "thread", "--fails", "--log-format", "json"]

    assert 1 == main([*words, "--dont-show-progress"])

    end, failure = objects(capsys.readouterr().err)
    assert ("end", 1, 1) == (end["event"], end["done"], end["failed"])
    assert ("failure", "job.Main", "ValueError") == (failure["event"], failure["class"], failure["error"])
    assert "as asked" in failure["text"]
    assert "run_task" in failure["traceback"]
    assert Path(failure["stderr"]).is_file()
