"""Cells of a notebook, run by IPython itself: their source is found, whatever else is in the cell."""
from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from tests.pace import limit

pytest.importorskip("IPython")

RUNNER = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from taskproc.source.fingerprint import fingerprint_of as fingerprint

shell = InteractiveShell.instance()
for cell in json.loads(sys.stdin.read()):
    shell.run_cell(cell).raise_error()
found = fingerprint([shell.user_ns["f"]])
print(json.dumps([dict(found.items), list(found.untracked)]))
"""


def fingerprint_of(environ: dict[str, str], *cells: str) -> tuple[dict[str, str], list[str]]:
    """Items and untracked of the function `f` after these cells."""
    command = [sys.executable, "-c", RUNNER]
    texts = json.dumps([textwrap.dedent(cell) for cell in cells])
    done = subprocess.run(command, input=texts, env=environ, capture_output=True, text=True, timeout=limit(100))
    assert done.returncode == 0, done.stderr
    items, untracked = json.loads(done.stdout.splitlines()[-1])
    return items, untracked


BODIES = {
    "a call of a module": "import math\ndef f(x): return math.sqrt(x)",
    "a call of a module under a name": "import os.path as p\ndef f(x): return p.join(x, x)",
    "what is imported from a module": "from os import path\ndef f(x): return path.join(x, x)",
    "a lambda": "import math\nf = lambda x: math.sqrt(x)",
    "lambdas on one line": "import math\ng, f = lambda x: math.sqrt(x) + 1, lambda x: math.sqrt(x) + 2",
    "lambdas on one line that differ by a name": "import math\ng, f = lambda x: math.sqrt(x), lambda y: math.sqrt(y)",
    "an inner function": "import math\ndef f(x):\n    def g(): return math.sqrt(x)\n    return g()",
    "under a condition": "import math\nif True:\n    def f(x): return math.sqrt(x)",
    "with a future": "from __future__ import annotations\nimport math\ndef f(x: float) -> float: return math.sqrt(x)",
    "with the output of a command": "import math\nlines = !echo 1\ndef f(x): return math.sqrt(x)",
    "beside what awaits": "import asyncio, math\nawait asyncio.sleep(0)\ndef f(x): return math.sqrt(x)",
}


@pytest.mark.slow
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_cell_that_begins_with_an_import_has_a_source(environ: dict[str, str], body: str) -> None:
    """IPython compiles each statement by itself, so Python compiles calls of a module in another way."""
    items, untracked = fingerprint_of(environ, body)
    edited, _ = fingerprint_of(environ, body.replace("sqrt", "cbrt").replace("join", "split"))
    formatted, _ = fingerprint_of(environ, f"{body}  # a comment")

    assert untracked == []
    assert formatted == items != edited


@pytest.mark.slow
def test_imports_in_a_cell_of_their_own_change_nothing(environ: dict[str, str]) -> None:
    """The position of an import does not count, so a cell may be split."""
    together, _ = fingerprint_of(environ, "import math\ndef f(x): return math.sqrt(x)")
    apart, _ = fingerprint_of(environ, "import math", "def f(x): return math.sqrt(x)")

    assert together == apart


@pytest.mark.slow
def test_the_last_cell_that_sets_something_of_a_library_counts(environ: dict[str, str]) -> None:
    """Neither earlier cells count, nor cells that only show something."""
    first = "import math, random\nfrom pprint import pprint\nrandom.seed(1)", "def f(): return random.random()"
    again, beside = "random.seed(2)", "pprint(math.sqrt(4))"
    one, two, three, four = [
        fingerprint_of(environ, *cells)[0]
        for cells in (first, (*first, again), (first[0].replace("1)", "2)"), first[1]), (*first, beside))
    ]

    assert one != two == three
    assert one == four
