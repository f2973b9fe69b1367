"""Code objects: remembered by identity, and compared by what they do."""
from __future__ import annotations

from taskproc.source.bytecode import ByCode, code_text


def test_code_is_told_apart_by_identity() -> None:
    """Equal code objects of two files are different."""
    memo: ByCode[int] = ByCode()
    one, other = compile("1", "a", "eval"), compile("1", "b", "eval")
    memo.put(one, 1)

    assert one == other
    assert (memo.get(one), memo.get(other)) == (1, None)


def test_what_belongs_to_code_that_is_gone_is_forgotten() -> None:
    """A process that makes functions without end does not fill its memory."""
    memo: ByCode[int] = ByCode()
    kept = compile("1", "a", "eval")
    memo.put(kept, -1)
    for number in range(5000):
        memo.put(compile("1", "a", "eval"), number)

    assert len(memo._known) <= 1024
    assert memo.get(kept) == -1


def test_lines_and_docstrings_do_not_count() -> None:
    """Only what a function does counts."""
    texts = ["def f(): 'Doc.'; return 1", "\n\ndef f(): 'Text.'; return 1", "def f(): 'Doc.'; return 1.0"]
    one, same, other = (code_text(compile(text, "a", "exec").co_consts[0]) for text in texts)

    assert one == same != other
