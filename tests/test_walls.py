"""The walls between the rooms: who may import whom, what stays outside, what may not be written at all.

`violations` reads a source tree as syntax and imports nothing, so each rule is shown to catch a tree that breaks it.
"""
from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "taskproc"

# Modules right below the package that know no room: any room may import them → which of each other they may import
LEAVES: Mapping[str, frozenset[str]] = {
    "text": frozenset(),
    "frozen": frozenset(),
    "attributes": frozenset(),
    "machine": frozenset(),
    "modules": frozenset(),
    "imports": frozenset(),
    "errors": frozenset({"text"}),
    "streams": frozenset({"text"}),
    "folders": frozenset({"errors"}),
    "checks": frozenset({"errors"}),
    "by_value": frozenset({"modules"}),
    "pickling": frozenset({"attributes", "by_value", "errors", "modules", "text"}),
}
# room → rooms it may import besides itself. A room is a folder or a module right below the package.
ROOMS: Mapping[str, frozenset[str]] = {
    "values": frozenset(),
    "source": frozenset({"values"}),
    "kernel": frozenset(),
    "store": frozenset({"kernel"}),
    # Reads what a cache remembers; text for people is made in cli
    "ledger": frozenset({"values", "kernel", "store"}),
    "run": frozenset({"kernel"}),
    "watch": frozenset({"kernel"}),
    "drive": frozenset({"kernel"}),
    # Beside tasks, not below: it has items without keys, and no graph
    "maps": frozenset({"kernel", "run"}),
    # Chunks of a batch are items of a map
    "batch": frozenset({"kernel", "run", "maps"}),
    "processes": frozenset({"maps"}),
    "threads": frozenset({"maps"}),
    # Pulled, not driven: it has a plan and the runners, but no loop of its own
    "remote": frozenset({"kernel", "store", "run"}),
    # Below tasks: what several computers share are tasks
    "commands": frozenset({"kernel", "store", "run", "drive", "tasks"}),
    "tasks": frozenset({"values", "source", "kernel", "store", "run", "watch", "drive", "ledger"}),
    # Below tasks: what users test are tasks
    "testing": frozenset({"kernel", "store", "run", "watch", "drive", "tasks"}),
    "cli": frozenset({"values", "kernel", "store", "run", "watch", "drive", "ledger", "tasks", "remote"}),
}
# Of the leaves, the kernel may import these
PURE_LEAVES = frozenset({"checks", "frozen", "errors"})
OPEN = frozenset({"__init__", "__main__"})  # the two front doors may import any room
# What meets a room as a Protocol may import the module that holds the Protocol, and no other.
PROTOCOLS = frozenset({("drive", "run.runner")})
# (module, function, room): a task's `cli()` is the one door that leads downwards.
# A map whose values are kept makes tasks of its items, and only then are tasks imported.
# `python -m taskproc.remote` is the command line of the task manager.
# `Cache.entries()` is read by the ledger, whose Entry type checkers know.
DOORS = frozenset({("tasks.task", "cli", "cli"), ("maps.cached_map", "", "tasks"), ("remote.__main__", "", "cli"),
                   ("store.cache", "entries", "ledger"), ("store.cache", "", "ledger"),
                   ("store.cache", "gc", "ledger"), ("store.cache", "gc", "tasks")})  # fmt: skip

KERNEL_MAY_IMPORT = frozenset(
    "__future__ abc bisect collections dataclasses enum functools hashlib heapq itertools math operator typing "
    "typing_extensions".split()
)
# Everything else that is neither ours nor the standard library's is imported inside the function that needs it.
EAGER = frozenset({"typing_extensions"})
# tasks.packing: what a run wrote, or sent, for its own workers
UNPICKLERS = ("pickling", "store.payload", "run.", "tasks.packing")
# What a task manager passes on is unpickled by those whom it is for, at the two ends, and never by the manager
LOADERS = {"remote": ("remote.calls",)}
# frozen: compiles the function that makes instances from the names of a class's fields, as dataclasses does
COMPILERS = frozenset({("frozen", "exec")})
MOST_LINES = 500


@dataclass(frozen=True)
class Import:
    """One imported module: where, by which function (empty: none), and whether only type checkers see it."""

    target: str
    line: int
    function: str
    typing_only: bool


def violations(root: Path, package: str = PACKAGE) -> list[str]:
    """Every breach of a wall in the tree below `root / package`, as `module:line: sentence`."""
    sources = {module_name(root, path): path.read_text(encoding="utf-8") for path in (root / package).rglob("*.py")}
    trees = {module: ast.parse(source) for module, source in sources.items()}
    imports = {module: list(imports_of(tree, frozenset(trees))) for module, tree in trees.items()}
    found: list[str] = []
    for module, tree in sorted(trees.items()):
        found += shape_breaches(short(module), sources[module], tree)
        unsafe = [*unsafe_calls(short(module), tree), *loaders_imported(short(module), tree)]
        found += [f"{short(module)}:{line}: {words}" for line, words in unsafe]
        for each in imports[module]:
            if words := import_breach(short(module), each):
                found.append(f"{short(module)}:{each.line}: {words}")
    return found + [f"cycle: {' -> '.join(path)}" for path in cycles(imports)]


def module_name(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def short(module: str) -> str:
    """`kernel.plan` for `taskproc.kernel.plan`."""
    return module.partition(".")[2]


def imports_of(tree: ast.Module, modules: frozenset[str]) -> Iterator[Import]:
    """Each imported module once per place; `from a import b` leads to `a.b` if that is a module of the tree."""

    def walk(node: ast.AST, function: str, typing_only: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, function, typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(inner if inner in modules else base, node.lineno, function, typing_only)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from walk(child, function, True)
            for child in node.orelse:
                yield from walk(child, function, typing_only)
            return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = node.name
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function, typing_only)

    return walk(tree, "", False)


def import_breach(module: str, each: Import) -> str:
    """What is wrong with an import, or nothing."""
    top, _, inside = each.target.partition(".")
    room = module.partition(".")[0]
    if not top:
        return f"imports {each.target} relatively"
    if top == PACKAGE:
        return room_breach(module, room, inside, each)
    if room == "kernel" and top not in KERNEL_MAY_IMPORT:
        return f"the kernel imports {top}, which is not pure"
    foreign = top not in sys.stdlib_module_names and top not in EAGER
    if foreign and not each.function and not each.typing_only:
        return f"imports {top} outside a function"
    return ""


def room_breach(module: str, room: str, inside: str, each: Import) -> str:
    if not inside:
        return "imports the package root"
    if room in OPEN:
        return ""
    if room not in LEAVES and room not in ROOMS:
        return f"stands in {room!r}, which is no room"
    leaves = PURE_LEAVES if room == "kernel" else LEAVES.get(room, LEAVES.keys())
    allowed = leaves | ROOMS.get(room, frozenset())
    other = inside.partition(".")[0]
    if other == room or other in allowed or (module, each.function, other) in DOORS or (room, inside) in PROTOCOLS:
        return ""
    return f"imports {inside}, but {room} may not import {other}"


def shape_breaches(module: str, source: str, tree: ast.Module) -> Iterator[str]:
    lines = len(source.splitlines())
    if lines > MOST_LINES:
        yield f"{module}:{lines}: has more than {MOST_LINES} lines"
    if not ast.get_docstring(tree):
        yield f"{module}:1: has no docstring"


def unsafe_calls(module: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Calls of eval and exec, shells, and unpickling where it is not looked for; names imported from pickle count."""
    pickles = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in {"pickle", "cloudpickle"}
        for alias in node.names
        if alias.name in {"load", "loads", "Unpickler"}
    }
    loaders = frozenset() if module.startswith(UNPICKLERS) else frozenset({"load", "loads", "Unpickler"})
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "shell" and ast.unparse(node.value) != "False":
            yield node.value.lineno, "runs a shell"
        elif isinstance(node, ast.Name) and node.id in {"eval", "exec"} and (module, node.id) not in COMPILERS:
            yield node.lineno, f"uses {node.id}"
        elif isinstance(node, ast.Name) and node.id in pickles and loaders:
            yield node.lineno, f"unpickles with {node.id}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if name in {"os.system", "os.popen"}:
                yield node.lineno, f"runs a shell with {name}"
            elif node.value.id in {"pickle", "cloudpickle"} and node.attr in loaders:
                yield node.lineno, f"unpickles with {name}"


def loaders_imported(module: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Imports of what unpickles, in a room that may do so in some modules only."""
    room = module.partition(".")[0]
    if room not in LOADERS or module in LOADERS[room]:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == f"{PACKAGE}.pickling":
            for alias in node.names:
                if alias.name in {"load", "unpack_error"}:
                    yield node.lineno, f"imports {alias.name}, by which it could unpickle"


def cycles(imports: Mapping[str, list[Import]]) -> Iterator[list[str]]:
    """Import cycles, also those of TYPE_CHECKING and of functions, each told where it is closed first."""
    needs = {
        module: sorted(
            {
                each.target
                for each in found
                if each.target in imports
                and each.target != module
                and (short(module), each.function, short(each.target).partition(".")[0]) not in DOORS
            }
        )
        for module, found in imports.items()
    }
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> Iterator[list[str]]:
        if module in path:
            yield [*path[path.index(module):], module]
        elif module not in done:
            for other in needs[module]:
                yield from visit(other, [*path, module])
            done.add(module)

    for module in sorted(needs):
        yield from visit(module, [])


def test_the_walls_stand() -> None:
    """No module of the package breaks a rule of ARCHITECTURE.md."""
    found = violations(ROOT)

    assert [] == found


def test_every_room_is_on_the_map() -> None:
    """Each folder and module right below the package is a room of the map."""
    names = {path.stem for path in (ROOT / PACKAGE).glob("*.py")}
    names |= {path.parent.name for path in (ROOT / PACKAGE).glob("*/*.py")}

    assert set() == names - set(ROOMS) - set(LEAVES) - OPEN


BREACHES = {
    "the kernel imports a room below it": ("kernel/a.py", "from taskproc.store.version import Store", "store"),
    "the kernel imports what is not pure": ("kernel/a.py", "import os", "not pure"),
    "the kernel imports the modules leaf": ("kernel/a.py", "from taskproc import modules", "modules"),
    "a leaf imports a room": ("errors.py", "from taskproc.kernel import model", "may not import kernel"),
    "siblings meet": ("store/a.py", "import taskproc.run.runner", "may not import run"),
    "siblings meet in a function": (
        "watch/a.py",
        "def f():\n    from taskproc.store import base",
        "may not import store",
    ),
    "siblings meet for type checkers": (
        "run/a.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from taskproc.store.version import Store",
        "may not import store",
    ),
    "drive imports more than a Protocol": ("drive.py", "from taskproc.run.other import Pool", "may not import run"),
    "tasks import the command line elsewhere": (
        "tasks/a.py",
        "def cli():\n    import taskproc.cli",
        "may not import cli",
    ),
    "the root is imported": ("cli/a.py", "from taskproc import Task", "package root"),
    "the root is imported whole": ("cli/a.py", "import taskproc", "package root"),
    "a relative import": ("tasks/a.py", "from . import task", "relatively"),
    "a room that is not on the map": ("other/a.py", "import taskproc.errors", "no room"),
    "an extra is imported eagerly": ("run/a.py", "import ray", "outside a function"),
    "a dependency is imported eagerly": ("watch/a.py", "from rich.progress import Progress", "outside a function"),
    "an extra is imported eagerly in a class": ("run/a.py", "class A:\n    import numpy", "outside a function"),
    "eval": ("tasks/a.py", "eval('1')", "uses eval"),
    "exec": ("tasks/a.py", "run = exec", "uses exec"),
    "eval where exec is": ("frozen.py", "eval('1')", "uses eval"),
    "a shell": ("run/a.py", "import subprocess\nsubprocess.run('ls', shell=True)", "runs a shell"),
    "a shell of os": ("run/a.py", "import os\nos.system('ls')", "runs a shell"),
    "unpickling": ("store/disk.py", "import pickle\npickle.loads(b'')", "unpickles with pickle.loads"),
    "unpickling by name": ("tasks/a.py", "from pickle import load as get\nget(None)", "unpickles with get"),
    "unpickling by class": ("tasks/a.py", "import pickle\nclass A(pickle.Unpickler): pass", "unpickles"),
    "unpickling in the task manager": ("remote/server.py", "from taskproc.pickling import load", "could unpickle"),
    "too long": ("cli/a.py", "\n" * MOST_LINES, "more than"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_each_breach_is_caught(tmp_path: Path, breach: str) -> None:
    """A tree with one fault has exactly that one violation."""
    path, source, words = BREACHES[breach]
    build(tmp_path, {path: source})

    (found,) = violations(tmp_path)

    assert words in found


def test_a_missing_docstring_is_caught(tmp_path: Path) -> None:
    """Every module has a docstring."""
    build(tmp_path, {})
    (tmp_path / PACKAGE / "errors.py").write_text("A = 1\n", "utf-8")

    assert ["errors:1: has no docstring"] == violations(tmp_path)


@pytest.mark.parametrize(
    "back",
    [
        "import taskproc.tasks.a",
        "def f():\n    import taskproc.tasks.a",
        "if TYPE_CHECKING:\n    from taskproc.tasks import a",
    ],
)
def test_a_cycle_is_caught(tmp_path: Path, back: str) -> None:
    """Imports of a room go one way, inside functions and for type checkers too."""
    build(tmp_path, {"tasks/a.py": "import taskproc.tasks.b", "tasks/b.py": back})

    assert ["cycle: taskproc.tasks.a -> taskproc.tasks.b -> taskproc.tasks.a"] == violations(tmp_path)


def test_what_is_allowed_passes(tmp_path: Path) -> None:
    """The doors that are left open on purpose do not count as breaches."""
    build(tmp_path, {
        "kernel/a.py": "import hashlib\nfrom taskproc.errors import X",
        "store/payload.py": "import pickle\npickle.loads(b'')",
        "run/a.py": "from taskproc.kernel import a\ndef f():\n    import ray",
        "tasks/task.py": "class Task:\n    def cli(cls):\n        from taskproc.cli.main import main",
        "cli/main.py": "from taskproc.tasks import task",
        "watch/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import rich",
        "drive.py": "from taskproc.run.runner import Runner",
    })

    assert [] == violations(tmp_path)


def build(root: Path, files: Mapping[str, str]) -> None:
    """A small package with a docstring in each of its modules."""
    bases = [f"{room}/base.py" for room in ("kernel", "store", "run", "watch", "tasks", "cli")]
    for path in [*bases, "errors.py", "modules.py"]:
        write(root / PACKAGE / path, "")
    for path, source in files.items():
        write(root / PACKAGE / path, source)


def write(path: Path, source: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "__init__.py").write_text('"""A room."""\n', "utf-8")
    path.write_text(f'"""A module."""\n{source}\n', "utf-8")
