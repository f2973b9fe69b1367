"""Spools, each in its own process, whose descriptors they move."""
from __future__ import annotations

import errno
import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from jobs import run_python

from taskproc.run.spool import take_over

START = """
import errno, os, subprocess, sys, threading, traceback
from taskproc.run import capture, spool
from taskproc.run.capture import captured, expose, own_descriptors
own_descriptors(for_many=True)
told = os.dup2(2, 200)
sys.excepthook = lambda *error: os.write(told, ''.join(traceback.format_exception(*error)).encode()) and None
here = os.getcwd()
def job(number, **more):
    return captured(f'{here}/logs/{number}.out', f'{here}/logs/{number}.err', spools=f'{here}/run', **more)
def content(name):
    with open(f'{here}/logs/{name}') as file:
        return file.read()
def spools():
    return sorted((entry.name, entry.inode()) for entry in os.scandir(f'{here}/run'))
"""

Play = Callable[..., None]
Logs = Callable[[], dict[str, str]]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a program in a process that runs many jobs."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "run").mkdir()

    def run(program: str, *, code: int = 0) -> None:
        (tmp_path / "program.py").write_text(START + textwrap.dedent(program))
        shown = run_python("program.py", cwd=tmp_path)
        assert (code, "") == (shown.returncode, shown.stderr)

    return run


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    """Return the content of the logs: name → text."""
    return lambda: {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}


def test_a_job_that_prints_nothing_makes_no_file(play: Play, logs: Logs, tmp_path: Path) -> None:
    """A silent job makes no file and leaves the spools to the next one, in the folder of the run."""
    play("""
        with job(0): pass
        before = spools()
        for number in range(1, 50):
            with job(number): pass
        assert before == spools(), (before, spools())
    """)

    assert {} == logs()
    assert [".err", ".job", ".out"] == sorted(path.suffix for path in (tmp_path / "run").iterdir())


def test_a_job_that_prints_nothing_costs_few_system_calls(play: Play) -> None:
    """A silent job costs twelve system calls, none of which opens, makes or renames a file."""
    play("""
        calls = []
        def count(frame, event, function):
            if event == 'c_call' and function.__module__ in ('posix', 'resource'):
                calls.extend({function.__name__} - {'fspath', 'getpid'})
        with job(0): pass
        sys.setprofile(count)
        with job(1): pass
        sys.setprofile(None)
        assert ['access', 'dup2', 'getrusage', 'lseek', 'pwrite', 'waitpid'] == sorted(set(calls)), calls
        assert 12 == len(calls), calls
    """)


def test_each_has_its_own_in_order(play: Play, logs: Logs) -> None:
    """Output of Python, C, threads and children is in the log of its job, in order, even if jobs follow at once."""
    play("""
        for number in range(3):
            with job(number):
                os.write(1, b'raw\\n')
                print('python', number)
                os.system('echo child; echo complaint >&2')
                thread = threading.Thread(target=print, args=('thread',))
                thread.start()
                thread.join()
                print('end')
            with job(f'silent {number}'): pass
    """)

    found = {name: text for name, text in logs().items() if "silent" not in name}
    assert {f"{n}.err": "complaint\n" for n in range(3)} == {k: v for k, v in found.items() if k.endswith("err")}
    assert [f"raw\npython {n}\nchild\nthread\nend\n" for n in range(3)] == [found[f"{n}.out"] for n in range(3)]
    assert not [name for name in logs() if "silent" in name]


def test_only_what_was_written_to_becomes_a_log(play: Play, logs: Logs) -> None:
    """Only a spool with content becomes a log, here of C code, which is noticed at the end."""
    play("""
        with job(0): os.write(2, b'from C')
        with job(1): os.write(1, b'from C')
    """)

    assert {"0.err": "from C", "1.out": "from C"} == logs()


def test_a_line_of_python_is_in_the_log_at_once(play: Play) -> None:
    """A line of Python is in the named log at once, after what C code wrote before."""
    play("""
        with job(0):
            os.write(1, b'raw ')
            print('line')
            assert 'raw line\\n' == content('0.out')
            os.write(1, b'raw')
            assert 'raw line\\nraw' == content('0.out')
    """)


def test_who_asks_for_its_log_has_it_there(play: Play) -> None:
    """A job may look at its log, or let others append to it, whoever printed."""
    play("""
        with job(0):
            os.write(1, b'raw ')
            expose()
            with open(f'{here}/logs/0.out', 'a') as file: file.write('appended ')
            os.write(1, b'raw')
        assert 'raw appended raw' == content('0.out')
    """)


def test_a_job_that_runs_on_can_be_followed(play: Play, logs: Logs) -> None:
    """The log of a long job can be followed, even if only a child prints; otherwise no thread looks."""
    play("""
        go, looks = threading.Semaphore(0), []
        def sleep(seconds):
            looks.append(seconds)
            go.acquire()
        pair = spool.Spools('run', sleep=sleep)
        def run(number):
            pair.begin(f'{here}/logs/{number}.out', f'{here}/logs/{number}.err')
        run(0)
        go.release()                                # the look that began before the job, or the first at it
        child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)
        go.release()
        while not os.path.exists('logs/0.err'): pass
        child.stdin.write(b'from a child')
        child.stdin.close()
        child.wait()
        assert 'from a child' == content('0.out')
        pair.end()
        seen = len(looks)
        assert seen <= 2, looks
        run(1)                                      # wakes who looks, and the job is over at the next look
        pair.end()
        go.release()
        while not pair._idle: pass
        assert seen + 1 == len(looks), looks
    """)

    assert {"0.out", "0.err"} == set(logs())


def test_who_follows_a_log_since_before_its_job_sees_it(play: Play) -> None:
    """A log that exists is appended to, and keeps its inode and content."""
    play("""
        open(f'{here}/logs/1.out', 'w').close()
        with open(f'{here}/logs/1.err', 'w') as file: file.write('before ')
        with open(f'{here}/logs/1.out') as follower:
            with job(1): os.system('printf child; printf child >&2')
            assert ('child', 'before child') == (follower.read(), content('1.err'))
    """)


def test_what_another_wrote_in_the_meantime_is_kept(play: Play) -> None:
    """Content that others wrote meanwhile stays, before that of the job."""
    play("""
        with job(0):
            os.write(1, b'first ')
            with open(f'{here}/logs/0.out', 'w') as file: file.write('other ')
            print('second')
        with job(1): os.write(1, b'next')
        assert ('other first second\\n', 'next') == (content('0.out'), content('1.out'))
    """)


@pytest.mark.parametrize("command", ["(read line; echo $line) <&3 &", "(read line; echo $line) <&3 & exit"])
def test_what_a_job_leaves_behind_prints_where_it_did(play: Play, logs: Logs, command: str) -> None:
    """A process that a job leaves keeps its spools, even if it has not printed, and the next job gets others."""
    play(f"""
        reading, writing = os.pipe()
        ended, end = os.pipe()
        with job(0):
            subprocess.run({command!r}.replace('<&3', f'<&{{reading}}'), shell=True, pass_fds=(reading, end))
        with job(1): print('next')
        os.close(end)
        with job(2):
            os.write(writing, b'late\\n')
            os.read(ended, 1)
    """)

    assert {"0.out": "late\n", "0.err": "", "1.out": "next\n"} == logs()


def test_a_child_that_still_runs_has_the_log(play: Play, logs: Logs) -> None:
    """A child that still runs keeps the log, and nobody waits for it."""
    play("""
        with job(0):
            child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)
        child.communicate(b'late')
    """)

    assert {"0.out": "late", "0.err": ""} == logs()


def test_a_fork_prints_into_the_same_log(play: Play) -> None:
    """A fork prints into the log of its parent and does not rename it."""
    play("""
        with job(0):
            pid = os.fork()
            if not pid:
                print('child')
                os._exit(0)
            os.waitpid(pid, 0)
            assert not os.path.exists('logs/0.out')
            print('parent')
        assert 'child\\nparent\\n' == content('0.out')
    """)


def test_what_is_printed_between_jobs_is_nobodys(play: Play, logs: Logs) -> None:
    """Output between jobs, of a thread or an import, is in no log."""
    play("""
        with job(0): pass
        print('between', flush=True)
        os.system('echo between >&2')
        with job(1): os.write(1, b'own')
    """)

    assert {"1.out": "own", "1.err": ""} == logs() or {"1.out": "own"} == logs()


@pytest.mark.parametrize("deed", ["for n in (0, 1, 2): os.close(n)", "os.dup2(os.open('/dev/null', 1), 1)",
                                  "os.closerange(0, 64)"])
def test_closed_descriptors_do_no_harm(play: Play, logs: Logs, deed: str) -> None:
    """If a job closes descriptors 0 to 2, the next job has all three and its own logs."""
    play(f"""
        with job(0): pass
        with job(1):
            {deed}
        with job(2):
            os.write(1, b'out')
            os.write(2, b'err')
            assert b'' == os.read(0, 1)
        with job(3): pass
    """)

    assert {"2.out": "out", "2.err": "err"} == logs()


def test_descriptors_closed_between_jobs_do_no_harm(play: Play, logs: Logs) -> None:
    """If a thread closes the descriptors between jobs, the next logs are opened directly, and then all is as before."""
    play("""
        with job(0): pass
        os.closerange(3, 64)
        with job(1): os.write(1, b'one')
        with job(2): os.write(1, b'two')
    """)

    assert {"1.out": "one", "1.err": "", "2.out": "two"} == logs()


def test_the_logs_go_along_with_their_folder(play: Play, tmp_path: Path) -> None:
    """Logs follow their folder if it is moved, and nothing is written into a new one of that name."""
    play("""
        folder = os.open(f'{here}/logs', os.O_RDONLY)
        with job(0, folder=folder):
            os.write(1, b'old')
            os.rename(f'{here}/logs', f'{here}/trash')
            os.mkdir(f'{here}/logs')
        with job(1): pass
    """)

    assert [] == list((tmp_path / "logs").iterdir())
    assert "old" == (tmp_path / "trash" / "0.out").read_text()


def test_a_log_whose_folder_is_gone_is_lost_alone(play: Play, logs: Logs) -> None:
    """If the folder of a log is gone, only that log is lost."""
    play("""
        reading, writing = os.pipe()
        ended, end = os.pipe()
        with job(0):
            subprocess.run(f'(read line; echo $line) <&{reading} &', shell=True, pass_fds=(reading, end))
            os.close(end)
            os.rmdir(f'{here}/logs')
        os.mkdir(f'{here}/logs')
        with job(1):
            os.write(writing, b'lost\\n')
            os.read(ended, 1)
            os.write(1, b'own')
    """)

    assert {"1.out": "own"} == logs()


def test_without_the_folder_of_the_run_each_file_is_opened(play: Play, logs: Logs) -> None:
    """If the folder of the run is removed or takes no files, logs are opened directly."""
    play("""
        import shutil
        with job(0): print('one')
        with job(1):
            shutil.rmtree(f'{here}/run')
            os.write(1, b'two')
        with job(2): os.write(1, b'three')
        print('nobody', flush=True)
    """)

    assert ("one\n", "three") == (logs()["0.out"], logs()["2.out"])


def test_on_another_file_system_it_is_copied(play: Play) -> None:
    """On another file system, output is copied in order; later logs are opened directly."""
    play("""
        def rename(*_, **__): raise OSError(errno.EXDEV, 'another file system')
        os.rename = rename
        with job(0):
            os.write(1, b'raw ')
            print('python')
        assert 'raw python\\n' == content('0.out')
        with job(1):
            os.write(1, b'raw')
            assert 'raw' == content('1.out')
    """)


def test_a_stream_that_was_kept_from_an_earlier_job_is_closed(play: Play, logs: Logs) -> None:
    """Unwritten text of an ended job is not written into the log of another."""
    play("""
        with job(0):
            print('own')
            kept = sys.stdout.buffer.raw
        with job(1):
            try: kept.write(b'stale')
            except ValueError: pass
    """)

    assert {"0.out": "own\n"} == logs()


DIES = """
    with job(0): os.write(1, b'other')
    with job(1):
        os.write(2, b'last words')
        os.kill(os.getpid(), 9)
"""


def test_the_last_words_of_a_dead_worker_are_its_jobs(play: Play, logs: Logs, tmp_path: Path) -> None:
    """The last output of a dead worker goes to its job, once, and an empty spool makes no log."""
    play(DIES, code=-9)
    folder, own, other = str(tmp_path / "run"), tmp_path / "logs" / "1", tmp_path / "logs" / "10"

    take_over(folder, f"{other}.out", f"{other}.err")
    assert {"0.out": "other"} == logs()
    for _ in range(2):
        take_over(folder, f"{own}.out", f"{own}.err")

    assert {"0.out": "other", "1.err": "last words"} == logs()


def test_last_words_come_behind_what_the_log_has(play: Play, logs: Logs, tmp_path: Path) -> None:
    """The last output is appended to the log."""
    play(DIES, code=-9)
    own = tmp_path / "logs" / "1"
    Path(f"{own}.err").write_text("before, ")

    folder = os.open(own.parent, os.O_RDONLY)
    take_over(str(tmp_path / "run"), f"{own}.out", f"{own}.err", folder)
    os.close(folder)

    assert "before, last words" == logs()["1.err"]


def test_last_words_are_copied_to_another_file_system(
    play: Play, logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last output is copied if the file cannot be renamed."""
    play(DIES, code=-9)
    own = tmp_path / "logs" / "1"

    def rename(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "rename", rename)
    take_over(str(tmp_path / "run"), f"{own}.out", f"{own}.err")

    assert {"0.out": "other", "1.err": "last words"} == logs()
