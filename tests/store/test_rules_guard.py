"""Who may write a cache folder: others are refused unless they are trusted."""
from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from taskproc.errors import CacheError
from taskproc.store.cache import Cache
from taskproc.store.marks import Mark
from taskproc.store.rules import CacheRules, is_private_group, own_uid, refuse_exposed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="access is told otherwise there")


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """The groups that there are, by number."""
    import grp

    known: dict[int, Any] = {}
    monkeypatch.setattr(grp, "getgrgid", known.__getitem__)
    return known


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """The users that have a name, by number."""
    import pwd

    known = {own_uid(): SimpleNamespace(pw_name="me"), 4242: SimpleNamespace(pw_name="colleague")}
    monkeypatch.setattr(pwd, "getpwuid", known.__getitem__)
    return known


def group(name: str, *members: str) -> Any:
    return SimpleNamespace(gr_name=name, gr_mem=list(members))


def refusal(folder: Path, rules: CacheRules | None = None) -> str:
    try:
        refuse_exposed(folder, rules or CacheRules())
    except CacheError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("mode", "exposed"),
    [(0o755, False), (0o700, False), (0o777, True), (0o757, True), (0o1777, False), (0o775, True), (0o2775, True)],
    ids=oct,
)
def test_modes(tmp_path: Path, groups: dict[int, Any], users: dict[int, Any], mode: int, exposed: bool) -> None:
    """Writable by others is refused, with two remedies; the sticky bit keeps others from moving what is ours."""
    groups[tmp_path.stat().st_gid] = group("staff", "colleague")
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)

    text = refusal(folder)

    assert exposed == ("can be written by" in text)
    if exposed:
        assert f"chmod go-w {str(folder)!r}, or use Cache(..., shared=True)" in text
        with pytest.raises(CacheError, match="can be written by"), Cache(folder):
            pass
        with Cache(folder, shared=True):
            pass
        folder.chmod(mode & ~0o022)
        assert "" == refusal(folder)


@pytest.mark.parametrize(
    ("found", "private"),
    [
        (group("me"), True),
        (group("me", "me"), True),
        (group("me", "colleague"), False),
        (group("staff"), False),
        (group("staff", "me"), False),
        (group("colleague"), False),
        (None, False),
    ],
    ids=str,
)
def test_private_groups(groups: dict[int, Any], users: dict[int, Any], found: Any, private: bool) -> None:
    """A group of the user's own name without another member is private; one without a name is not."""
    if found is not None:
        groups[77] = found

    assert private == is_private_group(77, CacheRules())


def test_groups_of_who_began_the_run(groups: dict[int, Any], users: dict[int, Any]) -> None:
    """Files of this user are trusted, so the user's own group is."""
    groups[77] = group("colleague", "me")

    assert [False, True] == [is_private_group(77, CacheRules(owners=frozenset(owners))) for owners in ([], [4242])]


def test_a_group_without_a_name(groups: dict[int, Any], users: dict[int, Any]) -> None:
    """In a container neither user nor group may have a name: then the numbers tell."""
    users.clear()

    assert [True, False] == [is_private_group(number, CacheRules(owners=frozenset({1000}))) for number in (1000, 1001)]


def test_a_folder_of_another_user(tmp_path: Path, users: dict[int, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by name, unless the user is trusted; only the owner can change the mode."""
    real = Path.stat

    def foreign(path: Path, **options: Any) -> os.stat_result:
        values = list(real(path, **options))
        values[4] = 4242
        return os.stat_result(values)

    monkeypatch.setattr(Path, "stat", foreign)

    text = refusal(tmp_path)

    assert "belongs to another user (colleague, uid 4242)" in text
    assert "Use a folder of your own, or use Cache(..., shared=True)" in text
    assert ["", ""] == [
        refusal(tmp_path, rules) for rules in (CacheRules(shared=True), CacheRules(owners=frozenset({4242})))
    ]


@pytest.mark.parametrize("shared", [False, True])
def test_a_new_cache_is_not_refused(tmp_path: Path, groups: dict[int, Any], shared: bool) -> None:
    """Whatever the umask: the folder that we make is for us alone, unless it is to be shared."""
    groups[tmp_path.stat().st_gid] = group("staff", "colleague")
    before = os.umask(0o002)
    try:
        for _ in range(2):
            with Cache(tmp_path / "deep" / "cache", shared=shared) as cache:
                Mark(str(cache.path), shared=shared).close()
    finally:
        os.umask(before)

    modes = [stat.S_IMODE((tmp_path / path).stat().st_mode) for path in ("deep", "deep/cache", "deep/cache/run")]
    assert [0o775, *[0o775 if shared else 0o755] * 2] == modes


def test_an_exposed_run_folder_is_refused(tmp_path: Path, groups: dict[int, Any]) -> None:
    """What runs send to their far ends is reached through it."""
    groups[tmp_path.stat().st_gid] = group("staff", "colleague")
    with Cache(tmp_path / "cache") as cache:
        (cache.path / "run").mkdir()
    (cache.path / "run").chmod(0o770)

    assert "'staff'" in refusal(cache.path)
    assert str(cache.path / "run") in refusal(cache.path)


def test_what_a_run_sends_is_its_own(tmp_path: Path) -> None:
    """Its folder is closed to others, whatever the umask and however the cache is shared."""
    before = os.umask(0)
    try:
        mark = Mark(str(tmp_path), shared=True)
    finally:
        os.umask(before)

    assert 0o700 == stat.S_IMODE(mark.folder.stat().st_mode)
    mark.close()


def test_nothing_there_is_no_exposure(tmp_path: Path) -> None:
    """A folder that is not made yet."""
    assert "" == refusal(tmp_path / "nowhere")
