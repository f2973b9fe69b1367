"""The difference between two fingerprints, for people."""
from __future__ import annotations

from taskproc.source.fingerprint import code_difference


def test_each_item_that_changed_is_shown() -> None:
    """By name, with three lines of context; equal items are not shown."""
    old = {"m:a": "1\n2\n3\n4\n5\n", "m:b": "same\n", "m:gone": "x\n"}
    new = {"m:a": "1\n2\n3\n4\n6\n", "m:b": "same\n", "m:new": "y\n"}

    assert code_difference(old, new) == (
        "--- m:a (before)\n+++ m:a (now)\n@@ -2,4 +2,4 @@\n 2\n 3\n 4\n-5\n+6\n"
        "--- m:gone (before)\n+++ (is not there any more)\n@@ -1 +0,0 @@\n-x\n"
        "--- (was not there)\n+++ m:new (now)\n@@ -0,0 +1 @@\n+y\n"
    )


def test_equal_texts_have_no_difference() -> None:
    """The result is empty."""
    assert code_difference({"m:a": "1"}, {"m:a": "1"}) == ""


def test_a_long_difference_is_cut() -> None:
    """It ends after 60 lines and says how many are missing."""
    old, new = ({"m:a": "".join(f"{kind}{number}\n" for number in range(100))} for kind in "xy")
    lines = code_difference(old, new).splitlines()

    assert len(lines) == 60
    assert lines[-1] == "… 144 more lines"


def test_items_without_text_are_named() -> None:
    """Bytecode has no text, so only its name is shown."""
    assert code_difference({}, {"m:f": ""}) == "--- (was not there)\n+++ m:f (now)\n"


def test_a_line_ends_where_python_ends_it() -> None:
    """A form feed, and other characters at which `str.splitlines` splits, are part of a line."""
    for odd in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029":
        old, new = f"a = '{odd}'\nb = 1\n", f"a = '{odd}'\r\nb = 2\r"

        assert code_difference({"m:f": old}, {"m:f": new}) == (
            f"--- m:f (before)\n+++ m:f (now)\n@@ -1,2 +1,2 @@\n a = '{odd}'\n-b = 1\n+b = 2\n"
        )


def test_a_constant_is_shown_as_it_is_written() -> None:
    """Its value is shown only if the value has changed and the statements have not."""
    old = {"m:W": 'W = re.compile("a")\n# = {"__pattern__":["a",32]}\n', "m:N": "N = f()\n# = 1\n"}
    new = {"m:W": 'W = re.compile("b")\n# = {"__pattern__":["b",32]}\n', "m:N": "N = f()\n# = 2\n"}

    assert code_difference(old, new) == (
        "--- m:N (before)\n+++ m:N (now)\n@@ -1,2 +1,2 @@\n N = f()\n-# = 1\n+# = 2\n"
        '--- m:W (before)\n+++ m:W (now)\n@@ -1 +1 @@\n-W = re.compile("a")\n+W = re.compile("b")\n'
    )
