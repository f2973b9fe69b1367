"""The statements of a module count as they were loaded, whatever the file says now."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pace import limit

# Neither the class nor its attribute has code or a form: both are known by their text alone
OLD = """
import decimal

class Limits:
    context = decimal.Context(prec=3)
"""
NEW = OLD.replace("prec=3", "prec=4")
METHOD = "\n    def round(self, number):\n        return self.context.plus(number)\n"
MAIN = """
import importlib, json, os, sys
from pathlib import Path

def write(text, name="lib.py"):
    Path(__file__).with_name(name).write_text(text)

def run():
    return lib.Limits

def tell():
    from taskproc.source.fingerprint import digest_of, fingerprint_of as fingerprint
    found = fingerprint([run])
    # Without what the script itself does at its top, such as a reload
    digest = digest_of(dict(item for item in found.items.items() if "(statements)" not in item[0]))
    print(json.dumps([digest, [words for words in found.untracked if "edited" in words]]))

OLD, NEW = {old!r}, {new!r}
{steps}
"""


class Project:
    """A folder with `lib.py` and a script that follows commands."""

    def __init__(self, folder: Path):
        self.folder = folder

    def looks(self, steps: str, text: str = OLD, old: str = OLD, new: str = NEW) -> list[list[object]]:
        """Digest, and messages about edits, of each `tell()` in a new process; `lib.py` has `text` at first."""
        (self.folder / "lib.py").write_text(text)
        script = self.folder / "main.py"
        script.write_text(MAIN.format(steps=steps, old=old, new=new))
        command = [sys.executable, "-B", str(script)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=limit(60))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def digest(self, text: str) -> object:
        """The digest in a process that loads this text."""
        [[found, _]] = self.looks("import taskproc, lib\ntell()", text)
        return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["import taskproc, lib", "import lib, taskproc"])
@pytest.mark.parametrize("more", ["", METHOD])
def test_an_edit_after_the_import_does_not_count(project: Project, order: str, more: str) -> None:
    """Neither before the first fingerprint nor after it."""
    old, new = OLD + more, NEW + more
    steps = f"{order}\nwrite(NEW)\ntell()\nwrite(NEW + '# more')\ntell()"
    found = project.looks(steps, old, old, new)

    assert found == [[project.digest(old), []]] * 2
    assert found[0][0] != project.digest(new)


@pytest.mark.slow
def test_a_reload_counts(project: Project) -> None:
    """The text of the last reload counts, even if the file was edited again."""
    steps = "import taskproc, lib\ntell()\nwrite(NEW)\nimportlib.reload(lib)\nwrite(OLD)\ntell()"

    assert project.looks(steps) == [[project.digest(OLD), []], [project.digest(NEW), []]]


@pytest.mark.slow
def test_a_reload_of_what_is_no_python_changes_nothing(project: Project) -> None:
    """The module stays as it was."""
    failing = "try: importlib.reload(lib)\nexcept SyntaxError: tell()"

    assert project.looks(f"import taskproc, lib\nwrite('class Limits(')\n{failing}") == [[project.digest(OLD), []]]


@pytest.mark.slow
def test_what_was_lost_is_like_nothing_else(project: Project) -> None:
    """An edit before taskproc could read it is listed; the digest is valid in this process and its children only."""
    steps = "import lib\nwrite(NEW)\nimport taskproc\ntell()\nif not os.fork(): tell(); os._exit(0)\nos.wait()"
    [first, again], [other, _] = project.looks(steps), project.looks(steps)

    assert first == again
    assert first[1] == ["lib was edited after it was loaded, and what it was loaded from is not known"]
    assert first[0] not in (other[0], project.digest(OLD), project.digest(NEW))


@pytest.mark.slow
def test_what_a_script_writes_before_it_imports_it_is_known(project: Project) -> None:
    """Python's compiled file shows the text, if the import came before taskproc."""
    before = "sys.dont_write_bytecode = False\nwrite(NEW)\nimport lib, taskproc\ntell()"
    after = "import taskproc\nwrite(NEW)\nimport lib\ntell()"

    assert project.looks(before) == project.looks(after) == [[project.digest(NEW), []]]


@pytest.mark.slow
def test_a_file_that_was_only_touched_is_what_it_was(project: Project) -> None:
    """It was written again with the same text, or got other times or permissions."""
    steps = "import taskproc, lib\ntell()\nwrite(OLD)\nos.utime('{0}', ns=(1, 1))\nos.chmod('{0}', 0o600)\ntell()"

    assert len(set(map(str, project.looks(steps.format(project.folder / "lib.py"))))) == 1


@pytest.mark.slow
def test_the_script_itself_is_known_as_it_began(project: Project) -> None:
    """Its classes have the text with which it was started."""
    steps = "import taskproc\nclass lib:\n    class Limits:\n        number = object()\n"
    steps += "write('# gone', 'main.py')\ntell()"
    kept = steps.replace("write('# gone', 'main.py')\n", "")

    assert project.looks(steps) == project.looks(kept)


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", METHOD])
def test_a_class_that_a_reload_left_behind_is_not_taken_for_the_new_one(project: Project, more: str) -> None:
    """Its text is known if only one of the loaded texts has such a class; otherwise it is equal to no other."""
    # By `exec`: what a statement reads is what stands there now
    steps = "import taskproc, lib\nlib.Limits.number\nexec('Old = lib.Limits')\ndef run(): return Old\n"
    steps += "write(NEW)\nexec('importlib.reload(lib)')\ntell()"
    old = OLD + "    number = 1\n" + more
    clear, unclear = old.replace("number = 1", "number = 2"), old.replace("prec=3", "prec=4")

    before = project.looks(steps, old, old, old)
    assert project.looks(steps, old, old, clear) == before
    [[found, words]] = project.looks(steps, old, old, unclear)

    assert before[0][1] == []
    assert words == ["lib was edited after it was loaded, and what it was loaded from is not known"]
    assert found not in (before[0][0], project.looks(steps, unclear, old, unclear)[0][0])


@pytest.mark.slow
def test_a_file_that_is_executed_again_is_read_again(project: Project) -> None:
    """It has no loader that could distinguish two executions, so the text of the file counts."""
    steps = "lib = sys.modules['lib'] = types.ModuleType('lib')\n"
    steps += "lib.__file__ = str(Path(__file__).with_name('lib.py'))\n"
    steps += "for text in (OLD, NEW):\n"
    steps += "    write(text)\n    exec(compile(text, lib.__file__, 'exec'), vars(lib))\n    tell()"
    steps = f"import types, taskproc\nexec({steps!r})"

    assert project.looks(steps) == [[project.digest(OLD), []], [project.digest(NEW), []]]
