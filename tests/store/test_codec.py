"""Values to bytes and back."""
from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path, PurePosixPath

import cloudpickle
import pytest
from faults import few
from hypothesis import given
from hypothesis import strategies as st

from taskproc.store.payload import load_result, loads
from tests.store.pickles import dumps

SAME = """
import hashlib
from pathlib import Path
from tests.store.pickles import dumps

values = [{"a": [1, 2.5, None], "b": {"c": (True, "text")}}, ["x" * 100, bytes(1000)], Path("/some/where"), len]
print([hashlib.sha256(dumps(value)).hexdigest() for value in values])
"""


def printed(program: str, seed: str = "0") -> str:
    """What a Python of its own prints."""
    path = os.pathsep.join(filter(None, [*sys.path, os.getcwd()]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_the_same_value_gives_the_same_bytes() -> None:
    """In every process, under every hash seed: equal stamps depend on it."""
    assert 1 == len({printed(SAME, seed) for seed in ("1", "2")})


def test_paths_below_the_root_are_seen_from_it() -> None:
    """They load below the root that is given then, also inside other values; a prefix of the name is not enough."""
    content = dumps([Path("/old/a/b"), {"k": Path("/old/c")}, Path("/older"), PurePosixPath("/old/p")], "/old")

    assert [Path("/new/a/b"), {"k": Path("/new/c")}, Path("/older"), PurePosixPath("/old/p")] == loads(content, "/new")
    assert b"/old/a" not in content
    assert Path("a/b") == pickle.loads(content)[0]


def test_a_root_is_forgotten_after_a_load() -> None:
    """Also if the load fails."""
    content = dumps(Path("/old/a"), "/old")
    for bad in (b"garbage", b""):
        with pytest.raises(Exception, match="."):
            loads(bad, "/new")

    assert Path("a") == pickle.loads(content)


def test_what_cannot_be_imported_goes_by_value() -> None:
    """Lambdas and local classes are stored as they are."""
    factor = 3

    class Local:
        size = 2

    function, cls = loads(dumps([lambda x: x * factor, Local]))  # type: ignore[misc]

    assert (12, 2) == (function(4), cls().size)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()


@few
@given(PLAIN | st.sampled_from([0, -1, 255, 65536, 1 << 31, 1 << 2100, "a" * 300, b"a" * 300, "a" * 5000, b"a" * 5000]))
def test_plain_values_take_a_shorter_way(value: object) -> None:
    """It gives the bytes that the longer one does, which asks no reducer about them either."""
    target = io.BytesIO()

    cloudpickle.CloudPickler(target, protocol=5).dump(value)

    assert target.getvalue() == dumps(value)


SCALARS = """
import sys
from taskproc.store.payload import load_result as load, loads
from tests.store.pickles import dumps

assert [loads(dumps(value)) for value in (1, 2.5, None, True, "text", b"bytes")]
print("cloudpickle" in sys.modules)
"""


@pytest.mark.slow
def test_plain_values_need_no_cloudpickle() -> None:
    """A worker that returns nothing else does without the time of importing it."""
    assert "False\n" == printed(SCALARS)


@pytest.mark.parametrize("name", ["taskproc.commands.record Finished", "taskproc.maps.options ArgumentPassing"])
def test_old_names_of_modules_live_on(name: str) -> None:
    """A cache of an earlier version names the modules as they were called then."""
    module, _, cls = name.partition(" ")
    old = b"c" + f"{module}\n{cls}\n.".encode()

    assert cls == loads(old).__name__ == load_result(io.BytesIO(old)).__name__  # type: ignore[attr-defined]
    with pytest.raises(ModuleNotFoundError):
        loads(b"ctaskproc.never\nA\n.")
