"""The command `why`, as a process on a real cache: causes with their tasks, one task, the tree, and JSON."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskproc.tasks.why import python_text
from taskproc.text import width_of
from tests.cli.plan_scripts import EDITED, STUDY, Commands

WHY = ("why", "study.py", "-o", "cache")


@pytest.fixture
def commands(tmp_path: Path, environ: dict[str, str]) -> Commands:
    """A folder with a study that has run and was edited."""
    made = Commands(tmp_path, environ)
    made.write(STUDY)
    made.run("study.py", "-o", "cache", "-t", "local")
    made.write(EDITED)
    return made


def read_file(commands: Commands) -> str:
    """The key of a task of the class ReadFile."""
    key: str = next(row for row in commands.rows(*WHY) if row["row"] == "cause")["keys"][0]
    return key


def test_a_cause_is_shown_once(commands: Commands) -> None:
    """With its tasks, those that need them, and the constant as it is written in the file."""
    assert commands.lines(*WHY, columns=80) == [
        "Main(count=4) would run: upstream Total(count=4) would run",
        "6 of 6 tasks would run, at most",
        "",
        "source of study:WORD changed: 4 tasks of ReadFile, and 2 that need them",
        "  --- study:WORD (before)",
        "  +++ study:WORD (now)",
        "  @@ -1 +1 @@",
        '  -WORD = r"[a-z]+"',
        '  +WORD = r"[a-z]{2,}"',
    ]


def test_each_cause_has_its_difference(commands: Commands) -> None:
    """And what is new by it is shown with it; what is new for itself comes last, with its nearest relative."""
    edits = EDITED.replace("return text.strip()", "return trim(text)").replace(
        "def clean", "def trim(text: str) -> str:\n    return text.strip()\n\n\ndef clean"
    )
    commands.write(edits)

    text = "\n".join(commands.lines(*WHY, "--count", "5"))

    parts = text.split("\n\n")
    assert [part.splitlines()[0] for part in parts] == [
        "Main(count=5) would run: upstream Total(count=5) would run",
        "source of study:WORD changed: 4 tasks of ReadFile, and 2 that need them",
        "source of study:clean changed: 4 tasks of ReadFile, and 2 that need them",
        "no result is stored: 1 task of ReadFile, 1 task of Total, 1 task of Main",
    ]
    assert "+def trim(text: str) -> str:" not in parts[1]
    assert "+def trim(text: str) -> str:" in parts[2]
    assert "  Total: it is another task than the nearest that is there: count 4 → 5" in parts[3]


@pytest.mark.parametrize("columns", [60, 80])
def test_it_fits_the_terminal(commands: Commands, columns: int) -> None:
    """Long lines are cut."""
    commands.write(EDITED.replace("{2,}", "{2,}" * 30))

    lines = commands.run(*WHY, "--tree", columns=columns)[0].splitlines()

    assert max(map(width_of, lines)) <= columns
    assert any(line.endswith("…") for line in lines)


def test_the_tree_leads_to_the_causes(commands: Commands) -> None:
    """From the entry task upwards; many tasks of a class are not all shown, and a task is shown once."""
    lines = commands.lines(*WHY, "--tree", "--count", "7")

    tree = lines[lines.index("Main: no result is stored") :]
    assert tree[:2] == ["Main: no result is stored", "  Total: no result is stored"]
    assert tree[2:] == [
        *["    ReadFile: source of study:WORD changed"] * 4,
        "    ReadFile: no result is stored",
        "    … and 2 more of ReadFile",
    ]


def test_one_task_is_explained(commands: Commands) -> None:
    """By its short id, with or without its class, its whole key, or its integer id."""
    key = read_file(commands)
    for word in (key[:6], f"#{key[:6]}", f"ReadFile#{key[:6]}", key, str(int(key[:16], 16) >> 1)):
        lines = commands.lines("why", "study.py", word, "-o", "cache")
        assert re.fullmatch(r"ReadFile\(number=\d\) would run: source of study:WORD changed", lines[0]), word
        assert '+WORD = r"[a-z]{2,}"' in lines


def test_wrong_ids_are_refused(commands: Commands) -> None:
    """An unknown one, and one of another class."""
    assert "no task of this graph has the id 'abcdef0'" in commands.run("why", "study.py", "abcdef0", "-o", "cache",
                                                                       code=2)[1]  # fmt: skip
    word = f"Total#{read_file(commands)[:6]}"
    assert f"has the id {word!r}" in commands.run("why", "study.py", word, "-o", "cache", code=2)[1]


def test_an_id_that_fits_several_tasks_is_refused(commands: Commands) -> None:
    """With the candidates, which are told apart."""
    from taskproc.cli.usage import UsageError
    from taskproc.cli.why_command import graph_key
    from taskproc.store.cache import Cache
    from taskproc.tasks.inputs import InputFile
    from taskproc.tasks.task_graph import graph_of

    with Cache(commands.folder / "cache"):
        one, other = InputFile("a"), InputFile("b")
        graph = graph_of(one)
        word = str(one.task_id)
        graph.tasks["f" * 32], graph.needs["f" * 32] = other, ()
        assert graph_key(graph, word) == graph.root
        number = one.task_id
        other._taskproc.place = other._taskproc.place._replace(id=number ^ 1)
        with pytest.raises(UsageError, match=r"may be any of 2 tasks: InputFile#\w+, InputFile#\w+"):
            graph_key(graph, f"{number << 1:016x}"[:10])


def test_a_fresh_graph(commands: Commands) -> None:
    """As before: which result it is."""
    commands.write(STUDY)

    out, err = commands.run(*WHY)

    assert re.fullmatch(r"Main#\w+\(count=4\) is fresh: result 1 of .* after \d.*\n", out)
    assert not err


def test_the_rows(commands: Commands) -> None:
    """One JSON object for the whole, each cause, and each class that uses what is not watched; or for one task."""
    commands.write(EDITED.replace("return clean(", "return globals()['clean']("))
    page = (Path(__file__).resolve().parents[2] / "docs" / "json.md").read_text("utf-8")
    names = set(re.findall(r"`(\w+)`", page))

    rows = commands.rows(*WHY)
    (one,) = commands.rows("why", "study.py", rows[1]["keys"][0][:8], "-o", "cache")

    assert [row["row"] for row in rows][:2] == ["why", "cause"]
    assert (rows[0]["fresh"], rows[0]["to_run"], rows[0]["total"]) == (False, 6, 6)
    assert {row["text"]: row["tasks"] for row in rows if row["row"] == "cause"}.keys() >= {
        "source of study:ReadFile.run_task changed"
    }
    assert (one["row"], one["fresh"], one["needs"]) == ("task", False, [])
    assert "source of study:ReadFile.run_task changed" in one["causes"]
    assert {name for row in [*rows, one] for name in row} <= names


def test_the_next_command(commands: Commands) -> None:
    """What a run would cost."""
    assert commands.run(*WHY)[1] == "\nhint: python -m taskproc plan study.py -o cache\n"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (None, "None"),
        ({"__tuple__": [1, True]}, "(1, True)"),
        ({"__tuple__": ["a"]}, "('a',)"),
        ({"__set__": [1]}, "set(1)"),
        ({"a": [1, {}], "b": 2.5}, "{'a': [1, {}], 'b': 2.5}"),
        ({"__pattern__": [32, ["a+"]]}, "pattern(32, ['a+'])"),
    ],
)
def test_a_value_without_source_is_readable(form: object, text: str) -> None:
    """As Python writes it, where that is known."""
    assert python_text(form) == text
