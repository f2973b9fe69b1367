"""A fingerprint that is stored in an older format is compared with the present code."""
from __future__ import annotations

from typing import Any

import pytest

from taskproc.source.fingerprint import FORMAT, Fingerprint, is_older, is_same
from taskproc.source.syntax import digest

CLEAN = "def clean(x):\n    return x\n"


def then(**texts: str) -> dict[str, Any]:
    """A fingerprint as stored in the first format: a constant, with a name in capitals, has the digest of its JSON."""
    items = {f"m:{name}": digest(text if name.isupper() else f"then {text}") for name, text in texts.items()}
    return {"items": items, "texts": {f"m:{name}": text for name, text in texts.items()}, "untracked": []}


def now(**texts: str) -> Fingerprint:
    """Code with these items, whose digests are all new."""
    shown = {f"m:{name}": text for name, text in texts.items()}
    return Fingerprint({item: digest(f"now {text}") for item, text in shown.items()}, shown, (), "")


def test_the_first_way_did_not_say_its_number() -> None:
    """Later formats have a number."""
    assert [is_older(each) for each in ({}, {"format": FORMAT - 1}, {"format": FORMAT}, {"format": FORMAT + 1})] == [
        True, True, False, False
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"clean": CLEAN}, {"clean": CLEAN}),
        ({"clean": CLEAN}, {"clean": CLEAN, "more": "def more(): pass\n", "N": "N = 1\n"}),
        ({"clean": CLEAN + "# x is m:a\n"}, {"clean": CLEAN + "# x is m:a\n# y = 5\n"}),
        ({"clean": CLEAN + "# a.b is m:b\n", "b": "def b(): 1\n"}, {"clean": CLEAN, "b": "def b(): 1\n"}),
        ({"N": "5"}, {"N": "N = 5\n"}),
        ({"N": "[1,2]"}, {"N": "N: list[int] = [1, 2]  # two\n"}),
        ({"N": "5"}, {"N": "N = 2 + 3\n# N = 5\n"}),
        ({"N": "5"}, {"N": "N = 2\nN += 3\n# = 5\n"}),
        ({"N": '{"a":1}'}, {"N": "N = {'a': 1}\n"}),
        ({"N": "5"}, {"N": "5"}),
    ],
)
def test_the_same_text_is_the_same_code(before: dict[str, str], after: dict[str, str]) -> None:
    """New items do not matter; a constant is compared by its value."""
    assert is_same(then(**before), now(**after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"clean": CLEAN}, {"clean": CLEAN.replace("return x", "return 2 * x")}),
        ({"clean": CLEAN}, {}),
        ({"clean": CLEAN, "N": "5"}, {"clean": CLEAN}),
        ({"clean": CLEAN + "# x is m:a\n"}, {"clean": CLEAN + "# x is m:b\n"}),
        ({"clean": CLEAN + "# x is m:a\n"}, {"clean": CLEAN}),
        ({"clean": CLEAN + "# x is m:a\n", "a": "def a(): 1\n"}, {"clean": CLEAN, "a": "def a(): 1\n"}),
        ({"clean": CLEAN + "# b is m:b\n", "b": "def b(): 1\n"}, {"clean": CLEAN + "# b is n\n", "b": "def b(): 1\n"}),
        ({"clean": CLEAN + "# b is m:b\n", "b": "def b(): 1\n"},
         {"clean": CLEAN, "b": "def b(): 1\n", "A.b": "def b(): 2\n"}),
        ({"clean": CLEAN + "# x = 5\n"}, {"clean": CLEAN}),
        ({"clean": ""}, {"clean": ""}),
        ({"N": "5"}, {"N": "N = 6\n"}),
        ({"N": "5"}, {"N": "N = '5'\n"}),
        ({"N": "5"}, {"N": "N = 5\nN = 6\n"}),
        ({"N": "5"}, {"N": "N = f(5)\n"}),
        ({"N": "5"}, {"N": "N = (\n"}),
    ],
)  # fmt: skip
def test_another_text_is_none(before: dict[str, str], after: dict[str, str]) -> None:
    """Neither is a missing item, a name for another object, bytecode, or a constant without a visible value."""
    assert not is_same(then(**before), now(**after))


@pytest.mark.parametrize(
    "torn", [{}, {"items": []}, {"items": {"m:f": 1}, "texts": 5}, {"items": {"m:f": 1}, "texts": {}}]
)
def test_what_is_torn_is_not_the_same(torn: dict[str, Any]) -> None:
    """A damaged entry counts as changed."""
    assert not is_same(torn, now(f=CLEAN))
