"""The output of a job goes to its own files."""
from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from jobs import run_python

from taskproc.run.capture import captured


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def err(tmp_path: Path) -> Path:
    return tmp_path / "err"


def test_what_is_printed_goes_to_the_two_files(out: Path, err: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Output within the block is appended to the file of its stream."""
    out.write_text("before\n")
    print("outside")
    with captured(out, err):
        print("inside")
        print("error", file=sys.stderr)
    print("outside")

    assert ("before\ninside\n", "error\n") == (out.read_text(), err.read_text())
    assert "outside\noutside\n" == capsys.readouterr().out


def test_a_line_can_be_read_while_the_job_runs(out: Path, err: Path) -> None:
    """A line is in the file at once, not only when the job ends."""
    with captured(out, err):
        print("line")

        assert "line\n" == out.read_text()


def test_a_file_is_made_by_its_first_line(
    out: Path, err: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent job makes no file; a job that redirects its output prints where it says."""
    monkeypatch.chdir(tmp_path)
    with captured(Path("out"), Path("err")):
        os.chdir("/")
        print("line")

    assert out.exists()
    assert not err.exists()


def test_what_utf8_cannot_say_is_escaped(out: Path, err: Path) -> None:
    """Printing never fails because of its text."""
    with captured(out, err):
        print("é \ud800")

    assert "é \\ud800\n" == out.read_text("utf-8")


def test_files_obey_the_umask(out: Path, err: Path) -> None:
    """Files have mode 0666 without the bits of the umask."""
    kept = os.umask(0o027)
    try:
        with captured(out, err):
            print("x")
    finally:
        os.umask(kept)

    assert 0o640 == out.stat().st_mode & 0o777


def test_threads_do_not_mix(tmp_path: Path) -> None:
    """Jobs in several threads have their own lines, and sys.stdout is afterwards as before."""
    before = sys.stdout, sys.stderr
    barrier = threading.Barrier(4)

    def job(name: str) -> None:
        with captured(tmp_path / name, tmp_path / f"{name} err"):
            for _ in range(50):
                barrier.wait()
                print(name)

    threads = [threading.Thread(target=job, args=(str(index),)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["0\n" * 50, "1\n" * 50, "2\n" * 50, "3\n" * 50] == [(tmp_path / str(i)).read_text() for i in range(4)]
    assert before == (sys.stdout, sys.stderr)


def test_others_print_where_they_always_did(out: Path, err: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A thread of no job is not captured by a job that runs at the same time."""
    with captured(out, err):
        thread = threading.Thread(target=print, args=("beside",))
        if hasattr(thread, "_context"):
            thread = threading.Thread(target=print, args=("beside",), context=__import__("contextvars").Context())
        thread.start()
        thread.join()

    assert "beside\n" == capsys.readouterr().out


def test_one_within_another(tmp_path: Path) -> None:
    """A job that runs a job gets its own lines again afterwards."""
    with captured(tmp_path / "a", tmp_path / "a err"):
        print("one")
        with captured(tmp_path / "b", tmp_path / "b err"):
            print("two")
        print("three")

    assert ("one\nthree\n", "two\n") == ((tmp_path / "a").read_text(), (tmp_path / "b").read_text())


def test_a_job_may_replace_or_close_its_streams(out: Path, err: Path, tmp_path: Path) -> None:
    """If a job replaces or closes its streams, the next job and the main program print as before."""
    before = sys.stdout, sys.stderr
    with captured(out, err):
        sys.stdout.close()
        sys.stderr = io.StringIO()
    assert before == (sys.stdout, sys.stderr)
    with captured(tmp_path / "next", err):
        print("fine")

    assert "fine\n" == (tmp_path / "next").read_text()


def test_a_forgotten_replacement_does_not_hurt_a_job_beside_it(tmp_path: Path) -> None:
    """When a job that replaced sys.stdout ends, a job beside it prints to its own file again."""
    with captured(tmp_path / "a", tmp_path / "a err"):
        with captured(tmp_path / "b", tmp_path / "b err"):
            sys.stdout = io.StringIO()
        print("fine")

    assert "fine\n" == (tmp_path / "a").read_text()


def test_an_exception_passes_and_all_is_put_back(out: Path, err: Path) -> None:
    """An exception passes through, and all that was printed before it is in the file."""
    before = sys.stdout

    def job() -> None:
        with captured(out, err):
            print("line")
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        job()

    assert ("line\n", before) == (out.read_text(), sys.stdout)


def test_streams_are_files_to_who_asks(out: Path, err: Path) -> None:
    """A child process can inherit sys.stdout, which is not a terminal."""
    with captured(out, err):
        subprocess.run(["echo", "child"], stdout=sys.stdout, check=True)
        answer = sys.stdout.isatty(), sys.stdout.encoding

    assert "child\n" == out.read_text()
    assert (False, "utf-8") == answer


def test_in_the_main_process_descriptors_are_left_alone(
    out: Path, err: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Descriptors of the main process are never moved."""
    with captured(out, err, main_pid=os.getpid()):
        os.write(1, b"raw\n")

    assert "raw\n" == capfd.readouterr().out


OWN = """
import ctypes, os, sys, threading
from pathlib import Path
from taskproc.run.capture import captured, own_descriptors
{claim}
libc = ctypes.CDLL(None)
print('before')
with captured(Path('out'), Path('err'){main_pid}):
    print('python')
    os.system('echo child; echo complaint >&2')
    libc.printf(b'from-c\\n')
    thread = threading.Thread(target=print, args=('thread',))
    thread.start()
    thread.join()
    with captured(Path('inner'), Path('inner err')):
        print('inside')
        os.system('echo inner-child')
    os.close(2)
    sys.__stdout__.write('late ')
print('after', flush=True)
os.system('echo child after; echo complaint after >&2')
"""
ORDER = ["python", "child", "thread", "inner-child", "from-c", "late"]


@pytest.mark.parametrize(("claim", "main_pid"), [("own_descriptors()", ""), ("", ", main_pid=os.getpid() + 1")])
def test_a_process_of_its_own_is_caught_whole(tmp_path: Path, claim: str, main_pid: str) -> None:
    """Output of Python, C code, threads and child processes is captured; a job within a job gets its Python lines."""
    (tmp_path / "run.py").write_text(OWN.format(claim=claim, main_pid=main_pid))

    shown = run_python("run.py", cwd=tmp_path)

    lines = (tmp_path / "out").read_text().split()
    assert ["python", "child", "thread", "inner-child", "from-c", "late"] == sorted(lines, key=ORDER.index)
    unordered = {"from-c", "late"} if claim else {"from-c", "late", "thread"}  # these wait in a buffer of the process
    assert [each for each in ORDER if each not in unordered] == [each for each in lines if each not in unordered]
    assert "complaint\n" == (tmp_path / "err").read_text()
    assert "inside\n" == (tmp_path / "inner").read_text()
    assert ("before\nafter\nchild after\n", "complaint after\n") == (shown.stdout, shown.stderr)


@pytest.mark.parametrize("closed", ["1", "2", "0, 1, 2"])
def test_closed_descriptors_do_no_harm(tmp_path: Path, closed: str) -> None:
    """In a process without standard streams, no file gets one of their numbers."""
    (tmp_path / "run.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from taskproc.run.capture import captured, own_descriptors\n"
        "own_descriptors()\n"
        f"for number in [{closed}]: os.close(number)\n"
        "with captured(Path('out'), Path('err')):\n"
        "    os.system('echo child; echo complaint >&2')\n"
        "    print('line')\n"
        "os.system('echo after; echo after >&2')\n"
    )

    run_python("run.py", cwd=tmp_path)

    assert ("child\nline\n", "complaint\n") == ((tmp_path / "out").read_text(), (tmp_path / "err").read_text())


@pytest.mark.parametrize("broken", ["out", "err"])
def test_a_redirect_that_fails_leaves_nothing_set(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], broken: str
) -> None:
    """If a redirect fails, the job gets the error, and the streams and descriptors are as before."""
    paths = {name: tmp_path / ("no folder" if name == broken else "") / name for name in ("out", "err")}
    before = sys.stdout, sys.stderr
    with pytest.raises(FileNotFoundError), captured(paths["out"], paths["err"], main_pid=os.getpid() + 1):
        pass
    after = sys.stdout, sys.stderr
    print("printed")
    os.system("echo child; echo complaint >&2")
    with captured(tmp_path / "next out", tmp_path / "next err", main_pid=os.getpid() + 1):
        os.system("echo next")

    shown = capfd.readouterr()
    assert before == after
    assert (["child", "printed"], "complaint\n") == (sorted(shown.out.split()), shown.err)
    assert "next\n" == (tmp_path / "next out").read_text()


def test_a_fork_of_an_owner_is_no_owner(tmp_path: Path) -> None:
    """A fork of a job must not move the descriptors."""
    (tmp_path / "run.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from taskproc.run.capture import captured, own_descriptors\n"
        "own_descriptors()\n"
        "if os.fork() == 0:\n"
        "    with captured(Path('out'), Path('err')):\n"
        "        os.write(1, b'raw')\n"
        "        print('line')\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )

    shown = run_python("run.py", cwd=tmp_path)

    assert ("raw", "line\n") == (shown.stdout, (tmp_path / "out").read_text())
