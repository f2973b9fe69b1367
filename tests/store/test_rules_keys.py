"""Authenticity: what was not signed with the key is not believed, and the key is seen by nobody."""
from __future__ import annotations

import os
import pickle
import stat
import traceback
import warnings
from pathlib import Path
from typing import Any

import pytest
from faults import PLACE, Hooked, Runs, claimed, facts, place_of, publish

from taskproc.errors import CacheError, CorruptedResult, MissingResult
from taskproc.store import folder
from taskproc.store.cache import Cache
from taskproc.store.check import check
from taskproc.store.disk import DiskStore
from taskproc.store.rules import CacheRules, Key, make_key_file, own_uid

posix = pytest.mark.skipif(os.name != "posix", reason="access is told otherwise there")


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """A cache warns once per program, and each test counts as one."""
    folder._warned.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    folder._warned.clear()


def key_file(path: Path, content: bytes = b"0123456789abcdef", mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


class TestKeyFile:
    """The file of a key."""

    def test_is_made(self, tmp_path: Path) -> None:
        """Random, for its owner only, whatever the umask; it is a key."""
        paths = [tmp_path / name for name in "ab"]
        before = os.umask(0)
        try:
            for path in paths:
                make_key_file(path)
        finally:
            os.umask(before)

        assert [0o600, 0o600] == [stat.S_IMODE(path.stat().st_mode) for path in paths]
        one, two = (path.read_bytes() for path in paths)
        assert one != two
        assert 32 == len(bytes.fromhex(one.decode()))
        assert Key(str(paths[0])).sign(b"a") != Key(str(paths[1])).sign(b"a")

    def test_is_never_replaced(self, tmp_path: Path) -> None:
        """It would make every result unreadable."""
        make_key_file(tmp_path / "key")
        before = (tmp_path / "key").read_bytes()

        with pytest.raises(CacheError, match="already exists"):
            make_key_file(str(tmp_path / "key"))
        with pytest.raises(CacheError, match="cannot be created"):
            make_key_file(tmp_path / "no" / "key")
        assert before == (tmp_path / "key").read_bytes()

    def test_may_end_in_a_line_break(self, tmp_path: Path) -> None:
        """An editor may have added it."""
        one, two = key_file(tmp_path / "a"), key_file(tmp_path / "b", b"0123456789abcdef\r\n")

        assert Key(str(one)).sign(b"x") == Key(str(two)).sign(b"x")

    @pytest.mark.parametrize(("size", "works"), [(15, False), (16, True), (4096, True), (4097, False), (0, False)])
    def test_has_a_size(self, tmp_path: Path, size: int, works: bool) -> None:
        """A short key is not secret, a long one is another file."""
        path = key_file(tmp_path / "key", b"k" * size)
        if works:
            assert 32 == len(Key(str(path)).sign(b""))
        else:
            with pytest.raises(CacheError, match="16 to 4,096 bytes, got .*make_key_file"):
                Key(str(path))

    @posix
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o601])
    def test_is_nobody_elses(self, tmp_path: Path, mode: int) -> None:
        """A file that others can read or write is not secret; the message has the remedy."""
        with pytest.raises(CacheError, match="other users may read or write it: chmod 600"):
            Key(str(key_file(tmp_path / "key", mode=mode)))

    def test_may_be_read_only(self, tmp_path: Path) -> None:
        """0400 is as good."""
        assert Key(str(key_file(tmp_path / "key", mode=0o400))).sign(b"")

    @posix
    def test_of_another_user(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """That user knows the key: refused, unless it is the one who began the run."""
        path = key_file(tmp_path / "key")
        real = os.fstat

        def foreign(handle: int) -> os.stat_result:
            values = list(real(handle))
            values[4] = own_uid() + 4242
            return os.stat_result(values)

        monkeypatch.setattr(os, "fstat", foreign)

        with pytest.raises(CacheError, match=f"another user .uid {own_uid() + 4242}"):
            Key(str(path))
        assert Key(str(path), frozenset({own_uid() + 4242})).sign(b"")

    @posix
    def test_must_be_a_file(self, tmp_path: Path) -> None:
        """A directory, a pipe without an end, nothing."""
        os.mkfifo(tmp_path / "pipe")

        for path, words in ((tmp_path, "not a regular"), (tmp_path / "pipe", "not a regular"), (tmp_path / "x", "not")):
            with pytest.raises(CacheError, match=words):
                Key(str(path))


class TestSecrecy:
    """The key is in its file and in memory, and nowhere else."""

    def test_of_what_is_shown_and_sent(self, tmp_path: Path) -> None:
        """Neither what is printed nor what is pickled has it; what was pickled signs as before."""
        secret = b"correct horse battery"
        cache = Cache(tmp_path / "cache", key_file=key_file(tmp_path / "key", secret))
        key = cache.store.key
        assert key is not None

        sent = pickle.dumps([key, cache.store.rules])
        shown = repr([key, cache, cache.store.rules, vars(cache.store)])

        assert secret not in sent
        assert secret.decode() not in shown
        assert key.sign(b"x") == pickle.loads(sent)[0].sign(b"x")

    def test_of_a_traceback(self, tmp_path: Path) -> None:
        """Not even with the variables of every frame."""
        path = str(key_file(tmp_path / "key", b"".join([b"secret"] * 2)))

        with pytest.raises(CacheError) as caught:
            Key(path)
        text = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())

        assert "Key(" in text
        assert "secretsecret" not in text

    def test_of_a_run(self, tmp_path: Path) -> None:
        """No file of the cache has it."""
        secret = b"correct horse battery"
        store = signing(tmp_path, key_file(tmp_path / "key", secret))
        version = publish(store, "value")
        store.accept(PLACE, version, "a" * 64)

        files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]

        assert len(files) >= 3
        assert not [path for path in files if secret in path.read_bytes()]


def signing(tmp_path: Path, path: Path | None, files: Any = None) -> DiskStore:
    """A store whose results are signed with the key in `path`."""
    (tmp_path / "cache").mkdir(exist_ok=True)
    return DiskStore(str(tmp_path / "cache"), "token", files, CacheRules(key_file=path and str(path)))


def kinds(store: DiskStore) -> list[str]:
    return [found.kind for found in check(store)]


class TestSignedResults:
    """A result is a version for whoever has the key that it was signed with."""

    @pytest.fixture
    def key(self, tmp_path: Path) -> Path:
        return key_file(tmp_path / "key")

    def test_with_the_key(self, tmp_path: Path, key: Path) -> None:
        """It is found, loaded, and sound; its footer has the same length, so it is read as before."""
        version = publish(signing(tmp_path, key), {"answer": 42})

        (found,) = signing(tmp_path, key).look(PLACE)

        assert version == found
        assert {"answer": 42} == signing(tmp_path, key).load(found)
        assert [] == kinds(signing(tmp_path, key))
        content = Path(version.path).read_bytes()
        record = content[version.size : -66]
        assert content[-42:-10] == Key(str(key)).sign(record)

    @pytest.mark.parametrize(
        ("writer", "reader", "kind", "words"),
        [
            (None, "key", "unsigned", "is not signed, but a key_file was given"),
            ("other", "key", "unsigned", "signed with another key"),
            ("key", None, "signed", "is signed, but no key_file was given"),
        ],
    )
    def test_without_it(
        self, tmp_path: Path, key: Path, writer: str | None, reader: str | None, kind: str, words: str
    ) -> None:
        """It is skipped with a warning, and another version can be made beside it."""
        key_file(tmp_path / "other", b"another key 0123")
        publish(signing(tmp_path, writer and tmp_path / writer), "theirs")
        store = signing(tmp_path, reader and tmp_path / reader)

        with pytest.warns(RuntimeWarning, match=f"result.1.pkl.gz is skipped: it .*{words.split()[-1]}"):
            assert [] == list(store.look(PLACE))

        assert words in store.passed_over[PLACE]
        assert [kind] == kinds(store)
        assert 2 == publish(store, "ours").record.number
        assert ["ours"] == [store.load(version) for version in store.look(PLACE)]
        assert [kind] == kinds(store)

    def test_every_bit_counts(self, tmp_path: Path, key: Path) -> None:
        """Whatever is changed in head, payload, record or footer is found before one byte is unpickled."""
        store = signing(tmp_path, key)
        path = Path(publish(store, {"answer": 42}).path)
        content = path.read_bytes()

        seen = set()
        for position in range(0, len(content), 2):
            path.unlink(missing_ok=True)
            path.write_bytes(
                content[:position] + bytes([content[position] ^ 1 << position % 8]) + content[position + 1 :]
            )
            versions = list(store.look(PLACE))
            if versions:
                with pytest.raises(CorruptedResult):
                    store.load(versions[0])
            seen.add(bool(versions))

        assert {True, False} == seen

    def test_a_forged_record_is_not_believed(self, tmp_path: Path, key: Path) -> None:
        """Somebody without the key who makes a whole result, digests and all, makes no version."""
        forger = signing(tmp_path, None)
        forged = publish(forger, "forged")
        content = bytearray(Path(forged.path).read_bytes())
        content[-54:-52] = b"TS"  # calls its digest a signature
        Path(forged.path).write_bytes(bytes(content))

        assert [] == list(signing(tmp_path, key).look(PLACE))
        assert ["unsigned"] == kinds(signing(tmp_path, key))

    def test_nothing_is_parsed_before_it_is_verified(
        self, tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A record that was not signed with the key is not even read as JSON."""
        publish(signing(tmp_path, None), "theirs")

        def never(text: str) -> Any:
            raise AssertionError("it was parsed")

        monkeypatch.setattr(folder, "json_object", never)

        assert [] == list(signing(tmp_path, key).look(PLACE))

    def test_a_version_that_was_swapped_is_not_loaded(self, tmp_path: Path, key: Path) -> None:
        """Between the look and the load: the digests that are compared are those that were signed."""
        store = signing(tmp_path, key)
        version = publish(store, "good")
        Path(version.path).unlink()
        place_of(store).rename(tmp_path / "gone")
        publish(signing(tmp_path, None), "evil")

        with pytest.raises(MissingResult):
            store.load(version)

    def test_a_key_that_vanished_stops_the_run(self, tmp_path: Path, key: Path) -> None:
        """The results are not taken for those of another user."""
        publish(signing(tmp_path, key), 1)
        key.unlink()

        with pytest.raises(CacheError, match="does not exist"):
            list(signing(tmp_path, key).look(PLACE))


def test_the_environment_names_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the program names none; an empty name is none."""
    one, two = key_file(tmp_path / "one"), key_file(tmp_path / "two")
    monkeypatch.chdir(tmp_path)

    monkeypatch.setenv("TASKPROC_KEY_FILE", "one")
    named = [Cache(tmp_path).store.rules.key_file, Cache(tmp_path, key_file=two).store.rules.key_file]
    monkeypatch.setenv("TASKPROC_KEY_FILE", "")

    assert [str(one), str(two), None] == [*named, Cache(tmp_path).store.rules.key_file]


def test_a_wrong_key_fails_where_it_is_given(tmp_path: Path) -> None:
    """Not at the first result."""
    with pytest.raises(CacheError, match="does not exist. Create one with taskproc.make_key_file"):
        Cache(tmp_path / "cache", key_file=tmp_path / "nowhere")

    assert not (tmp_path / "cache").exists()


def test_the_warning_comes_once(tmp_path: Path) -> None:
    """A cache of ten thousand such results has one story to tell; claims tell it to nobody."""
    publish(signing(tmp_path, None), 1)
    store = signing(tmp_path, key_file(tmp_path / "key"))

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        claimed(store).fail({})
        assert [] == heard
        for _ in range(3):
            list(store.look(PLACE))

    assert [RuntimeWarning] == [each.category for each in heard]


class Owned(Hooked):
    """Says that every file is another user's."""

    def size_and_owner(self, handle: int) -> tuple[int, int]:
        """As it is, but for the owner."""
        return super().size_and_owner(handle)[0], 4242

    def tail(self, folder: Any, name: str, most: int) -> tuple[bytes, int, int]:
        """The same."""
        return (*super().tail(folder, name, most)[:2], 4242)


class TestForeignResults:
    """What belongs to another user is not believed, however whole it is."""

    @pytest.mark.parametrize("rules", [CacheRules(shared=True), CacheRules(owners=frozenset({4242}))])
    def test_that_are_trusted(self, runs: Runs, rules: CacheRules) -> None:
        """Shared, or made by who began the run."""
        publish(runs.begin(), "value")
        store = DiskStore(runs.root, files=Owned(), rules=rules)

        (version,) = store.look(PLACE)

        assert "value" == store.load(version)
        assert [] == kinds(store)

    def test_that_are_not(self, runs: Runs) -> None:
        """No version; said once, found by `check`; not loaded by who knows where it lies."""
        version = publish(runs.begin(), "value")
        store = DiskStore(runs.root, files=Owned())

        with pytest.warns(RuntimeWarning, match=r"result.1.pkl.gz is skipped: .*\(uid 4242\).*shared=True"):
            assert [] == list(store.look(PLACE))

        assert "another user" in store.passed_over[PLACE]
        assert ["foreign"] == kinds(store)
        with pytest.raises(MissingResult, match="another user"):
            store.load(version)

    def test_cost_no_other_operation(self, runs: Runs) -> None:
        """The owner comes from the open descriptor, so it is the owner of the bytes that are read."""

        class Noting(Hooked):
            noted: list[str] = []

            def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
                self.noted.append(operation)

        publish(runs.begin(), 1)
        list(DiskStore(runs.root, files=Noting()).look(PLACE))

        expected = "open_folder listdir tail close_folder"
        assert expected.split() == Noting.noted


@pytest.mark.skipif(own_uid() != 0, reason="only root can give a file away")
def test_a_file_that_was_given_away(runs: Runs) -> None:
    """The owner is that of the file system."""
    version = publish(runs.begin(), "value")
    os.chown(version.path, 4242, 4242)

    assert [] == list(DiskStore(runs.root).look(PLACE))
    assert [version] == list(DiskStore(runs.root, rules=CacheRules(owners=frozenset({4242}))).look(PLACE))


def test_facts_are_signed(tmp_path: Path) -> None:
    """What a version was made from is part of what was signed."""
    store = signing(tmp_path, key_file(tmp_path / "key"))
    path = Path(publish(store, 1, made_from=facts(code="abc123")).path)
    path.write_bytes(path.read_bytes().replace(b"abc123", b"abc124"))

    assert [] == list(store.look(PLACE))
