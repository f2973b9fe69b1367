"""Which functions of the standard library are nested most deeply: a batch over its files that can be interrupted.

    python examples/nesting.py [nesting.jsonl]

Files are parsed a dozen at a time in two worker processes, and what was found is saved as lines of JSON. Interrupt it
with Ctrl-C, or kill it, and run it again: it goes on where it has ended, and comes to the same.
"""
from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from taskproc.batch import JSONLinesSaver, Task, TaskManager

BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try)


class Nesting(Task[Path, "dict[str, Any]"]):
    """Parses files."""

    def process_item(self, item: Path, **kwargs: Any) -> dict[str, Any]:
        """The function of a file that has the most blocks in one another, and how many functions there are."""
        tree = ast.parse(item.read_bytes())
        functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        depth, name = max(((deepest(each), each.name) for each in functions), default=(0, ""))
        return {"file": item.name, "functions": len(functions), "depth": depth, "name": name}


def deepest(node: ast.AST) -> int:
    """How many blocks stand in one another; those of inner functions are their own."""
    inner = [child for child in ast.iter_child_nodes(node) if not isinstance(child, (ast.FunctionDef, ast.ClassDef))]
    return isinstance(node, BLOCKS) + max(map(deepest, inner), default=0)


def files() -> Iterator[Path]:
    """The modules that are no packages, always in the same order."""
    yield from sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


if __name__ == "__main__":
    manager = TaskManager(Nesting, executor="processes", n_cores=2)
    saver = JSONLinesSaver(sys.argv[1] if len(sys.argv) > 1 else "nesting.jsonl")
    manager.submit_tasks(files(), chunk_size=12, saver=saver, save_interval=12, resume=True)
    found: Any = manager.get_results()
    for each in sorted(found, key=lambda each: (-each["depth"], each["file"]))[:5]:
        print(f"{each['depth']:3} {each['file']:20} {each['name']}")
    print(f"{sum(each['functions'] for each in found)} functions in {len(found)} files")
