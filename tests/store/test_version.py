"""The record of a version in JSON."""
from __future__ import annotations

import json
from typing import Any

import pytest
from faults import OTHER, PLACE, few
from hypothesis import given
from hypothesis import strategies as st

from taskproc.frozen import replace
from taskproc.kernel.model import Record, Stamp, Usage
from taskproc.store.layout import Place
from taskproc.store.members import json_object
from taskproc.store.version import (
    Facts,
    Version,
    about_for_readers,
    about_result,
    package_versions,
    record_text,
    version_from,
)

STAMPS = st.builds(Stamp, st.text(), st.text())
RECORDS = st.builds(
    Record,
    st.integers(1),
    st.text(),
    STAMPS,
    st.text(),
    st.dictionaries(st.text(), STAMPS),
    st.dictionaries(st.text(), st.text()),
)
RECORD = Record(3, "nonce", Stamp("order", "value"), "code", {"key": Stamp("a", "b")}, {"version": "1"})
VERSION = Version(PLACE, "path", RECORD)


def written(version: Version) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(record_text(version))
    return content


TIMES = st.floats(0, 2e9)
USAGES = st.builds(Usage, TIMES, TIMES, st.none() | st.integers(0), st.text(), st.none() | st.text())
ABOUTS = st.builds(
    about_result,
    st.builds(Facts, st.just(""), st.just({}), seconds=TIMES, usage=USAGES),
    captured=st.booleans(),
    data=st.none() | st.integers(0),
)


@few
@given(RECORDS, ABOUTS, st.text(), st.booleans())
def test_a_record_is_as_the_encoder_writes_it(record: Record, about: dict[str, Any], text: str, here: bool) -> None:
    """Whatever is known of the attempt; its times in milliseconds and microseconds."""
    rest = {} if here else {"untracked": [text]}
    version = Version(Place(text, 1, text), "path", record, about={**rest, **about})
    told = json.loads(record_text(version))

    for name, error in {"ended": 1e-3, "began": 1e-3, "seconds": 1e-6, "cpu": 1e-6}.items():
        assert told["about"][name] == pytest.approx(about[name], rel=0, abs=error)
        told["about"][name] = about[name]
    assert told["about"] == version.about
    assert set(told["about"]) == set(version.about)


@few
@given(RECORDS, st.integers(0, 1 << 60), st.text())
def test_a_record_comes_back(record: Record, size: int, digest: str) -> None:
    """Through JSON, with everything that it says."""
    version = Version(PLACE, "path", record, size, digest, size, digest, {"host": digest})

    assert version == version_from(PLACE, "path", json.loads(record_text(version)))


def test_a_record_of_another_task_is_refused() -> None:
    """The key decides, not where it lies."""
    with pytest.raises(ValueError, match="another task"):
        version_from(OTHER, "path", written(VERSION))


def test_a_record_of_another_format_is_refused() -> None:
    """Older and newer ones are misses: they are computed again beside it."""
    with pytest.raises(ValueError, match="another format"):
        version_from(PLACE, "path", {**written(VERSION), "format": 2})


@pytest.mark.parametrize("field", [name for name in written(VERSION) if name != "name"])
def test_a_record_without_a_field_is_refused(field: str) -> None:
    """One of three errors, which the reader takes for damage."""
    content: dict[str, Any] = written(VERSION)
    del content[field]

    with pytest.raises((ValueError, KeyError, TypeError)):
        version_from(PLACE, "path", content)


def test_unknown_fields_are_passed_over() -> None:
    """What a later release adds does not hide a result from this one."""
    assert VERSION == version_from(PLACE, "path", {**written(VERSION), "later": 1})


def test_about_is_ready_for_json() -> None:
    """What is kept for people can be written, and says how long it took."""
    told = json.loads(json.dumps(about_result(Facts("", {}, seconds=1.5))))

    assert 1.5 == told["seconds"]
    known = {"versions", "host", "user", "pid", "ended", "seconds"}
    assert known | {"began", "cpu", "peak", "run", "worker", "data"} == set(told)


def test_about_tells_what_an_attempt_used() -> None:
    """When it began, in which run and worker, its processor time, its peak and its data; null where it is not known."""
    usage = Usage(1.5, 0.25, None, "worker 3", "20261201T101010-abcdef")

    told = about_result(Facts("", {}, usage=usage), data=7)

    expected = {"began": 1.5, "cpu": 0.25, "peak": None, "worker": "worker 3", "run": "20261201T101010-abcdef"}
    assert expected | {"data": 7} == {name: told[name] for name in (*expected, "data")}
    assert about_result(Facts("", {}))["run"] is None


def test_a_record_of_an_older_version_has_fewer_fields() -> None:
    """It is read as before, and what it does not say is missing."""
    old = {"versions": {"python": "3.11.7"}, "host": "there", "pid": 1, "ended": 2.0, "seconds": 0.5}

    version = version_from(PLACE, "path", {**written(VERSION), "about": old})

    assert old == version.about
    assert record_text(version) == json.dumps(json.loads(record_text(version)), separators=(",", ":"))


def test_about_tells_what_cannot_be_watched() -> None:
    """Where there is something."""
    untracked = ["attribute model (a Model)"]

    assert untracked == about_result(Facts("", {}, untracked=untracked))["untracked"]


PLAIN = st.text("0123456789abcdef", max_size=4)
PLAIN_STAMPS = st.builds(Stamp, PLAIN, PLAIN)
PLAIN_RECORDS = st.builds(
    Record,
    st.integers(1),
    PLAIN,
    PLAIN_STAMPS,
    PLAIN,
    st.dictionaries(PLAIN, PLAIN_STAMPS),
    st.dictionaries(PLAIN, PLAIN),
)


@few
@given(RECORDS | PLAIN_RECORDS, st.integers(0), st.floats(0, 2e9), st.booleans())
def test_a_record_is_read_as_the_decoder_reads_it(record: Record, size: int, seconds: float, captured: bool) -> None:
    """Whatever stands in it, and whether it is of the usual shape or not."""
    told = about_result(Facts("", {}, seconds=seconds), captured=captured)
    text = record_text(Version(PLACE, "path", record, size, "digest", size, "digest", told))

    assert json_object(text) == json.loads(text)


def test_a_record_with_many_needs() -> None:
    """It is read as all others are."""
    needs = {f"{number:032x}": Stamp("order", "value") for number in range(500)}
    text = record_text(replace(VERSION, record=replace(RECORD, needs=needs), about=about_result(Facts("", {}))))

    assert json.loads(text) == json_object(text)
    assert needs == version_from(PLACE, "path", json_object(text)).record.needs


def test_readers_are_told_no_more_than_they_may_ask() -> None:
    """The versions of the software, in one mapping for all; of a file outside where it lies and what it looked like."""
    versions = [replace(VERSION, head=head, about=about_result(Facts("", {}))) for head in (1, 2)]
    one, other = (json_object(record_text(version))["about"] for version in versions)
    outside = {"path": "p", "signs": "s", "host": "h"}

    assert {"versions"} == set(about_for_readers(one))
    assert about_for_readers(one) is about_for_readers(other)
    assert about_for_readers(one) == about_for_readers(dict(one))
    assert {"path": "p", "signs": "s"} == about_for_readers(outside)


def test_a_record_names_the_packages() -> None:
    """Beside Python, in the form that is read quickly; a record without them says nothing of any."""
    facts = Facts("", {}, seconds=0.5, packages={"numpy": "1.26.4", "yaml": "6.0"})
    found = version_from(PLACE, "path", json_object(record_text(replace(VERSION, about=about_result(facts)))))
    usual = replace(VERSION, about=about_result(Facts("", {}, seconds=0.5)))
    plain = version_from(PLACE, "path", json_object(record_text(usual)))

    assert package_versions(found.about) == {**package_versions(plain.about), "numpy": "1.26.4", "yaml": "6.0"}
    assert list(package_versions(plain.about)) == ["python"]
    assert type(found.about) is type(plain.about)
    assert record_text(found) == json.dumps(json.loads(record_text(found)), separators=(",", ":"))
