"""Code that is accepted for a version: bound to that very version, and to nothing else."""
from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from faults import OTHER, PLACE, Failing, Hooked, Runs, arguments, failure, newest, place_of, publish

from taskproc.errors import CacheError, MissingResult
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.rules import CacheRules
from taskproc.store.version import Version

A, B = "a" * 64, "b" * 64


def accepted(store: Any) -> list[frozenset[str]]:
    """Of each version, newest first."""
    return [version.record.accepted for version in store.look(PLACE)]


def found(store: DiskStore) -> dict[str, str]:
    return {Path(each.path).name: each.kind for each in check(store)}


def test_it_adds_up(runs: Runs) -> None:
    """One after the other, by whomever; the other versions have none of it."""
    store = runs.begin()
    first, second = publish(store, 1), publish(store, 2)

    store.accept(PLACE, first, A)
    runs.begin().accept(PLACE, first, B)
    store.accept(PLACE, second, B)
    store.accept(PLACE, second, B)

    assert [frozenset({B}), frozenset({A, B})] == accepted(DiskStore(runs.root))
    assert {} == found(store)


def test_a_claim_sees_it(runs: Runs) -> None:
    """The caller that picks sees it."""
    store = runs.begin()
    store.accept(PLACE, publish(store, 1), A)

    answer = store.claim(PLACE, arguments, newest)

    assert isinstance(answer, Version)
    assert {A} == answer.record.accepted
    assert 1 == store.load(answer)


def test_a_version_that_is_gone(runs: Runs) -> None:
    """After a clear, or when it was computed again, the version that was seen does not exist."""
    store = runs.begin()
    version = publish(store, 1)
    store.clear(PLACE)

    with pytest.raises(MissingResult, match="does not exist any more"):
        store.accept(PLACE, version, A)
    publish(store, 2)
    with pytest.raises(MissingResult, match="computed again"):
        store.accept(PLACE, version, A)
    assert [frozenset()] == accepted(store)


def test_it_is_bound_to_its_version(runs: Runs) -> None:
    """Copied beside another one, of the same value even, it says nothing."""
    store = runs.begin()
    store.accept(PLACE, publish(store, 1), A)
    publish(store, 1)
    shutil.copy(place_of(store) / "accept.1.json", place_of(store) / "accept.2.json")
    shutil.copy(place_of(store) / "accept.1.json", place_of(store) / "accept.3.json")

    assert [frozenset(), frozenset({A})] == accepted(store)
    assert {"accept.2.json": "leftover", "accept.3.json": "orphan"} == found(store)


DAMAGE: dict[str, bytes] = {
    "empty": b"",
    "garbage": b"\x00\xff{",
    "a list": b"[]",
    "null": b"null",
    "a string": b'"codes"',
    "no codes": b"{}",
    "codes are no list": b'{"codes": 1}',
    "codes are a mapping": b'{"codes": {"a": 1}}',
    "deep": b"[" * 100_000,
    "large": b" " * (1 << 20) + b"{}",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_torn_says_nothing(runs: Runs, damage: str) -> None:
    """The version is as good as before; `check` tells; the next acceptance mends it."""
    store = runs.begin()
    version = publish(store, 1)
    store.accept(PLACE, version, A)
    (place_of(store) / "accept.1.json").write_bytes(DAMAGE[damage])

    assert [frozenset()] == accepted(store)
    assert {"accept.1.json": "leftover"} == found(store)
    store.accept(PLACE, version, B)
    assert [frozenset({B})] == accepted(store)


def test_every_truncation_says_nothing_or_all(runs: Runs) -> None:
    """Never something else."""
    store = runs.begin()
    store.accept(PLACE, publish(store, 1), A)
    path = place_of(store) / "accept.1.json"
    content = path.read_bytes()

    seen = set()
    for length in range(len(content) + 1):
        path.unlink()
        path.write_bytes(content[:length])
        seen.update(accepted(store))

    assert {frozenset(), frozenset({A})} == seen


class TestSigned:
    """Where results are signed, so is what is accepted for them."""

    @pytest.fixture
    def signed(self, runs: Runs, tmp_path: Path) -> DiskStore:
        (tmp_path / "key").write_bytes(b"k" * 16)
        (tmp_path / "key").chmod(0o600)
        return DiskStore(runs.root, runs.begin().token, rules=CacheRules(key_file=str(tmp_path / "key")))

    def test_with_the_key(self, signed: DiskStore) -> None:
        """It is believed."""
        version = publish(signed, 1)
        signed.accept(PLACE, version, A)
        signed.accept(PLACE, version, B)

        assert [frozenset({A, B})] == accepted(signed)
        assert [] == list(check(signed))

    @pytest.mark.parametrize("forgery", ["added", "unsigned", "wrong"])
    def test_without_it(self, signed: DiskStore, forgery: str) -> None:
        """A digest that was added by somebody else is not believed, nor is what stands beside it."""
        signed.accept(PLACE, publish(signed, 1), A)
        path = place_of(signed) / "accept.1.json"
        content = json.loads(path.read_text())
        if forgery == "added":
            content["codes"].append(B)
        elif forgery == "unsigned":
            del content["hmac"]
        else:
            content["hmac"] = "é" + content["hmac"][1:]
        path.write_text(json.dumps(content))

        assert [frozenset()] == accepted(signed)
        assert {"accept.1.json": "leftover"} == found(signed)


def test_of_another_user_it_says_nothing(runs: Runs) -> None:
    """Only the accept file is of another user."""

    class Owned(Hooked):
        accepts = False

        def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
            if operation == "read_only":
                self.accepts = "accept" in arguments[1]

        def size_and_owner(self, handle: int) -> tuple[int, int]:
            """As it is, or another owner."""
            size, owner = super().size_and_owner(handle)
            return size, 4242 if self.accepts else owner

    store = runs.begin()
    store.accept(PLACE, publish(store, 1), A)

    assert [frozenset()] == accepted(DiskStore(runs.root, files=Owned()))


@pytest.mark.parametrize("number", [28, 30, 13, 5], ids=["ENOSPC", "EROFS", "EACCES", "EIO"])
def test_errors(runs: Runs, number: int) -> None:
    """At every operation: CacheError with the cause; what was accepted stays so, nothing half is left."""
    store = runs.begin()
    version = publish(store, 1)
    store.accept(PLACE, version, A)

    at, failed = 0, []
    while True:
        at += 1
        files = Failing(number, at)
        writer = DiskStore(runs.root, files=files)
        error = failure(lambda writer=writer: writer.accept(PLACE, version, B), CacheError)
        if error is None:
            break
        assert runs.root in str(error)
        failed.append(files.failed)
        assert accepted(store) == [frozenset({A})]
        assert {} == found(store)

    assert ["make", "append", "sync", "rename"] == failed
    assert accepted(store) == [frozenset({A, B})]


def test_the_folder_of_another_task(runs: Runs) -> None:
    """A version is accepted where it lies."""
    store = runs.begin()
    version = publish(store, 1)
    publish(store, 1, OTHER)

    with pytest.raises(MissingResult):
        store.accept(OTHER, version, A)
