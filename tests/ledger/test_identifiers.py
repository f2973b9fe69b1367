"""Laws of ids and class names: a word means one task, or it is refused with all that it may mean."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from taskproc.errors import CacheError, LinkInCache
from taskproc.ledger.identifiers import Catalogue, Located
from taskproc.store.cache import Cache
from taskproc.store.layout import key_digits

ONE, OTHER, THIRD = (int(digits.ljust(16, "0"), 16) >> 1 for digits in ("3fa1c27", "3fa1c28", "90b2d3"))
DECIMAL = int("123456".ljust(16, "0"), 16) >> 1


@pytest.fixture
def catalogue(cache: Cache) -> Catalogue:
    """Tasks of three classes; two ids begin alike, in different classes, and one begins with digits only."""
    for name, numbers in {"study.Fit": [ONE, DECIMAL], "study.Load": [OTHER], "other.Load": [THIRD]}.items():
        for number in numbers:
            Path(cache.path, name, "results", str(number)).mkdir(parents=True)
    Path(cache.path, "empty.Fit").mkdir()
    return Catalogue(cache.store)


def test_an_id_tells_all_tasks_of_the_cache_apart(catalogue: Catalogue) -> None:
    """Of whatever class they are, by digits of one length."""
    assert ["3fa1c27", "3fa1c28", "90b2d30", "1234560"] == list(map(catalogue.short, (ONE, OTHER, THIRD, DECIMAL)))
    assert "3fa1c27" == catalogue.short("3fa1c27" + "0" * 25)
    assert [ONE, DECIMAL] == sorted((task.id for task in catalogue.located("study.Fit")), reverse=True)


@pytest.mark.parametrize("word", ["3fa1c27", "3FA1C27", "#3fa1c27", "Fit#3fa1c27", "study.Fit#3fa1c27", str(ONE),
                                  key_digits(ONE) + "0" * 17])  # fmt: skip
def test_a_word_means_its_task(catalogue: Catalogue, word: str) -> None:
    """A prefix, with and without its class, the whole key, the integer id."""
    assert Located("study.Fit", ONE) == catalogue.task(word)
    assert ("", [Located("study.Fit", ONE)]) == catalogue.choose([word])
    assert ("study.Fit", [Located("study.Fit", ONE)]) == catalogue.choose(["Fit", word])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda names: names.task("3fa1c2"), f"'3fa1c2' may be any of 2 tasks: study.Fit#3fa1c27 ({ONE}), study.Load#"),
        (lambda names: names.task("3fa1"), "the cache has no task '3fa1': an id has at least 6 digits, such as 3fa1c2"),
        (lambda names: names.task("abcdef", ending="; stop"), "the cache has no task 'abcdef'; stop"),
        (lambda names: names.choose(["Fit", "3fa1c28"]), "study.Fit has no task '3fa1c28'"),
        (lambda names: names.class_folder("Load"), "'Load' may be any of 2 task classes: other.Load, study.Load"),
        (lambda names: names.class_folder("oad"), "has no results of 'oad'; it has other.Load, study.Fit, study.Load"),
        (lambda names: names.choose(["Fti"]), "Did you mean 'Fit'?"),
        (lambda names: names.choose([""]), "has no results of ''"),
        (lambda names: names.task(""), "the cache has no task ''"),
        (lambda names: names.task("Load#90b2d3"), "'Load' may be any of 2 task classes"),
    ],
)
def test_what_is_not_clear_is_refused(catalogue: Catalogue, ask: Callable[[Catalogue], object], message: str) -> None:
    """The message has all that may be meant."""
    with pytest.raises(CacheError) as caught:
        ask(catalogue)

    assert message in str(caught.value)


def test_a_class_is_known_by_the_end_of_its_name(catalogue: Catalogue) -> None:
    """Where one class has it; a class without tasks does not count, and neither does a part of a word."""
    assert "study.Fit" == catalogue.class_folder("Fit") == catalogue.class_folder("study.Fit")
    assert "other.Load" == catalogue.class_folder("other.Load")
    assert ["other.Load", "study.Fit", "study.Load"] == catalogue.names()


def test_a_whole_name_comes_before_the_end_of_another(cache: Cache) -> None:
    """A class may have a name without a module, and is found by it."""
    for name in ("Fit", "study.Fit"):
        Path(cache.path, name, "results", str(ONE)).mkdir(parents=True)

    assert "Fit" == Catalogue(cache.store).class_folder("Fit")


def test_a_class_comes_before_an_id(cache: Cache) -> None:
    """A class whose name could be digits of a key is still found."""
    Path(cache.path, "job.facade", "results", str(ONE)).mkdir(parents=True)

    assert ("job.facade", []) == Catalogue(cache.store).choose(["facade"])


def test_digits_alone_may_be_either(cache: Cache) -> None:
    """The integer id of one task and the first digits of another: both are listed."""
    for number in (123456, DECIMAL):
        Path(cache.path, "job.Fit", "results", str(number)).mkdir(parents=True)
    names = Catalogue(cache.store)

    with pytest.raises(CacheError, match="may be any of 2 tasks of job.Fit"):
        names.task("123456", "job.Fit")
    assert DECIMAL == names.task("#123456").id


def test_a_link_is_refused(cache: Cache, tmp_path: Path) -> None:
    """A class that somebody has moved away is not followed."""
    (tmp_path / "far" / "results" / str(ONE)).mkdir(parents=True)
    Path(cache.path, "job.Fit").symlink_to(tmp_path / "far")

    with pytest.raises(LinkInCache):
        Catalogue(cache.store).class_folder("job.Fit")
    assert [] == Catalogue(cache.store).names()
