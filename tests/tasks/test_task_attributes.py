"""The attributes of task classes: one table gives defaults, checks, and the lines of the documents."""
from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

import taskproc.tasks.task
from taskproc import Task
from taskproc.errors import BuildError
from taskproc.tasks.task_attributes import ATTRIBUTES, TaskAttribute

README = Path(__file__).resolve().parents[2] / "README.md"
WRONG: dict[str, Any] = {
    "task_label": 3,
    "task_compress_level": 10,
    "task_timeout": -1,
    "task_own_process": 1,
    "task_observes": "no",
    "task_version": 2,
    "task_includes": ["f"],
    "task_unwatched_ok": "f",
    "task_packages": "numpy",
    "task_environment": [1],
    "task_ignored_args": {"rate": 1},
    "task_default_since": ["rate"],
    "task_pinned_name": "",
}


def row(attribute: TaskAttribute) -> str:
    """Its line in the table of the README."""
    default = {None: "none", (): "none", 9: "9"}.get(attribute.default if attribute.default != {} else (), "")
    page = attribute.page.partition("#")[0]
    more = f"; see [{page}]({attribute.page})" if page else ""
    return f"| `{attribute.name}` | {default or f'`{attribute.default}`'} | {attribute.meaning}{more} |"


def test_the_readme_has_the_table() -> None:
    """One row for each attribute, in the order of the table, with its default and its meaning."""
    lines = README.read_text("utf-8").splitlines()
    first = lines.index("## Class attributes that you may set") + 4

    assert lines[first : first + len(ATTRIBUTES) + 1] == [*map(row, ATTRIBUTES.values()), ""]


def test_task_has_them_with_their_defaults() -> None:
    """`help(Task)` lists each, and type checkers see each as a class variable."""
    (body,) = (
        node.body
        for node in ast.parse(inspect.getsource(taskproc.tasks.task)).body
        if isinstance(node, ast.ClassDef) and node.name == "Task"
    )
    declared = [node.target.id for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
                and node.value is None and ast.unparse(node.annotation).startswith("ClassVar[")]  # fmt: skip

    assert [name for name in declared if name.startswith("task_")] == list(ATTRIBUTES)
    for attribute in ATTRIBUTES.values():
        assert getattr(Task, attribute.name) is attribute.default
        assert f"{attribute.name}: {attribute.meaning}" in str(Task.__doc__)


def test_a_wrong_value_is_known_for_each() -> None:
    """So that the tests below leave none out."""
    assert WRONG.keys() == ATTRIBUTES.keys()


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_wrong_value_is_refused_in_the_class(name: str) -> None:
    """When the class is defined, in words that say what is wanted."""
    with pytest.raises(BuildError, match=f"^{name} of Odd must be {ATTRIBUTES[name].wanted.split()[0]}"):
        type("Odd", (Task,), {name: WRONG[name], "run_task": lambda self: None, "__qualname__": "Odd"})


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_wrong_value_is_refused_when_it_is_set_later(name: str) -> None:
    """And the class keeps the value that it had."""
    cls = type("Odd", (Task,), {"run_task": lambda self: None, "__qualname__": "Odd"})

    with pytest.raises(BuildError, match=f"^{name} of Odd must be"):
        setattr(cls, name, WRONG[name])

    assert getattr(cls, name) is ATTRIBUTES[name].default


@pytest.mark.parametrize("name", sorted(set(ATTRIBUTES) - {"task_pinned_name"}))
def test_a_wrong_value_of_a_mixin_is_refused(name: str) -> None:
    """A mixin is not checked by itself, so each class that inherits from it is."""
    mixin = type("Mixin", (), {name: WRONG[name]})

    with pytest.raises(BuildError, match=f"^{name} of "):
        type("Odd", (mixin, Task), {"run_task": lambda self: None})


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_default_may_be_set(name: str) -> None:
    """So that a subclass can take back what its base has set."""
    cls = type("Plain", (Task,), {name: ATTRIBUTES[name].default, "run_task": lambda self: None})

    assert getattr(cls, name) == ATTRIBUTES[name].default
