"""F9: whatever a task returns comes back as it was, or is refused in words that lead to the culprit."""
from __future__ import annotations

from typing import Any

import pytest

from taskproc import Cache, FailedTaskError, LocalExecutor, MissingResult
from taskproc.errors import UnstorableResult
from taskproc.store.check import check
from tests.fault.awkward import KEPT, REFUSED, Awkward, Reader
from tests.plain import plain


def run(task: Any) -> Any:
    return task.run_graph(executor=LocalExecutor())[0]


@pytest.mark.parametrize("kind", KEPT)
def test_what_is_kept(cache: Cache, kind: str) -> None:
    """It is computed once, and is the same each time it is loaded, for tasks that read it, too."""
    _, is_good = KEPT[kind]

    for value in (run(Awkward(kind)), run(Awkward(kind)), Awkward(kind).get_result()):
        assert is_good(value)
    assert type(value).__name__ == run(Reader(kind))
    assert [] == list(cache.path.rglob("*.2*"))
    assert [] == list(check(cache.store))


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(cache: Cache, kind: str) -> None:
    """It is the failure of the task that returned it, the culprit is named, and nothing is stored."""
    with pytest.raises(FailedTaskError) as caught:
        run(Reader(kind))

    (failure,) = caught.value.failures
    assert f"Awkward(kind={kind!r})" == plain(failure.task)
    assert isinstance(failure.error, UnstorableResult)
    assert REFUSED[kind][1] in str(failure.error)
    assert "task_directory" in str(failure.error)
    assert not Awkward(kind).task_is_done()
    assert [] == list(check(cache.store))


def test_what_is_stored_and_does_not_load(cache: Cache) -> None:
    """Whoever reads it is told which result, and by what it broke; it is not computed again and again."""
    for read in (lambda: run(Awkward("what breaks")), lambda: Awkward("what breaks").get_result()):
        with pytest.raises(MissingResult, match=r"result .*Awkward.* does not load any more: ValueError: not any more"):
            read()
    with pytest.raises(FailedTaskError, match="not any more") as caught:
        run(Reader("what breaks"))

    assert ["Reader(kind='what breaks')"] == [plain(failure.task) for failure in caught.value.failures]
    assert "Awkward" in str(caught.value)
