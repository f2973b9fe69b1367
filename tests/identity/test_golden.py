"""The digests of fixed values, for ever: in every process, under every hash seed, on every Python.

A change here loses every cache there is. It was made once, for dicts that are not in the order of their keys: their
order did not count, and they had the digest of the sorted ones, which these still have.
As a script it needs no pytest, so that any Python can run it.
"""
from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import glob
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import typing
import uuid
import zoneinfo

from taskproc.values.encode import form_digest, key_form
from tests.pace import limit

if __name__ != "__main__":
    import pytest


class Color(enum.Enum):
    RED = 1


class Number(enum.IntEnum):
    ONE = 1


class Mask(enum.IntFlag):
    LOW = 1
    MIDDLE = 2
    HIGH = 4


class Pair(typing.NamedTuple):
    left: object
    right: object


@dataclasses.dataclass(frozen=True)
class Point:
    x: object
    y: object = 0


class Keyed:
    def __task_key__(self) -> object:
        return {"rate": 1}


# However this file is imported or run, the classes have one name.
sys.modules.setdefault("golden", sys.modules[__name__])
for _kind in (Color, Number, Mask, Pair, Point, Keyed):
    _kind.__module__ = "golden"

VALUES: dict[str, object] = {
    "none": None,
    "true": True,
    "int": -42,
    "int 64": (1 << 63) - 1,
    "int long": -(1 << 100),
    "float": 0.1,
    "float big": 1e22,
    "float minus": -0.0,
    "nan": float("nan"),
    "complex": 1 - 0.5j,
    "str": "aé\U0001f600",
    "surrogate": "\ud800",
    "bytes": b"\x00\xff",
    "bytes long": bytes(range(256)),
    "bytearray": bytearray(b"a"),
    "list": [1, [2.5, None]],
    "tuple": (1, ("a",)),
    "dict": {"a": [2], "b": 1},
    "dict any": {"__a": 1, 1: "a", None: "b", ("x", 2): "c"},
    "dict unsorted": {"b": 1, "a": [2]},
    "dict any unsorted": {1: "a", None: "b", ("x", 2): "c", "__a": 1},
    "set": {"a", "b", "c", 1, 2, (3,)},
    "frozenset": frozenset({frozenset({"a", "b"}), frozenset({"c", "d"}), frozenset()}),
    "range": range(1, 10, 2),
    "slice": slice(1, None),
    "ellipsis": ...,
    "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
    "default": collections.defaultdict(list, {"a": [1]}),
    "counter": collections.Counter("abca"),
    "counter unsorted": collections.Counter("cab"),
    "default unsorted": collections.defaultdict(list, {"b": [1], "a": []}),
    "deque": collections.deque([1, 2], maxlen=3),
    "enum": Color.RED,
    "int enum": Number.ONE,
    "flag": Mask.LOW | Mask.HIGH,
    "flag inverted": ~Mask.LOW,
    "namedtuple": Pair(1, (2,)),
    "dataclass": Point({"a"}, Point(1)),
    "path": pathlib.PurePosixPath("/a/b"),
    "windows path": pathlib.PureWindowsPath("c:\\a"),
    "date": dt.date(2020, 2, 29),
    "time": dt.time(1, 2, 3, 4, fold=1),
    "datetime": dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc),
    "zone": dt.datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    "timedelta": dt.timedelta(-1, 2, 3),
    "timezone": dt.timezone(dt.timedelta(hours=1), "CET"),
    "decimal": decimal.Decimal("-1.00"),
    "snan": decimal.Decimal("sNaN7"),
    "fraction": fractions.Fraction(1, 3),
    "uuid": uuid.UUID(int=1),
    "pattern": re.compile("a+", re.IGNORECASE),
    "partial": functools.partial(math.pow, 2, y=3),
    "builtin": len,
    "function": json.dumps,
    "class": Point,
    "hook": Keyed(),
}

GOLDEN: dict[str, str] = {
    "none": "941dffce4e4308ceb33e87326003257d",
    "true": "b30ee95ec6cda01eb712d912431fe867",
    "int": "7f9cfe61256ca66ae52d673fdacb61c7",
    "int 64": "4898f4a4323181babf47286c18675318",
    "int long": "e325dde64b930eb6407ba7031dd4e037",
    "float": "8857a128fe69b49792e563135c5774e9",
    "float big": "997db4f7951be9829e1c01e91eb58e18",
    "float minus": "bc0a6a3179fd47661cf47b4e87be52b4",
    "nan": "2ef0c52937b3e36fb6519ad06c9eb8d8",
    "complex": "de129d885a28a0f04e81f69c7282da4c",
    "str": "a8b3807d2a5cf510c590658fc18ef548",
    "surrogate": "409fd2cb2e0c0508647c7624ea4ed257",
    "bytes": "21415f6b3a082df64773eb0c883a1cb2",
    "bytes long": "73c493f0aa180c4f71bdab6b0e2f9762",
    "bytearray": "b0de717b4b78e0babf9e65b1d5f1b148",
    "list": "9dfcabcde0bf5cc846a9b77eabc282ac",
    "tuple": "d42fd55015ca28a73bd397e61b8f51a9",
    "dict": "02d705cc41d881cbb9757b45f5284d10",
    "dict any": "7aafdb3690747193a89132c63a39f145",
    "dict unsorted": "f92c50505f6bb1fce33d56d9f0280701",
    "dict any unsorted": "d551f65577a8b2ba5ce8d3e4be31d0ac",
    "set": "1fcbe02ae1f7fcbf88438be926a82a6c",
    "frozenset": "1c0d6cff42c424661b9c9a694dede0f9",
    "range": "5def3c54ce5c94599c516174a9a838f8",
    "slice": "d62b2ea5219bcd6756da7ff241334e2c",
    "ellipsis": "ce9c4bde62a33d0f5380eea96e508000",
    "ordered": "b90d6992df778ad48f68ec82125cf446",
    "default": "4bebd5c538f661505f9b5c6ea55717c2",
    "counter": "ca5196aae5559a8ecc40c2994e47ebaa",
    "counter unsorted": "58ba19230a93791581c4e497d81e8d57",
    "default unsorted": "9359429b229cb25031ad169f3e926866",
    "deque": "aa7006d3d82cd29157b3458033ec97da",
    "enum": "0852cfee5d9f7990f44b4f8588e9ed4b",
    "int enum": "88d5b1ace9f0426c23c0aeb30116ba22",
    "flag": "0cad022d01ae102b0135973bc73139a3",
    "flag inverted": "b74631685d50a1d39063032c8c863ccd",
    "namedtuple": "1ac8a5344ccd1ab3fb17adea57a753e8",
    "dataclass": "4297c2a4933a15fec13e5f8a09234f2e",
    "path": "55d490f5264584d15684f7163932a517",
    "windows path": "c897ff97058dd54b5f0ad22b02bdd730",
    "date": "04e78bfa9db6abd5ed50a6c5b6bd7121",
    "time": "39a30a189ea0913e7859bc8e63e8da26",
    "datetime": "44f6a8a4e04de658f4b969f52df328cd",
    "zone": "772afe1f311dd2dad781e358408479f8",
    "timedelta": "6bf4611584f6f8b158a65849a0a8f0f1",
    "timezone": "5142b1ab806e4902362f52ed4ee07313",
    "decimal": "7bd526aa327b8d0568256a8ce6ae7193",
    "snan": "954f408c9ef1fdb18cab192df604f1e3",
    "fraction": "9854d034729c76da0296740efc02d622",
    "uuid": "532e84b5f7470795f92fae43ea505006",
    "pattern": "fe62f54e40dd20fcc3804a14734de0fe",
    "partial": "0334bca22d67e7e7e488dce0785c2936",
    "builtin": "12981f1645384ba5b2703812a104222b",
    "function": "f259a7dea1d16695dafb9bd9e4998686",
    "class": "53a22074f0beea06156f5afe1beb80a3",
    "hook": "24aac4a8dd4e3d7287135dac79f25440",
}

NUMPY_GOLDEN: dict[str, str] = {
    "float64": "fe3ac139a54162702ee96e1346c7c9c6",
    "bool": "ddddba2f952256d02df603b059535cd1",
    "datetime64": "a21ef9ad2c755cd18fe23087eb48b782",
    "text": "a0c2fa82b22cf0df4882ba9fac122127",
    "array": "69208726e18d5fbaf33aa2f3858fd367",
    "array long": "af0550635c17d936fe4a2d5222ca459a",
    "objects": "7c0583f6bfdf2c41ad2a380c9df52994",
    "record": "1524a8cb42ef2bb4638c1be7a6b11cd0",
    "dtype": "f177fb31f1c627ebc11fafe245ac54e4",
}


def digests() -> dict[str, str]:
    return {name: form_digest(key_form(value, f"argument {name!r} of Golden")) for name, value in VALUES.items()}


def numpy_digests() -> dict[str, str]:
    import numpy

    record = numpy.dtype([("a", "i1"), ("b", "f8")], align=True)
    values = {
        "float64": numpy.float64(0.5),
        "bool": numpy.bool_(True),
        "datetime64": numpy.datetime64("2020-01-01", "s"),
        "text": numpy.array(["a", "bcd"]),
        "array": numpy.arange(6, dtype="i8").reshape(2, 3),
        "array long": numpy.arange(100, dtype="f4"),
        "objects": numpy.array([1, "a", None], object),
        "record": numpy.array([(1, 2.0)], record),
        "dtype": record,
    }
    return {name: form_digest(key_form(value, f"argument {name!r} of Golden")) for name, value in values.items()}


# Without the package root, which imports what a bare Python does not have; encoding needs the standard library only.
START = """
import runpy, sys, types
package = types.ModuleType("taskproc")
package.__path__ = [sys.argv[1]]
sys.modules["taskproc"] = package
runpy.run_path(sys.argv[2], run_name="__main__")
"""


def elsewhere(python: str, seed: str) -> dict[str, str]:
    """The digests that another process computes."""
    package = pathlib.Path(__file__).parents[2] / "taskproc"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [python, "-c", START, str(package), __file__]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment, timeout=limit(60))
    found: dict[str, str] = json.loads(done.stdout)
    return found


def other_pythons() -> list[str]:
    """One interpreter of each other version, from the path and from pyenv."""
    names = [f"python3.{minor}" for minor in range(10, 15) if minor != sys.version_info[1]]
    kept = os.path.expanduser(os.environ.get("PYENV_ROOT", "~/.pyenv"))
    found = []
    for name in names:
        candidates = [*glob.glob(f"{kept}/versions/{name[6:]}.*/bin/{name}"), shutil.which(name)]
        found += [python for python in candidates if python and runs(python)][:1]
    return found


def runs(python: str) -> bool:
    return subprocess.run([python, "-c", ""], capture_output=True, check=False, timeout=limit(60)).returncode == 0


def test_digests_are_golden() -> None:
    """The digest of a value never changes."""
    assert digests() == GOLDEN


def test_numpy_digests_are_golden() -> None:
    """The digests of NumPy values never change, whatever its version."""
    pytest.importorskip("numpy")

    assert numpy_digests() == NUMPY_GOLDEN


def test_digests_under_any_hash_seed() -> None:
    """The order of a set is not part of a key."""
    for seed in ("0", "1", "4294967295"):
        assert elsewhere(sys.executable, seed) == GOLDEN


def test_digests_on_any_python() -> None:
    """Every Python gives the same digests."""
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no other Python is installed")

    for python in pythons:
        assert elsewhere(python, "random") == GOLDEN, python


if __name__ == "__main__":
    print(json.dumps(digests()))
else:
    for _slow in (test_digests_under_any_hash_seed, test_digests_on_any_python):
        pytest.mark.slow(_slow)
