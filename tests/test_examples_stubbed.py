"""The examples in parts: one task each, on values that a test chooses, and what would run after a change."""
from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from taskproc import Cache, LocalExecutor
from taskproc.testing import assert_plan, stub

ROOT = Path(__file__).resolve().parent.parent
INLINE = LocalExecutor()


@pytest.fixture
def example(restored: None) -> Iterator[Callable[[str], ModuleType]]:
    """Load an example as a module of its name."""
    loaded: list[str] = []

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        loaded.append(name)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in loaded:
        del sys.modules[name]


def test_a_coefficient_is_the_sum_of_two(example: Callable[[str], ModuleType]) -> None:
    """Whatever these are; nothing above them is computed."""
    binomial = example("binomial")
    with stub(binomial.Choose, value=0), stub(binomial.Choose(5, 2), value=30), stub(binomial.Choose(6, 3), value=1):
        assert 1 == binomial.Main(6, 3).run_graph(executor=INLINE)[0]
    with Cache("cache"):
        two = binomial.Choose(5, 2), binomial.Choose(5, 3)
    with stub(two[0], value=30), stub(two[1], value=12):
        assert_plan(binomial.Main(6, 3), runs={"Choose": 1, "Main": 1}, fresh={"Choose": 2})

        assert 42 == binomial.Main(6, 3).run_graph(executor=INLINE)[0]


def test_a_larger_triangle_needs_its_last_rows_only(example: Callable[[str], ModuleType]) -> None:
    """What it shares with a smaller one is in the cache."""
    binomial = example("binomial")
    with Cache("cache"):
        binomial.Main(6, 3).run_graph(executor=INLINE)

        assert_plan(binomial.Main(6, 3), runs=[])
        assert_plan(binomial.Main(7, 3), runs={"Choose": 4, "Main": 1}, fresh={"Choose": 15})


def test_modules_are_counted(example: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    """Without reading a file of the standard library."""
    words = example("words")
    read = {"words": Counter(parse=3, node=1), "imports": Counter(os=1)}
    with stub(words.ReadFile, value=read):
        main = words.Main(("json", "html"), top=1)
        assert_plan(main, runs=["Total", "TypicalWords", "Main"], fresh=["ReadFile"])

        main.run_graph(executor=INLINE)

    files = len(words.files_of("json")) + len(words.files_of("html"))
    assert capsys.readouterr().out.splitlines()[-1] == f"most imported: os ({files})"


def test_another_number_of_words_reads_no_file(example: Callable[[str], ModuleType]) -> None:
    """The counts are those of the run before."""
    words = example("words")
    with stub(words.ReadFile, value={"words": Counter(parse=3), "imports": Counter()}):
        words.Main(("json", "html"), top=1).run_graph(executor=INLINE)

        assert_plan(words.Main(("json", "html"), top=2), runs=["TypicalWords", "Main"], fresh=["ReadFile", "Total"])


def test_the_best_model_is_chosen(example: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """By what was taken for what; no model is trained for it."""
    for name in ("sklearn", "matplotlib"):
        pytest.importorskip(name, reason="digits.py needs the extra 'examples'")
    import numpy as np

    digits = example("digits")
    right, half = np.eye(10, dtype=int) * 8, np.full((10, 10), 4) + np.eye(10, dtype=int) * 32
    (tmp_path / "model").write_bytes(b"weights")
    with Cache("cache"):
        best = digits.Main(models=("neighbours", "forest"), seeds=2).best.confusions["forest"][1]
    with (
        stub(digits.Train, value=tmp_path / "model"),
        stub(digits.Confusion, value=half),
        stub(best, value=right),
    ):
        main = digits.Main(models=("neighbours", "forest"), seeds=2)
        assert_plan(main, runs=["Best", "Picture", "Main"], fresh={"Train": 4, "Confusion": 4})

        found, _ = main.best.run_graph(executor=INLINE)

        assert ("forest", [0.5, 1.0]) == (found["name"], found["scores"]["forest"])
        assert b"weights" == found["path"].read_bytes()
