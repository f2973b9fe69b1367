"""Model and code do the same operations on the same names in the same order."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from taskproc.errors import CorruptedResult
from taskproc.store import layout
from taskproc.store.claims import DiskAttempt
from taskproc.store.disk import DiskStore
from taskproc.store.files import Files
from taskproc.store.layout import Place
from taskproc.store.marks import Mark
from taskproc.store.version import Facts, Version
from tests.protocol.moves import moves
from tests.protocol.scenario import NAMES, Scenario, beginning
from tests.protocol.steps import Protocol
from tests.protocol.world import ENDS, State

PLACE = Place("module.Task", 7, "0123456789abcdef" * 4)
FACTS = Facts(code="", needs={})
# What others cannot see, or what decides nothing
PRIVATE = frozenset(
    "close close_folder cut identity modified size size_and_owner read sync scandir few kind write_text".split()
)


UNNAMED = frozenset({"mkdir", "move_out", "remove_tree"})  # there is one folder of which they can be


def is_above(operation: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a folder is made or held that is not the one of the task: they are there before, and stay."""
    name = arguments[-1][-1] if operation == "open_folder" and len(arguments) > 1 and arguments[-1] else arguments[-1]
    return operation in ("mkdir", "open_folder") and name != str(PLACE.id)


class Recording(Files):
    """Keeps what was done, as the model writes it: an operation and its names."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.depth = 0  # an operation that is made of others counts as one

    def record(self, operation: str, arguments: tuple[Any, ...]) -> None:
        if operation not in PRIVATE and self.depth == 1:
            names = [name for name in arguments[1:] if isinstance(name, str)] if operation not in UNNAMED else []
            if operation == "read_only" and "result" in names[0] and self.done[-1:] == ["open_folder"]:
                self.done.pop()  # to read by path is to read in the folder that is there now
            if not is_above(operation, arguments):
                self.done.append(" ".join((operation, *names)).replace(".pkl.gz", ""))


def _recorded(operation: str) -> Any:
    def call(self: Recording, *arguments: Any) -> Any:
        self.depth += 1
        try:
            self.record(operation, arguments)
            return getattr(Files, operation)(self, *arguments)
        finally:
            self.depth -= 1

    return call


OPERATIONS = frozenset(name for name in vars(Files) if not name.startswith("_"))
for _operation in OPERATIONS:
    setattr(Recording, _operation, _recorded(_operation))


class Model:
    """The model on one path: the named actors do their steps until they reach the wanted states."""

    def __init__(self, **options: Any):
        self.protocol = Protocol(Scenario(**options))
        self.state: State = beginning(self.protocol.scenario)
        self.texts: list[str] = []

    def play(self, who: str, until: str, *wanted: str) -> Model:
        """Steps of `who` until the step `until`, or one of ENDS. Of several moves one with a text of `wanted`."""
        self.texts = []
        me = NAMES.find(who)
        while me < 0 or self.state.actors[me].step not in (until, *ENDS):
            options = [move for move in moves(self.protocol, self.state) if move.text.startswith(who)]
            options.sort(key=lambda move: (not any(text in move.text for text in wanted), move.fault))
            self.texts.append(options[0].text)
            self.state = options[0].state
            if me < 0:
                break
        return self

    @property
    def operations(self) -> list[str]:
        """Of the last play: what stands in the texts of its moves, without what is said about it."""
        parts = [part for text in self.texts for part in re.split(r"[:,] | \(.*?\)|^[A-F] ", text)]
        return [part for part in parts if part.split(" ")[0] in OPERATIONS]


class Run:
    """A run on the folder; `done` empties the record."""

    def __init__(self, root: Path):
        self.mark = Mark(str(root))
        self.files = Recording()
        self.store = DiskStore(str(root), self.mark.token, self.files)

    def look(self) -> Version | None:
        return next(self.store.look(PLACE), None)

    def claim(self) -> Any:
        return self.store.claim(PLACE, lambda: "{}", lambda versions: next(versions, None))

    def attempt(self) -> DiskAttempt:
        claimed = self.claim()
        assert isinstance(claimed, DiskAttempt)
        return claimed

    def done(self) -> list[str]:
        done, self.files.done = self.files.done, []
        return done


class Runs:
    """Two runs on a folder where the class has been before."""

    def __init__(self, root: Path):
        self.root = root
        Path(layout.place_path(str(root), PLACE)).parent.mkdir(parents=True)
        self.first, self.second = Run(root), Run(root)

    def close(self) -> None:
        self.first.mark.close()
        self.second.mark.close()


@pytest.fixture
def runs(tmp_path: Path) -> Any:
    runs = Runs(tmp_path)
    yield runs
    runs.close()


def test_claim_and_commit(runs: Runs) -> None:
    """Nobody disturbs."""
    runs.first.look()
    runs.first.attempt().commit(1, FACTS)

    assert Model(roles="mm").play("A", "done").operations == runs.first.done()


def test_wait(runs: Runs) -> None:
    """Somebody holds it who lives."""
    runs.first.attempt()
    runs.second.look()
    runs.second.claim()

    model = Model(roles="mm", suspects=False).play("A", "seal").play("B", "ask")
    looked, asked = model.operations, model.play("B", "look").operations

    assert looked + asked == runs.second.done()


def test_take_over(runs: Runs) -> None:
    """The heir fences the dead, and looks once more."""
    runs.first.attempt()
    runs.first.mark.close()
    runs.second.look()
    runs.second.attempt().commit(1, FACTS)

    assert Model(roles="mm").play("A", "seal").play("A", "", "dies").play("B", "done").operations == runs.second.done()


def test_fenced(runs: Runs) -> None:
    """One that was taken for dead finds nothing to rename, and asks whose the result is."""
    attempt = runs.first.attempt()
    runs.first.mark.close()
    runs.second.attempt()
    runs.first.done()
    assert attempt.commit(1, FACTS) is None

    model = Model(roles="mm").play("A", "seal").play("B", "seal", "taken for dead")

    assert model.play("A", "look").operations == runs.first.done()


def test_not_needed(runs: Runs) -> None:
    """Somebody publishes between the look and the claim."""
    runs.second.look()
    runs.first.attempt().commit(1, FACTS)
    assert isinstance(runs.second.claim(), Version)

    model = Model(roles="mm").play("B", "mkdir")
    looked, claimed = model.operations, model.play("A", "done").play("B", "done").operations

    assert looked + claimed == runs.second.done()


def test_drop(runs: Runs) -> None:
    """A higher number exists at the second look: the claim is removed, and the attempt starts again."""
    runs.second.files = files = _Between("make", lambda: runs.first.attempt().fail({}))
    runs.second.store.files = files
    runs.second.attempt()

    model = Model(roles="mm", fails=True).play("B", "mkdir").play("B", "make").play("A", "failed", "raises")
    claimed = [*Model(roles="mm").play("A", "mkdir").play("A", "make").operations, *model.play("B", "seal").operations]

    assert "unlink claim.1" in claimed
    assert claimed == runs.second.done()


class _Between(Recording):
    """Does `deed` once, before the first operation of that name."""

    def __init__(self, operation: str, deed: Any):
        super().__init__()
        original = getattr(self, operation)

        def call(*arguments: Any) -> Any:
            setattr(self, operation, original)
            deed()
            return original(*arguments)

        setattr(self, operation, call)


def test_fail(runs: Runs) -> None:
    """The claim becomes failed.<n>."""
    runs.first.look()
    runs.first.attempt().fail({"kind": "exception"})

    assert Model(roles="mm", fails=True).play("A", "failed", "raises").operations == runs.first.done()


def test_by_way_of_a_worker(runs: Runs) -> None:
    """The claim is let go of, and taken up again by path."""
    attempt = runs.first.attempt()
    attempt.release()
    resumed = runs.first.store.resume(PLACE, attempt.number)
    assert resumed is not None
    resumed.commit(1, FACTS)

    model = Model(roles="mm", hands_over=True).play("A", "mkdir").play("A", "done")

    assert model.operations == runs.first.done()


def test_clear(runs: Runs) -> None:
    """One rename; the trash is emptied if nobody works."""
    runs.first.attempt()
    runs.second.store.clear(PLACE)
    busy = runs.second.done()
    runs.first.attempt()
    runs.first.mark.close()
    runs.second.mark.close()
    runs.second.store.clear(PLACE)
    model = Model(roles="mc").play("A", "seal")

    assert model.play("B", "done").operations == busy
    model = Model(roles="mc").play("A", "seal").play("A", "", "dies")
    assert [*model.play("B", "done").operations, "remove_tree"] == runs.second.done()  # two are in the trash by now


def test_quarantine(runs: Runs) -> None:
    """What was damaged is compared and moved aside through one descriptor."""
    runs.first.attempt().commit(1, FACTS)
    version = runs.second.look()
    assert version is not None
    with open(version.path, "r+b") as file:
        file.seek(version.head + 3)
        file.write(b"\xaa\xbb")
    with pytest.raises(CorruptedResult):
        runs.second.store.load(version)

    model = Model(roles="mr", damages=1).play("A", "use").play("B", "load")
    looked = model.operations
    model.play("result.1 is damaged", "")

    assert looked + model.play("B", "look").operations == runs.second.done()
