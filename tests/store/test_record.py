"""The record of a version in JSON."""
from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from faults import OTHER, PLACE, few
from hypothesis import given
from hypothesis import strategies as st

from taskproc.frozen import replace
from taskproc.kernel.model import Record, Stamp
from taskproc.store.base import Facts, Place, Version
from taskproc.store.record import _shape, about, for_readers, packages_of, parse, text_of, version_of

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


def content_of(version: Version) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(text_of(version))
    return content


@few
@given(RECORDS, st.text(), st.booleans())
def test_a_record_is_as_the_encoder_writes_it(record: Record, text: str, here: bool) -> None:
    """Byte for byte."""
    facts = Facts("", {}, untracked=[] if here else [text])
    version = Version(Place(text, 1, text), "path", record, about=about(facts))

    assert text_of(version) == json.dumps(json.loads(text_of(version)), separators=(",", ":"))
    assert json.loads(text_of(version))["about"] == version.about


@few
@given(RECORDS, st.integers(0, 1 << 60), st.text())
def test_a_record_comes_back(record: Record, size: int, digest: str) -> None:
    """Through JSON, with everything that it says."""
    version = Version(PLACE, "path", record, size, digest, size, digest, {"host": digest})

    assert version == version_of(PLACE, "path", json.loads(text_of(version)))


def test_a_record_of_another_task_is_refused() -> None:
    """The key decides, not where it lies."""
    with pytest.raises(ValueError, match="another task"):
        version_of(OTHER, "path", content_of(VERSION))


def test_a_record_of_another_format_is_refused() -> None:
    """Older and newer ones are misses: they are computed again beside it."""
    with pytest.raises(ValueError, match="another format"):
        version_of(PLACE, "path", {**content_of(VERSION), "format": 2})


@pytest.mark.parametrize("field", [name for name in content_of(VERSION) if name != "name"])
def test_a_record_without_a_field_is_refused(field: str) -> None:
    """One of three errors, which the reader takes for damage."""
    content: dict[str, Any] = content_of(VERSION)
    del content[field]

    with pytest.raises((ValueError, KeyError, TypeError)):
        version_of(PLACE, "path", content)


def test_unknown_fields_are_passed_over() -> None:
    """What a later release adds does not hide a result from this one."""
    assert VERSION == version_of(PLACE, "path", {**content_of(VERSION), "later": 1})


def test_about_is_ready_for_json() -> None:
    """What is kept for people can be written, and says how long it took."""
    told = json.loads(json.dumps(about(Facts("", {}, seconds=1.23456789))))

    assert 1.234568 == told["seconds"]
    assert {"versions", "host", "pid", "ended", "seconds"} == set(told)


def test_about_tells_what_cannot_be_watched() -> None:
    """Where there is something."""
    assert ["attribute model (a Model)"] == about(Facts("", {}, untracked=["attribute model (a Model)"]))["untracked"]


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
    told = about(Facts("", {}, seconds=seconds), captured=captured)
    text = text_of(Version(PLACE, "path", record, size, "digest", size, "digest", told))

    assert dict(parse(text)) == json.loads(text)


def test_what_is_usual_needs_no_decoder() -> None:
    """As it is written by hand, with needs and without; what somebody reads of the facts is there."""
    alone = Version(PLACE, "path", Record(1, "a", Stamp("b", "c"), "d", {}), 1, "e", 2, "f", about(Facts("", {})))
    below = replace(alone, record=RECORD)
    silent = replace(alone, about=about(Facts("", {}), captured=False))

    assert all(_shape().fullmatch(text_of(version)) for version in (alone, below, silent))
    assert silent.about == parse(text_of(silent))["about"]
    assert alone.about == parse(text_of(alone))["about"]
    assert pickle.loads(pickle.dumps(parse(text_of(alone))["about"])) == alone.about


USUAL = text_of(Version(PLACE, "path", RECORD, 1, "e", 2, "f", about(Facts("", {}))))


@few
@given(st.integers(0, len(USUAL) - 1), st.sampled_from('"\\,:[]{} 0a'), st.booleans())
def test_another_shape_is_left_to_the_decoder(at: int, letter: str, replaces: bool) -> None:
    """One letter more or another one: what is read is what JSON says, or refused as JSON refuses it."""
    text = USUAL[:at] + letter + USUAL[at + replaces :]
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011  # of many texts
            parse(text)
        return

    assert dict(parse(text)) == expected


def test_a_record_with_many_needs() -> None:
    """It is read as all others are."""
    needs = {f"{number:032x}": Stamp("order", "value") for number in range(500)}
    text = text_of(replace(VERSION, record=replace(RECORD, needs=needs), about=about(Facts("", {}))))

    assert json.loads(text) == dict(parse(text))
    assert needs == version_of(PLACE, "path", parse(text)).record.needs


def test_readers_are_told_no_more_than_they_may_ask() -> None:
    """The versions of the software, in one mapping for all; of a file outside where it lies and what it looked like."""
    one, other = (parse(text_of(replace(VERSION, head=head, about=about(Facts("", {})))))["about"] for head in (1, 2))
    outside = {"path": "p", "signs": "s", "host": "h"}

    assert {"versions"} == set(for_readers(one))
    assert for_readers(one) is for_readers(other)
    assert for_readers(one) == for_readers(dict(one))
    assert {"path": "p", "signs": "s"} == for_readers(outside)


def test_a_record_names_the_packages() -> None:
    """Beside Python, in the form that is read quickly; a record without them says nothing of any."""
    facts = Facts("", {}, seconds=0.5, packages={"numpy": "1.26.4", "yaml": "6.0"})
    found = version_of(PLACE, "path", parse(text_of(replace(VERSION, about=about(facts)))))
    plain = version_of(PLACE, "path", parse(text_of(replace(VERSION, about=about(Facts("", {}, seconds=0.5))))))

    assert packages_of(found.about) == {**packages_of(plain.about), "numpy": "1.26.4", "yaml": "6.0"}
    assert list(packages_of(plain.about)) == ["python"]
    assert type(found.about) is type(plain.about)
    assert text_of(found) == json.dumps(json.loads(text_of(found)), separators=(",", ":"))
