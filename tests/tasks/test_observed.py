"""What run_task touches beyond what its source shows counts in the next run."""
from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import BuildError
from taskproc.run.pool import LocalExecutor
from taskproc.store.cache import Cache
from taskproc.tasks.explaining import accept, explain

sees_code = pytest.mark.skipif(not hasattr(sys, "monitoring"), reason="code is observed from Python 3.12 on")

PLUGIN = """
RATE = 3

def linear(x):
    return x * rate()

def rate():
    return RATE
"""
BY_NAME = """
from importlib import import_module
from taskproc import Task

class Train(Task):
    def __init__(self, name="plugin"):
        self.name = name

    def run_task(self):
        return getattr(import_module(self.name), "lin" + "ear")(2)
"""
READS = """
from pathlib import Path
from taskproc import Task

class Train(Task):
    def __init__(self, name="rules.txt"):
        self.name = name

    def run_task(self):
        return (Path(__file__).parent / "data" / self.name).read_text()
"""


class Project:
    """A folder with modules, imported again for each inspection, as in another process."""

    def __init__(self, folder: Path, cache: Cache):
        self.folder, self._cache = folder, cache

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def load(self) -> Any:
        for name in [path.stem for path in self.folder.glob("*.py")]:
            sys.modules.pop(name, None)
        self._cache.instances.clear()
        importlib.invalidate_caches()
        return importlib.import_module("study")

    def run(self, *arguments: Any, executor: Any = None) -> tuple[Any, list[str]]:
        """The result, and the reasons of the tasks that ran."""
        task = self.load().Train(*arguments)
        value, stats = task.run_graph(executor=executor or LocalExecutor())
        return value, [reason for some in stats["reasons"].values() for reason in some]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> Iterator[Project]:
    """An empty project, from which modules are imported."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Project(folder, cache)
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


NEW = ["no result is stored"]


def test_a_file_that_was_read_counts(project: Project) -> None:
    """It need not be an InputFile; a touched but equal file changes nothing."""
    project.write("study.py", READS)
    path = project.write("data/rules.txt", "a")
    runs = [project.run(), project.run()]
    os.utime(path, (1, 1))
    runs.append(project.run())
    project.write("data/rules.txt", "b")
    runs += [project.run(), project.run()]

    why = ["data/rules.txt, which run_task read, changed"]
    assert runs == [("a", NEW), ("a", []), ("a", []), ("b", why), ("b", [])]


def test_an_edit_that_is_taken_back_finds_the_old_result(project: Project) -> None:
    """As with code."""
    project.write("study.py", READS)
    project.write("data/rules.txt", "a")
    project.run()
    project.write("data/rules.txt", "b")
    project.run()
    project.write("data/rules.txt", "a")

    assert project.run() == ("a", [])


def test_a_file_that_is_gone_is_a_reason(project: Project) -> None:
    """The task runs again, and reports the missing file itself."""
    project.write("study.py", READS)
    project.write("data/rules.txt", "a")
    project.run()
    (project.folder / "data" / "rules.txt").unlink()

    text = str(explain(project.load().Train()))
    assert "would run: data/rules.txt, which run_task read, is gone" in text


def test_a_file_that_was_looked_for_counts(project: Project) -> None:
    """A file that is read if it exists and skipped if not."""
    project.write("study.py", READS.replace("return ", "try:\n            return ") + (
        "        except FileNotFoundError:\n            return 'none'\n"))  # fmt: skip
    runs = [project.run(), project.run()]
    project.write("data/rules.txt", "b")
    runs.append(project.run())

    why = ["data/rules.txt, which run_task looked for, is there now"]
    assert runs == [("none", NEW), ("none", []), ("b", why)]


def test_a_listed_folder_counts_by_its_names(project: Project) -> None:
    """A new file changes what a pattern finds, even if no file that was read has changed."""
    listed = "sorted(path.name for path in (Path(__file__).parent / 'data').glob('*.txt'))"
    project.write("study.py", READS.replace('(Path(__file__).parent / "data" / self.name).read_text()', listed))
    project.write("data/a.txt", "")
    runs = [project.run(), project.run()]
    project.write("data/b.txt", "")
    runs.append(project.run())

    assert runs == [(["a.txt"], NEW), (["a.txt"], []), (["a.txt", "b.txt"], ["data/, which run_task read, changed"])]


def test_what_a_task_wrote_itself_does_not_count(project: Project) -> None:
    """Nor files that it renamed into place, nor those in its own directory or in that of an input."""
    project.write("study.py", """
import os
from pathlib import Path
from taskproc import Task

class Up(Task):
    def run_task(self):
        (self.task_directory / "up.txt").write_text("up")
        return self.task_directory / "up.txt"

class Train(Task):
    def __init__(self):
        self.up = Up()

    def run_task(self):
        here = Path(__file__).parent
        (here / "out.tmp").write_text("1")
        os.replace(here / "out.tmp", here / "out.txt")
        (self.task_directory / "own.txt").write_text("2")
        return [path.read_text() for path in (here / "out.txt", self.task_directory / "own.txt", self.up.get_result())]
""")
    runs = [project.run()]
    project.write("out.txt", "other")
    runs.append(project.run())

    assert runs == [(["1", "2", "up"], [*NEW, *NEW]), (["1", "2", "up"], [])]
    assert "observed" not in str(explain(project.load().Train()))


def test_a_file_that_changes_while_the_task_runs_is_read_again(project: Project) -> None:
    """The result belongs to neither content: it is stored, and is stale in the next run."""
    project.write("study.py", READS.replace("return ", "text = ") + """
        import subprocess, sys
        program = "import sys; open(sys.argv[1], 'a').write('+')"
        if text == "a":
            path = str(Path(__file__).parent / "data" / self.name)
            subprocess.run([sys.executable, "-c", program, path], check=True)
        return text
""")
    project.write("data/rules.txt", "a")
    runs = [project.run(), project.run(), project.run()]

    assert runs == [("a", NEW), ("a+", ["data/rules.txt, which run_task read, changed"]), ("a+", [])]


@sees_code
def test_a_plugin_that_ran_counts(project: Project) -> None:
    """With the code that it reaches, and with the rest of a module that was imported by a computed name."""
    project.write("study.py", BY_NAME)
    project.write("plugin.py", PLUGIN)
    runs = [project.run(), project.run()]
    project.edit("plugin.py", "RATE = 3", "RATE = 4  # faster")
    runs += [project.run(), project.run()]
    project.edit("plugin.py", "x * rate()", "x + rate()")
    runs.append(project.run())
    project.edit("plugin.py", "# faster", "# much faster")
    runs.append(project.run())

    rate = ["source of plugin:RATE, which run_task ran, changed"]
    linear = ["source of plugin:linear, which run_task ran, changed"]
    assert runs == [(6, NEW), (6, []), (8, rate), (8, []), (6, linear), (6, [])]


@sees_code
def test_two_tasks_of_one_process_have_what_each_ran(project: Project) -> None:
    """Also if the module was loaded, and its code has run, for another task before."""
    project.write("study.py", BY_NAME + """
class Mixed(Train):
    def __init__(self):
        self.name = "plugin"

class All(Task):
    def __init__(self):
        self.trains = [Train("plugin"), Train("other"), Mixed()]

    def run_task(self):
        return [train.get_result() for train in self.trains]
""")
    project.write("plugin.py", PLUGIN)
    project.write("other.py", PLUGIN)
    project.load().All().run_graph(executor=LocalExecutor())
    project.edit("plugin.py", "RATE = 3", "RATE = 4")
    _, stats = project.load().All().run_graph(executor=LocalExecutor())

    assert {name: count for name, count in stats["stats"].items() if count} == {
        "study.Train": 1, "study.Mixed": 1, "study.All": 1}  # fmt: skip


@sees_code
def test_code_that_no_name_leads_to_counts_by_its_file(project: Project) -> None:
    """A plugin that is loaded from its path."""
    project.write("study.py", """
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from taskproc import Task

class Train(Task):
    def run_task(self):
        spec = spec_from_file_location("loaded", Path(__file__).parent / "plugins" / "some.py")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.linear(2)
""")
    project.write("plugins/some.py", PLUGIN)
    runs = [project.run(), project.run()]
    project.edit("plugins/some.py", "RATE = 3", "RATE = 4")
    runs.append(project.run())

    assert runs == [(6, NEW), (6, []), (8, ["plugins/some.py, which run_task read, changed"])]


@pytest.fixture
def hidden(project: Project) -> Project:
    """A callback in a registry that the code itself fills, and which the source does not show."""
    project.write("study.py", """
from taskproc import Task
import registry, callbacks

class Train(Task):
    def run_task(self):
        return registry.call("double", 2)
""")
    project.write("registry.py", "import weakref\n\nKNOWN = weakref.WeakValueDictionary()\n\n"
                                 "def add(f):\n    KNOWN[f.__name__] = f\n    return f\n\n"
                                 "def call(name, x):\n    return KNOWN[name](x)\n")  # fmt: skip
    project.write("callbacks.py", "import registry\n\n@registry.add\ndef double(x):\n    return 2 * x\n")
    return project


@sees_code
def test_a_callback_from_a_registry_counts(hidden: Project) -> None:
    """By its code, as if it had been named."""
    runs = [hidden.run(), hidden.run()]
    hidden.edit("callbacks.py", "2 * x", "3 * x")
    runs.append(hidden.run())

    assert runs == [(4, NEW), (4, []), (6, ["source of callbacks:double, which run_task ran, changed"])]


@sees_code
def test_code_counts_as_it_was_loaded(hidden: Project) -> None:
    """A file that was edited between import and run differs from the code that ran."""
    task = hidden.load().Train()
    hidden.edit("callbacks.py", "2 * x", "3 * x")
    value, _ = task.run_graph(executor=LocalExecutor())

    assert (value, hidden.run()) == (4, (6, ["source of callbacks:double, which run_task ran, changed"]))


@sees_code
def test_a_method_of_an_upstream_task_counts(project: Project) -> None:
    """Other task classes are not followed, but a method that ran has contributed to the result."""
    project.write("study.py", """
from taskproc import Task

class Raw(Task):
    def names(self):
        return ["a"]

    def run_task(self):
        return 0

class Train(Task):
    def __init__(self):
        self.raw = Raw()

    def run_task(self):
        return getattr(self.raw, "na" + "mes")()
""")
    runs = [project.run(), project.run()]
    project.edit("study.py", '["a"]', '["b"]')
    runs.append(project.run())

    changed = ["source of study:Raw.names changed", "source of study:Raw, which run_task ran, changed"]
    assert runs == [(["a"], NEW * 2), (["a"], []), (["b"], changed)]


@sees_code
@pytest.mark.parametrize("way", ["thread", "fork"])
def test_threads_and_forked_children_count(project: Project, way: str) -> None:
    """Code and files that they use are those of the task."""
    if way == "fork" and not hasattr(os, "fork"):
        pytest.skip("nothing forks here")
    project.write("study.py", BY_NAME.replace(
        "        return ", "        done = []\n        work = lambda: done.append(")
                  + ") or open('data.txt').read()\n" + {
        "thread": "        import threading\n        other = threading.Thread(target=work)\n",
        "fork": "        import multiprocessing\n"
                "        other = multiprocessing.get_context('fork').Process(target=work)\n",
    }[way] + "        other.start()\n        other.join()\n        return 0\n")  # fmt: skip
    project.edit("study.py", "open('data.txt')", "open(__file__.replace('study.py', 'data.txt'))")
    project.write("plugin.py", PLUGIN)
    project.write("data.txt", "1")
    runs = [project.run(), project.run()]
    project.edit("plugin.py", "RATE = 3", "RATE = 4")
    runs.append(project.run())
    project.write("data.txt", "2")
    runs.append(project.run())

    code, file = "source of plugin:RATE, which run_task ran, changed", "data.txt, which run_task read, changed"
    assert [why for _, why in runs] == [NEW, [], [code], [file]]


def test_tasks_that_run_at_once_have_each_their_own_files(project: Project) -> None:
    """In threads of one process, by their contexts."""
    project.write("study.py", READS + """
class All(Task):
    def __init__(self):
        self.trains = [Train(f"{number}.txt") for number in range(8)]

    def run_task(self):
        return [train.get_result() for train in self.trains]
""")
    for number in range(8):
        project.write(f"data/{number}.txt", str(number))
    with ThreadPoolExecutor(8) as executor:
        project.load().All().run_graph(executor=executor)
        project.write("data/3.txt", "x")
        value, stats = project.load().All().run_graph(executor=executor)

    assert value == ["0", "1", "2", "x", "4", "5", "6", "7"]
    assert stats["stats"]["study.Train"] == 1


def test_task_observes_switches_it_off(project: Project) -> None:
    """For new results, and for the records of earlier runs."""
    project.write("study.py", READS)
    project.write("data/rules.txt", "a")
    project.run()
    project.edit("study.py", "class Train(Task):\n", "class Train(Task):\n    task_observes = False\n")
    project.write("data/rules.txt", "b")
    module = project.load()

    assert module.Train().run_graph(executor=LocalExecutor())[0] == "a"
    assert module.Train("rules.txt").task_is_done()
    with pytest.raises(BuildError, match="task_observes of Wrong must be True or False, got 1"):
        type("Wrong", (module.Train,), {"task_observes": 1})


def test_an_accepted_result_is_one_of_the_present_files(project: Project) -> None:
    """A later edit counts again."""
    project.write("study.py", READS)
    project.write("data/rules.txt", "a")
    project.run()
    project.write("data/rules.txt", "a ")
    counts = accept(project.load().Train())
    runs = [project.run()]
    project.write("data/rules.txt", "b")
    runs.append(project.run())

    assert counts == {"study.Train": 1}
    assert runs == [("a", []), ("b", ["data/rules.txt, which run_task read, changed"])]


def test_what_was_observed_is_told(project: Project) -> None:
    """By explain(), and so by `why`."""
    project.write("study.py", READS)
    project.write("data/rules.txt", "a")
    project.run()

    assert "\nobserved: data/rules.txt" in str(explain(project.load().Train()))


def test_a_large_warm_run_sees_a_changed_file(project: Project) -> None:
    """Verdicts on results with observed items are not remembered; others are."""
    project.write("study.py", READS + """
class Plain(Task):
    def __init__(self, number):
        self.number = number

    def run_task(self):
        return self.number

class All(Task):
    def __init__(self):
        self.plain = [Plain(number) for number in range(100)]
        self.trains = [Train(f"{number}.txt") for number in range(100)]

    def run_task(self):
        return None
""")
    for number in range(100):
        project.write(f"data/{number}.txt", str(number))
    ran = []
    for _ in range(3):
        _, stats = project.load().All().run_graph(executor=LocalExecutor())
        ran.append(stats["stats"].get("study.Train", 0))
    project.write("data/7.txt", "x")
    _, stats = project.load().All().run_graph(executor=LocalExecutor())

    assert ([*ran, stats["stats"]["study.Train"]], stats["stats"].get("study.Plain", 0)) == ([100, 0, 0, 1], 0)


ELSEWHERE = """
import sys
from taskproc import Cache, LocalExecutor
from study import Train

if __name__ == "__main__":
    hinder = int(sys.argv[2])
    for number in range(6 if hinder else 0):
        sys.monitoring.get_tool(number) or sys.monitoring.use_tool_id(number, "somebody")
    ways = {"workers": {}, "prefix": {"prefixes": {"study.Train": ""}}, "inline": {"executor": LocalExecutor()}}
    with Cache("cache"):
        task = Train()
        value, stats = task.run_graph(**ways[sys.argv[1]])
        print(value, [reason for some in stats["reasons"].values() for reason in some])
        print(task.explain())
"""


@sees_code
@pytest.mark.slow
@pytest.mark.parametrize("way", ["workers", "prefix", "inline"])
def test_it_counts_wherever_a_task_runs(tmp_path: Path, script: Any, way: str) -> None:
    """In a worker, behind a command, in the process itself; and for a process that has not loaded the code."""
    (tmp_path / "study.py").write_text(BY_NAME.replace("(2)", "(2), open('data.txt').read()"))
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "data.txt").write_text("1")
    texts = [script(ELSEWHERE, way, "0"), script(ELSEWHERE, way, "0")]
    (tmp_path / "plugin.py").write_text(PLUGIN.replace("RATE = 3", "RATE = 4"))
    texts.append(script(ELSEWHERE, way, "0"))
    (tmp_path / "data.txt").write_text("2")
    texts.append(script(ELSEWHERE, way, "0"))

    assert [text.splitlines()[0] for text in texts] == [
        "(6, '1') ['no result is stored']",
        "(6, '1') []",
        "(8, '1') ['source of plugin:RATE, which run_task ran, changed']",
        "(8, '2') ['data.txt, which run_task read, changed']",
    ]
    assert "observed: plugin:RATE, plugin:linear, plugin:rate, data.txt" in texts[-1]


@sees_code
@pytest.mark.slow
def test_without_a_tool_of_its_own_it_says_so(tmp_path: Path, script: Any) -> None:
    """If debuggers and the like use all tool ids: files count, code does not, and `explain` reports it."""
    (tmp_path / "study.py").write_text(BY_NAME.replace("(2)", "(2), open('data.txt').read()"))
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "data.txt").write_text("1")
    text = script(ELSEWHERE, "inline", "1")

    assert "observed: data.txt\n" in text
    assert "not observed: code, since a debugger or profiler has taken the tools of sys.monitoring" in text
