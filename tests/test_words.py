"""The pages that users read: their terms, their links and their words."""
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
PAGES = sorted([ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """The text of a page without blocks of code, with as many lines."""
    return re.sub(
        r"^```.*?^```$", lambda block: "\n" * block[0].count("\n"), page.read_text("utf-8"), flags=re.M | re.S
    )


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    """Links of a page to a file, or a heading, that does not exist."""
    for link in LINK.findall(prose(page)):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if link.startswith(("https://", "http://")):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """Each link between the pages leads to a file, and to a heading, that exists."""
    assert [] == list(broken_links(page))


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A missing file, a missing heading, here or there; links in code and to the web are left alone."""
    (tmp_path / "other.md").write_text("# One, `two`: three\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#one-two-three) [b](other.md#four) [c](gone.md) [d](#e) [f](https://g)\n```\n[h](i)\n```\n"
    )

    assert ["other.md#four", "gone.md", "#e"] == list(broken_links(page))


def terms() -> list[tuple[str, str]]:
    """The terms of the glossary, each with its explanation."""
    return re.findall(r"^\| \*\*(.*?)\*\* \| (.*) \|$", GLOSSARY.read_text("utf-8"), re.MULTILINE)


def test_each_term_has_one_meaning() -> None:
    """A term stands once in the glossary."""
    names = [term for term, _ in terms()]

    assert len(names) >= 30
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(("term", "meaning"), terms(), ids=[term for term, _ in terms()])
def test_a_term_is_explained_where_its_link_leads(term: str, meaning: str) -> None:
    """Each page to which an entry links uses the term."""
    links = LINK.findall(meaning)

    assert links
    for link in links:
        text = prose(GLOSSARY.parent / link.partition("#")[0])
        assert re.search(rf"\b{term}(e?s)?\b", text, re.IGNORECASE), link


# Words that a reader stumbles over, and what to write instead
BANNED = {
    r"\banew\b": "again",
    r"\btold\b": "reported, or the verb that says how",
    r"\bheard\b": "supported, received",
    r"\b(he|him|his|himself|she|her)\b": "the process, the user, they",
    r"\bas long as\b": "until, while, if",
    r"\bshall\b": "must, should, will",
    r"(?<!there )\b(is|are|was|were) no (?!longer\b)": "is not a",
    r"\b(simply|just|easy|easily)\b": "leave it out",
    r"\b(issue #?\d+|the issues?|the seeds?)\b": "the reader does not have it",
}


def banned(page: Path) -> Iterator[str]:
    """Banned words in the prose of a page, with their lines."""
    text = re.sub(r"`[^`\n]*`", "``", prose(page))
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, instead in BANNED.items():
            for match in re.finditer(pattern, line, re.IGNORECASE):
                yield f"{page.name}:{number}: {match[0]!r} ({instead}): {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_words_are_plain(page: Path) -> None:
    """No page has a word of the list."""
    assert [] == list(banned(page))


def test_a_banned_word_is_found(tmp_path: Path) -> None:
    """In prose, whatever its case; not in code, and not as a part of another word or idiom."""
    page = tmp_path / "page.md"
    page.write_text(
        "He told it.\nThe `told` of the other is no longer there; there is no end.\n```\nanew\n```\nIt is no file.\n"
    )

    found = [line.split(" (")[0] for line in banned(page)]

    assert found == ["page.md:1: 'told'", "page.md:1: 'He'", "page.md:6: 'is no '"]
