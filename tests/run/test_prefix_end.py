"""The far end of a prefix command."""
from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from jobs import boom, call, problem, run_python, same, value

from taskproc.run.far_end import Setup


@pytest.mark.parametrize("arguments", [(), ("a", "b")])
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    """The far end takes exactly one file."""
    ended = run_python("-m", "taskproc.run.prefix_end", *arguments)

    assert (2, "usage: python -m taskproc.run.prefix_end FILE\n") == (ended.returncode, ended.stderr)


def test_a_file_that_is_not_seen(tmp_path: Path) -> None:
    """If the file cannot be seen, the far end names the likely reason."""
    ended = run_python("-m", "taskproc.run.prefix_end", str(tmp_path / "job"))

    assert 1 == ended.returncode
    assert "is its folder shared with this host?" in ended.stderr


@pytest.mark.parametrize(("job", "code"), [(call(same, 7), 0), (call(boom, "x"), 1)])
def test_a_job_leaves_its_marks(tmp_path: Path, job: object, code: int) -> None:
    """A job leaves its start mark and its whole outcome; the exit code says whether it failed."""
    file = tmp_path / "job"
    file.write_bytes(pickle.dumps((Setup.here(), pickle.dumps(job))))

    ended = run_python("-m", "taskproc.run.prefix_end", "job", cwd=tmp_path)
    outcome = pickle.loads((tmp_path / "job.outcome").read_bytes())

    assert code == ended.returncode
    assert {"job", "job.started", "job.outcome"} == {path.name for path in tmp_path.iterdir()}
    assert "7" == value(outcome) if code == 0 else "KeyError: 'x'" == problem(outcome).text
