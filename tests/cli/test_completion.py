"""Laws of completion: the words of the table, offered in shells by the printed script."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.cli.completion import next_words, words_in_cache
from taskproc.cli.main import main
from taskproc.cli.table import COMMANDS, COMPLETE, SHELLS
from taskproc.store.cache import Cache
from tests.cli.terminal import taskproc, terminal
from tests.pace import limit

Capture = pytest.CaptureFixture[str]

LINES = {
    "taskproc li": ["list"],
    "taskproc list --o": ["--output"],
    "taskproc job.py --num": ["--num-workers"],
    "taskproc run job.py -t th": ["thread"],
    "taskproc completion z": ["zsh"],
    "taskproc list ": [],  # names of files, by the shell itself
}
BASH = """
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
_taskproc
printf '%s\\n' "${COMPREPLY[@]}"
"""


def test_words_of_the_table_come_next() -> None:
    """Completion offers commands, values of options, and the arguments of commands and scripts."""
    assert [*COMMANDS, "-h", "--help", "--version"] == next_words([])
    assert ["stop", "continue"] == next_words(["job.py", "-o", "cache", "--on-error"])
    assert ["-o", "--output", "--json", "-h", "--help"] == next_words(["check"])
    assert next_words(["run"]) == next_words(["job.py"])
    assert {"--sweep", "--table", "--csv"} == {*next_words(["run"])} - {*next_words(["accept"])}
    assert list(SHELLS) == next_words(["completion"])[: len(SHELLS)]


@pytest.fixture
def with_program(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment in which `taskproc` is a program."""
    program = tmp_path / "bin" / "taskproc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m taskproc "$@"\n', "utf-8")
    program.chmod(0o755)
    return {**environ, "PATH": f"{program.parent}:{environ['PATH']}"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(tmp_path: Path, capsys: Capture, with_program: dict[str, str], shell: str) -> None:
    """What it offers for the last word of a line. zsh offers it only to someone who types: see below."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    assert 0 == main(["completion", shell])
    (tmp_path / "empty").mkdir()
    path = tmp_path / "completion"
    path.write_text(capsys.readouterr().out, "utf-8")

    for line, offered in LINES.items():
        commands = {
            "bash": ["bash", "--norc", "-c", f". {path}\n{BASH}", "bash", *line.split(" ")],
            "zsh": ["zsh", "-f", "-n", str(path)],
            "fish": ["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"],
        }
        done = subprocess.run(commands[shell], cwd=tmp_path / "empty", env=with_program, capture_output=True,
                              text=True, check=True, timeout=limit(60))  # fmt: skip

        words = [word.partition("\t")[0] for word in done.stdout.splitlines() if word]
        assert ("", [] if shell == "zsh" else offered) == (done.stderr, words)


@pytest.fixture
def cache(script: Callable[..., str], capsys: Capture) -> Cache:
    """Two results of Square and two of Main."""
    for x in (3, 4):
        assert 0 == main([script(), "-o", "cache", "-t", "local", "--x", str(x)])
    capsys.readouterr()
    return Cache("cache")


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_zsh_completes_what_is_typed(cache: Cache, with_program: dict[str, str], capsys: Capture) -> None:
    """Commands, classes and ids, on a terminal."""
    assert 0 == main(["completion", "zsh"])
    path = Path("completion.zsh")
    path.write_text(capsys.readouterr().out, "utf-8")
    (entry,) = cache.entries("Main", where={"x": 3})
    ours, its = terminal(120)
    dumb = {**with_program, "TERM": "dumb"}
    shell = subprocess.Popen(["zsh", "-f", "-i"], env=dumb, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    typed = {
        f"PS1=; source {path}; echo DO''NE\n": "DONE",
        "taskproc stat\t": "taskproc status ",
        "\x15taskproc list -o cache job.M\t": "job.Main ",
        f"\x15taskproc show -o cache {entry.id[:5]}\t": f"{entry.id} ",
    }
    try:
        for keys, shown in typed.items():
            os.write(ours, keys.encode())
            text = ""
            while shown not in text:
                text += os.read(ours, 4096).decode("utf-8", "replace")
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


def test_classes_and_ids_come_from_the_cache(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the end of a name, or the whole; ids where a task may stand, of the class that was given."""
    ids = sorted(entry.id for entry in cache.entries("Square"))
    every = sorted(entry.id for entry in cache.entries())
    monkeypatch.setenv("TASKPROC_CACHE", "cache")

    for words, expected in {
        ("list", ""): ["Main", "Square"],
        ("ls", "S"): ["Square"],
        ("show", "job."): ["job.Main", "job.Square"],
        ("show", "Square", ""): ids,
        ("show", "job.Square", ids[0][:3]): [word for word in ids if word.startswith(ids[0][:3])],
        ("log", "-f", every[0][:4]): [every[0]],
        ("clear", every[0], ""): [],
        ("clear", every[0], every[1][:5]): [every[1]],
        ("check", "-o", "cache", "M"): ["Main"],
        ("list", "Square", ""): [],
        ("list", "x=3", ""): ["Main", "Square"],
        ("list", "--where", ""): [],
        ("list", "--since", "2d", "M"): ["Main"],
        ("show", "--output=nowhere", ""): [],
        ("show", "-"): [],
        ("show", "Circle", ""): [],
        ("show",): [],
        ("run", ""): [],
        (): [],
    }.items():
        assert expected == words_in_cache(words), words


def test_without_a_cache_there_is_nothing(capsys: Capture) -> None:
    """And no message, for that would stand in the line that somebody types."""
    assert 0 == main([COMPLETE, "show", ""])

    assert ("", "") == capsys.readouterr()


def test_a_name_that_a_shell_would_expand_is_not_offered(cache: Cache, capsys: Capture) -> None:
    """A cache may come from anyone."""
    Path("cache", "$(touch%20owned)", "results", "5").mkdir(parents=True)

    assert ["job.Main", "job.Square"] == words_in_cache(["list", "-o", "cache", "job."])
    assert all("$" not in word for word in words_in_cache(["list", "-o", "cache", ""]))


def test_no_script_is_loaded(cache: Cache, environ: dict[str, str]) -> None:
    """In a process: the script is gone, and neither the front end nor a run was imported."""
    Path("job.py").unlink()

    done = taskproc([COMPLETE, "show", "-o", "cache", "S"], {**environ, "PYTHONPROFILEIMPORTTIME": "1"})

    assert "Square\n" == done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "taskproc.ledger.identifiers" in imported
    assert [] == [name for name in imported if name.startswith(("taskproc.tasks", "taskproc.source", "taskproc.run."))]


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_shell_offers_what_is_in_the_cache(
    cache: Cache, with_program: dict[str, str], tmp_path: Path, capsys: Capture, shell: str
) -> None:
    """By the program itself; options and their values are still those of the table."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    assert 0 == main(["completion", shell])
    path = tmp_path / "completion"
    path.write_text(capsys.readouterr().out, "utf-8")
    (one, *_) = cache.entries("Square")

    for line, offered in {
        "taskproc show -o cache Sq": ["Square"],
        f"taskproc log -o cache Square {one.id[:5]}": [one.id],
        "taskproc list --so": ["--sort"],
        "taskproc ls -o cache S": ["Square"],
        "taskproc list --sort se": ["seconds"],
        "taskproc ls --num": [],
        "taskproc ls --sor": ["--sort"],
    }.items():
        commands = {
            "bash": ["bash", "--norc", "-c", f". {path}\n{BASH}", "bash", *line.split(" ")],
            "fish": ["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"],
        }
        done = subprocess.run(commands[shell], env=with_program, capture_output=True, text=True, check=True,
                              timeout=limit(60))  # fmt: skip
        words = [word.partition("\t")[0] for word in done.stdout.splitlines() if word]
        assert ("", offered) == (done.stderr, words), line
