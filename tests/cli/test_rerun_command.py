"""Laws of `rerun`: one task alone, with what its cache has recorded, and the cache stays as it is."""
from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.cli.main import main
from tests.pace import limit

Write = Callable[..., str]
Capture = pytest.CaptureFixture[str]

STUDY = '''
from pathlib import Path

from taskproc import Const, Future, FutureDict, FutureList, InputFile, Task


class Load(Task):
    def __init__(self, file: Future[Path], day: int):
        self.file, self.day = file, day

    def run_task(self):
        return {"day": self.day, "text": self.file.get_result().read_text()}


class Fit(Task):
    def __init__(self, parts, *, limit: Future[int], names=("a", "b"), **more):
        self.parts, self.limit, self.names, self.more = FutureList(parts), limit, names, FutureDict(more)

    def run_task(self):
        print("fitting", self.parts.get_result(), self.limit.get_result(), self.names, self.more.get_result())
        (self.task_directory / "model.bin").write_text("weights")
        total = sum(self.parts.get_result())
        if total > self.limit.get_result():
            raise ValueError(f"the total is {total}")
        return total


class Main(Task):
    def __init__(self, limit: int = 2):
        days = [Load(InputFile("days.txt"), day) for day in range(3)]
        self.fit = Fit([load["day"] for load in days], limit=Const(limit), last=days[2]["text"])

    def run_task(self):
        print("the fit is", self.fit.get_result())
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a script whose cache has three loads and a failed fit."""
    (tmp_path / "study.py").write_text(STUDY)
    (tmp_path / "days.txt").write_text("monday")
    return tmp_path


def command(
    folder: Path, *words: str, typed: str = "", prog: tuple[str, ...] = ("-m", "taskproc")
) -> tuple[int, str, str]:
    """Run a command in a process of its own; its exit code and what it printed."""
    root = Path(__file__).resolve().parents[2]
    environ = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, *prog, *words], cwd=folder, env=environ, input=typed, capture_output=True,
                          text=True, timeout=limit(100), check=False)
    return done.returncode, done.stdout, done.stderr


def content(cache: Path) -> dict[str, str]:
    """Each file and folder of a cache, with the digest of its bytes and its time."""
    return {
        str(path): f"{hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ''} {path.stat().st_mtime}"
        for path in sorted(cache.rglob("*"))
    }


def shown_command(err: str) -> list[str]:
    """The words behind `python` of the command at the end of a message."""
    words = shlex.split(re.findall(r"^  rerun: (.*)$", err, re.MULTILINE)[-1])
    assert "python" == words[0]
    return words[1:]


def test_the_message_of_a_failure_ends_with_a_command_that_repeats_it(folder: Path) -> None:
    """Pasted into a shell, it runs this task alone, with its arguments and inputs, and the cache is not touched."""
    code, _, err = command(folder, "study.py", "-o", "my cache", "--dont-show-progress")
    assert 1 == code
    before = content(folder / "my cache")
    words = shown_command(err)

    code, out, err = command(folder, *words, prog=())

    assert 1 == code
    assert words[:4] == ["-m", "taskproc", "rerun", "study.py"]
    assert "fitting [0, 1, 2] 2 ('a', 'b') {'last': 'monday'}\n" == out
    assert err.startswith("rerun Fit#")
    assert "in run_task\n    raise ValueError" in err
    assert "taskproc/" not in err
    assert re.search(r"ValueError: the total is 3\nfailed after \d.*; nothing was stored\n$", err)
    assert before == content(folder / "my cache")
    assert [] == list((folder / "tmp").iterdir())


def test_a_script_that_takes_the_options_itself_has_the_command_too(folder: Path) -> None:
    """`python study.py` is a script as well."""
    with (folder / "study.py").open("a") as file:
        file.write("\n\nif __name__ == '__main__':\n    Main.cli()\n")

    code, _, err = command(folder, "-o", "cache", "--dont-show-progress", prog=("study.py",))
    assert 1 == code
    code, out, _ = command(folder, *shown_command(err), prog=())

    assert (1, "fitting") == (code, out[:7])


def test_the_debugger_stops_where_the_task_fails(folder: Path) -> None:
    """It reads its commands from standard input, in the frame that raised, where inputs can still be read."""
    _, _, err = command(folder, "study.py", "-o", "cache", "--dont-show-progress")

    code, out, _ = command(folder, *shown_command(err), "--pdb", prog=(),
                           typed="p total, 'here'\np self.parts[1].get_result()\nq\n")

    assert 1 == code
    assert "(Pdb) (3, 'here')\n(Pdb) 1\n" in out


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
def test_the_debugger_is_used_in_a_terminal(folder: Path) -> None:
    """With a terminal, it is as usual; so is `breakpoint()`."""
    import pty

    _, _, err = command(folder, "study.py", "-o", "cache", "--dont-show-progress")
    words = shown_command(err)
    main_end, far_end = pty.openpty()
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen([sys.executable, *words, "--pdb"], cwd=folder, env=environ, stdin=far_end,
                               stdout=far_end, stderr=far_end)
    os.close(far_end)
    shown = b""
    try:
        while b"(Pdb) " not in shown:
            shown += os.read(main_end, 1000)
        os.write(main_end, b"p total + 39\nq\n")
        assert 1 == process.wait(limit(60))
        while b"42" not in shown:
            shown += os.read(main_end, 1000)
    finally:
        process.kill()
        process.wait()
        os.close(main_end)


def test_a_task_that_is_done_shows_its_value(folder: Path) -> None:
    """A short form of it goes to stdout, and the time to stderr. It may be in nobody's graph any more."""
    command(folder, "study.py", "-o", "cache", "--limit", "7", "--dont-show-progress")
    (folder / "study.py").write_text(STUDY.replace("range(3)", "range(1)").replace("days[2]", "days[0]"))
    before = content(folder / "cache")

    found = {line.split()[0] for line in command(folder, "list", "-o", "cache", "study.Load")[1].splitlines()[1:]}
    outputs = [command(folder, "rerun", "study.py", "Load", number, "-o", "cache") for number in sorted(found)]

    assert {f"{{'day': {day}, 'text': 'monday'}}\n" for day in range(3)} == {out for _, out, _ in outputs}
    assert [0, 0, 0] == [code for code, _, _ in outputs]
    assert all(re.search(r"\ndone in \d.*; nothing was stored\n$", err) for _, _, err in outputs)
    assert before == content(folder / "cache")


def ids_of(folder: Path, name: str) -> list[int]:
    return sorted(int(path.name) for path in (folder / "cache" / name / "results").iterdir())


@pytest.fixture
def made(folder: Path) -> Path:
    """The same, where the fit was done."""
    assert 0 == main(["study.py", "-o", "cache", "-t", "local", "--limit", "7", "--dont-show-progress"])
    return folder


@pytest.mark.parametrize("form", ["{id}", "Fit {id}", "study.Fit {short}", "Fit#{short}", "{key}", "study.Fit#{short}"])
def test_an_id_has_several_forms(made: Path, capsys: Capture, form: str) -> None:
    """A task_id, a short id, a whole key, each also with the class."""
    (number,) = ids_of(made, "study.Fit")
    text = (made / "cache" / "study.Fit" / "results" / str(number) / "args.json").read_text()
    key = re.findall(r'"key": "(\w+)", "args"', text)[0]
    capsys.readouterr()

    assert 0 == main(["rerun", "study.py", *form.format(id=number, key=key, short=key[:6]).split(), "-o", "cache"])

    assert capsys.readouterr().out.endswith("\n3\n")


@pytest.mark.parametrize(("words", "error"), [
    (("rerun", "study.py", "abcdef0123"), "the cache has no task 'abcdef0123'"),
    (("rerun", "study.py", "Lod", "abcdef"), "the cache has no results of 'Lod'; it has study.Fit"),
    (("rerun", "study.py", "a", "b", "c"), "rerun runs one task, got 'a b c'"),
    (("rerun", "study.py"), "no task is given: ID"),
    (("rerun", "gone.py", "abcdef"), "no such file: 'gone.py'"),
    (("rerun",), "no script is given: SCRIPT|MODULE"),
])  # fmt: skip
def test_wrong_usage(made: Path, capsys: Capture, words: tuple[str, ...], error: str) -> None:
    """It is named, with what to do."""
    assert 2 == main([*words, "-o", "cache"])
    assert error in capsys.readouterr().err


def test_an_ambiguous_id_is_refused_with_the_candidates(made: Path, capsys: Capture) -> None:
    """Each is a pair of words that means one task."""
    one = ids_of(made, "study.Load")[0]
    results = made / "cache" / "study.Load" / "results"
    (results / str(one ^ 1)).mkdir()

    assert 2 == main(["rerun", "study.py", f"{one << 1:016x}"[:12], "-o", "cache"])

    assert re.search(r"may be any of 2 tasks: study.Load#\w+ \(\d+\), study.Load#", capsys.readouterr().err)


def test_a_missing_input_is_named(made: Path, capsys: Capture) -> None:
    """An upstream task without a result, with how to make it."""
    number = ids_of(made, "study.Load")[0]
    assert 0 == main(["clear", "-o", "cache", "study.Load", str(number)])
    capsys.readouterr()

    assert 2 == main(["rerun", "study.py", "Fit", str(ids_of(made, "study.Fit")[0]), "-o", "cache"])

    err = capsys.readouterr().err
    assert f"no result is stored of Load#{f'{number << 1:016x}'[:4]}" in err
    assert "hint: run the script first, which makes it if it is in its graph: `taskproc run study.py -o cache`" in err


def test_an_argument_that_cannot_be_decoded_is_named(script: Write, capsys: Capture) -> None:
    """Its class has a form, but no way back."""
    path = script(
        "from taskproc import Task\n"
        "class Odd:\n    def __task_key__(self):\n        return 1\n"
        "class Use(Task):\n    def __init__(self, odd):\n        self.odd = odd\n"
        "    def run_task(self):\n        pass\n"
        "class Main(Use):\n    def __init__(self):\n        self.use = Use(Odd())\n"
    )
    assert 0 == main([path, "-o", "cache", "-t", "local", "--dont-show-progress"])
    number = next(Path("cache/job.Use/results").iterdir()).name
    capsys.readouterr()

    assert 2 == main(["rerun", path, number, "-o", "cache"])

    err = capsys.readouterr().err
    assert "error: argument 'odd' of Use cannot be decoded: an instance of 'job:Odd' has only the form of" in err
    assert "hint: run the whole graph in this process instead, where a debugger works: `taskproc run job.py" in err


def test_a_class_that_is_gone_is_named(made: Path, capsys: Capture) -> None:
    """With one that is called alike."""
    (made / "study.py").write_text(STUDY.replace("Fit", "Fits"))
    capsys.readouterr()

    assert 2 == main(["rerun", "study.py", "Fit", str(ids_of(made, "study.Fit")[0]), "-o", "cache"])

    err = capsys.readouterr().err
    assert "error: no task class 'study.Fit' is loaded: define it in the script, or import its module there" in err
    assert "Did you mean 'study.Fits'?" in err


def test_a_new_parameter_gets_its_default(made: Path, capsys: Capture) -> None:
    """And that is said, since it is another task by its key."""
    (made / "study.py").write_text(STUDY.replace("**more):", "power=1, **more):"))
    number = ids_of(made, "study.Fit")[0]
    capsys.readouterr()

    assert 0 == main(["rerun", "study.py", str(number), "-o", "cache"])

    assert "was recorded without the parameters that its class has now" in capsys.readouterr().err


def test_changed_arguments_are_refused(made: Path, capsys: Capture) -> None:
    """The key is a digest of them, so whoever may write to the folder cannot choose with what a task is called."""
    number = ids_of(made, "study.Fit")[0]
    path = made / "cache" / "study.Fit" / "results" / str(number) / "args.json"
    path.write_text(path.read_text().replace('"__const__": 7', '"__const__": 8'))
    capsys.readouterr()

    assert 2 == main(["rerun", "study.py", str(number), "-o", "cache"])

    out, err = capsys.readouterr()
    assert "" == out
    assert re.search(r"the recorded arguments of study.Fit#\w+ are not those of its key: its args.json was", err)


def test_the_defaults_of_the_script_say_where_the_cache_is(made: Path, capsys: Capture) -> None:
    """As for a run; without them, the folder is asked for."""
    number = str(ids_of(made, "study.Fit")[0])

    assert 2 == main(["rerun", "study.py", number])
    assert "no cache folder is given: -o DIR" in capsys.readouterr().err
    with (made / "study.py").open("a") as file:
        file.write("\nfrom taskproc import DefaultArguments\nDefaultArguments(output='cache').populate()\n")
    assert 0 == main(["rerun", "study.py", number])


def test_a_log_in_json_has_the_command(folder: Path, capsys: Capture) -> None:
    """As a field of the failure."""
    assert 1 == main(["study.py", "-o", "cache", "-t", "local", "--log-format", "json"])

    assert re.search(r'"rerun": ?"taskproc rerun study.py [0-9a-f]{12} -o cache"', capsys.readouterr().err)


def test_what_was_never_begun_has_no_command(folder: Path, capsys: Capture) -> None:
    """An input file that is missing is not a task in the cache."""
    (folder / "days.txt").unlink()

    assert 1 == main(["study.py", "-o", "cache", "-t", "local", "--dont-show-progress"])

    err = capsys.readouterr().err
    assert "InputFile#" in err
    assert "rerun:" not in err
